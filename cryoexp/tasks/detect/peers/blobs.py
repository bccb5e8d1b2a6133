"""Difference of Gaussians: particles are blobs of a known size (Marr & Hildreth 1980; for particles Voss 2009)."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.detect.finding import Found
from cryoexp.tasks.detect.peers.tuning import Peer, picks_of

WIDER = 1.6  # of the second Gaussian: the nearest to a Laplacian (Marr & Hildreth)
# of equal ones on validation, the first is taken
SIGMAS = (
    0.43,
    0.35,
    0.5,
    0.3,
    0.6,
    0.7,
    0.85,
)  # of a radius; with 0.43 the mean of both is 1/√3, to which a ball answers best
DISTANCES = (1.0, 0.7, 1.3, 1.6, 1.9)  # of the smallest radius


class Setting(NamedTuple):
    """Free numbers, to be chosen on validation.

    Args:
        sigma: of the narrower Gaussian, as a share of the radius of a class.
        distance: of two picks at least, as a share of the smallest radius.
    """

    sigma: float
    distance: float

    def __str__(self) -> str:
        return f"σ {self.sigma:g} r, {self.distance:g} r apart"


def blobs(radii: np.ndarray, dark: bool) -> Peer:
    """Return the method.

    Args:
        radii: `(k,)` voxels of the classes.
        dark: whether particles are darker than what is around them.
    """
    return Peer(
        name="difference of Gaussians",
        knows="the radii of the classes, and that particles are " + ("dark" if dark else "bright"),
        prepare=lambda tomogram: normalised(tomogram, dark),
        find=lambda volume, setting: find_blobs(volume, radii, setting),
        settings=[Setting(*pair) for pair in product(SIGMAS, DISTANCES)],
        tells_classes=False,
    )


def normalised(tomogram: Tomogram, dark: bool) -> np.ndarray:
    """Return a tomogram `(z, y, x)` float32 with mean 0 and standard deviation 1, in which particles are bright."""
    volume = np.asarray(tomogram.volume.data[:], dtype=np.float32)
    spread = float(volume.std(dtype=np.float64))
    centred = (volume - volume.mean(dtype=np.float64, keepdims=True)) / (spread or 1.0)
    return np.asarray(-centred if dark else centred, dtype=np.float32)


def find_blobs(volume: np.ndarray, radii: np.ndarray, setting: Setting) -> Found:
    """Find bright blobs of known radii.

    Args:
        volume: `(z, y, x)`.
        radii: `(k,)` voxels.
        setting: see there.
    """
    response = differences(volume, [setting.sigma * radius for radius in np.unique(np.round(radii, 1))])
    return picks_of(response, setting.distance * float(radii.min()), radii)


def differences(volume: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """Return the largest difference of Gaussians over some scales, `(z, y, x)` float32; beyond the border all is 0.

    Args:
        volume: `(z, y, x)` of mean 0.
        sigmas: voxels, of the narrower Gaussian.
    """
    narrow, wide = (
        [ndimage.gaussian_filter(volume, factor * s, mode="constant", output=np.float32) for s in sigmas]
        for factor in (1.0, WIDER)
    )
    return np.max([a - b for a, b in zip(narrow, wide, strict=True)], axis=0)
