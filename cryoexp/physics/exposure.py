"""What the electron dose does to the signal, and the order in which a tilt series spends it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.ctf import HC_EV_ANGSTROM, TWO_MC2_EV, wavelength

SCHEMES = ("dose_symmetric", "bidirectional", "continuous")


def critical_exposure(k: Tensor, voltage: float) -> Tensor:
    """Exposure in e/Å² that leaves 1/e of the signal's power at frequencies ``k`` (1/Å), infinite at 0.

    ``0.24499 k^-1.6649 + 2.8141`` at 300 kV, measured on rotavirus (Grant & Grigorieff 2015). Damage goes with
    the inelastic cross section, as 1/β²: at 200 kV the exposure is 0.80 of that, the factor of the paper's program.

    Args:
        k: any shape.
        voltage: volts.
    """
    return (0.24499 * k**-1.6649 + 2.8141) * (_beta_squared(voltage) / _beta_squared(300e3))


def exposure_filter(k: Tensor, dose: float, voltage: float) -> Tensor:
    """Share of the signal's amplitude left at ``k`` (1/Å) after ``dose`` e/Å²: exp(−dose / (2 critical)).

    Raises:
        ConfigError: a negative dose.
    """
    if not dose >= 0:
        raise ConfigError(f"dose={dose} must not be negative, in e/Å²")
    return torch.exp(-dose / (2 * critical_exposure(k, voltage)))


def acquisition_order(
    angles: Sequence[float], scheme: Literal["dose_symmetric", "bidirectional", "continuous"]
) -> np.ndarray:
    """Place `(tilts,)` of each image in the order of acquisition, from 0.

    A tilt in place ``i`` has seen ``i`` times the dose per image before it is taken, and ``i + 1`` times after.

    - dose_symmetric: from the tilt nearest 0 to both sides in turn, 0 +3 −3 −6 +6 +9 −9 (Hagen et al. 2017)
    - bidirectional: from the tilt nearest 0 up to the highest, then down from there to the lowest
    - continuous: from the lowest tilt to the highest

    Raises:
        ConfigError: no angles, or an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise ConfigError(f"tilt scheme {scheme}: choose {', '.join(SCHEMES)}")
    tilts = np.asarray(angles, dtype=np.float64)
    if len(tilts) == 0:
        raise ConfigError("a tilt series needs at least one tilt angle, got none")
    ascending = np.argsort(tilts, kind="stable")
    step = np.arange(len(tilts)) - np.argmin(np.abs(tilts[ascending]))  # from the tilt nearest 0
    if scheme == "dose_symmetric":
        positive_first = np.abs(step) % 2 == 1
        taken = np.lexsort(((step > 0) != positive_first, np.abs(step)))
    elif scheme == "bidirectional":
        taken = np.lexsort((np.abs(step), step < 0))
    else:
        taken = np.arange(len(tilts))
    order = np.empty(len(tilts), dtype=np.int64)
    order[ascending[taken]] = np.arange(len(tilts))
    return order


def _beta_squared(voltage: float) -> float:
    """(v/c)² of an electron, from its wavelength: β = 1 / sqrt(1 + (λ m c² / hc)²)."""
    return 1 / (1 + (wavelength(voltage) * TWO_MC2_EV / 2 / HC_EV_ANGSTROM) ** 2)
