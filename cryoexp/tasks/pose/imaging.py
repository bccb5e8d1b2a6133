"""The CTFs of images, from what RELION's tables say of them."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp.data.projection_ctf import DEFOCUS, column, read_lens
from cryoexp.data.real_problems import Problems
from cryoexp.physics.ctf import astigmatic, ctf
from cryoexp.physics.fourier import image_frequencies
from cryoexp.physics.insertion import padded_size
from cryoexp.physics.reconstruction import Transfer


def transfer_of_table(
    rows: pd.DataFrame, optics: pd.DataFrame, size: int, pixel_size: float, *, contrast: str, flipped: bool
) -> Transfer:
    """Make the CTFs of images by their numbers, with the sign of their contrast; without defocus the sign alone.

    Args:
        rows: RELION's table of particles.
        optics: RELION's optics groups.
        size: edge of the images.
        pixel_size: Å.
        contrast: dark or bright particles.
        flipped: whether the images have had the CTF's signs taken out.

    Returns:
        From numbers `(m,)` to `(m, p, p // 2 + 1)`, p the padded edge of `cryoexp.physics.insertion`.

    Raises:
        DataError: the tables give a defocus, but not what else it takes.
    """
    sign, padded = -1.0 if contrast == "dark" else 1.0, padded_size(size)
    if DEFOCUS[0] not in rows and DEFOCUS[0] not in optics:
        return lambda numbers: torch.full((len(numbers), padded, padded // 2 + 1), sign)
    if DEFOCUS[1] not in rows and DEFOCUS[1] not in optics:
        one = column(rows, optics, DEFOCUS[0], np.full(len(rows), np.nan))
        rows = rows.assign(rlnDefocusV=one, rlnDefocusAngle=0.0)
    problems = Problems()
    lens = torch.from_numpy(read_lens(rows, optics, "CTF", problems))
    problems.check("the table of particles")
    ky, kx = image_frequencies(padded, padded, pixel_size)
    k = (ky**2 + kx**2).sqrt()

    def transfer(numbers: Tensor) -> Tensor:
        values = []
        for u, v, angle, voltage, cs, amplitude, phase in lens[numbers].tolist():
            defocus = astigmatic(ky, kx, u, v, angle) if not math.isclose(u, v) else torch.tensor(u)
            values.append(ctf(k, defocus, voltage, cs, amplitude, phase))
        one = torch.stack(values).float()
        return sign * (one.abs() if flipped else one)

    return transfer
