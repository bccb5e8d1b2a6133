"""Phase flipping of real images: every frequency gets back the sign that the CTF took from it."""

import numpy as np
import pandas as pd
import torch

from cryoexp.data.real_problems import Problems
from cryoexp.physics.ctf import astigmatic, ctf
from cryoexp.physics.fourier import image_frequencies

DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
LENS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
PHASE = "rlnPhaseShift"


def read_lens(
    rows: pd.DataFrame, optics: pd.DataFrame, where: object, problems: Problems, who: str = "dataset.ctf=flip"
) -> np.ndarray:
    """Return what a CTF takes for each image, `(n, 7)`, from the rows of a STAR table or its optics groups.

    Defocus U and V (Å), their angle (rad), voltage (V), spherical aberration (Å), amplitude contrast and phase shift
    (rad).

    Args:
        rows: RELION's table of particles.
        optics: RELION's table of optics groups, or an empty one.
        where: named in problems.
        problems: to which missing columns are added.
        who: needs them.
    """
    unknown = np.full(len(rows), np.nan)
    found = {name: column(rows, optics, name, unknown) for name in (*DEFOCUS, *LENS)}
    missing = [name for name, values in found.items() if np.isnan(values).any()]
    if missing:
        problems.add("missing columns", f"{where}: {who} needs {', '.join(missing)} for every image")
        return np.zeros((len(rows), 7))
    phase = column(rows, optics, PHASE, np.zeros(len(rows)))
    return np.stack([*found.values(), phase], 1) * [1, 1, np.pi / 180, 1e3, 1e7, 1, np.pi / 180]


def column(rows: pd.DataFrame, optics: pd.DataFrame, name: str, otherwise: np.ndarray) -> np.ndarray:
    """Return a column of numbers `(n,)`: the images' own, or that of their optics groups, or ``otherwise``."""
    if name in rows:
        return pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float)
    if name in optics and "rlnOpticsGroup" in optics and "rlnOpticsGroup" in rows:
        groups = pd.to_numeric(optics.set_index("rlnOpticsGroup")[name], errors="coerce")
        return rows["rlnOpticsGroup"].map(groups).to_numpy(dtype=float)
    return otherwise


def flipped(image: np.ndarray, pixel_size: float, lens: np.ndarray) -> np.ndarray:
    """Multiply the transform of an image by the sign of its CTF; contrast stays as it is.

    Args:
        image: `(y, x)` float32.
        pixel_size: Å.
        lens: `(7,)`, a row of `read_lens`.
    """
    u, v, angle, voltage, cs, amplitude, phase = (float(value) for value in lens)
    ky, kx = image_frequencies(image.shape[0], image.shape[1], pixel_size)
    transfer = ctf((ky**2 + kx**2).sqrt(), astigmatic(ky, kx, u, v, angle), voltage, cs, amplitude, phase)
    spectrum = torch.fft.rfft2(torch.from_numpy(image)) * torch.where(transfer < 0, -1.0, 1.0)
    return torch.fft.irfft2(spectrum, s=image.shape).numpy()
