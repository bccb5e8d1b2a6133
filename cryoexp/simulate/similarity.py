"""How alike two complexes look after imaging: correlation over all rotations and shifts, from pseudo-atoms.

The image's Fourier transform is expanded in spherical harmonics on shells of frequency, in closed form; one
FFT then gives the correlation at all rotations (Kostelec & Rockmore 2008, J. Fourier Anal. Appl. 14, 145).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import torch
from scipy.fft import fft2, hfft
from scipy.optimize import minimize
from scipy.special import sph_harm_y_all, spherical_jn

from cryoexp.physics.ctf import ctf
from cryoexp.physics.fourier import low_pass
from cryoexp.simulate.zoo import PseudoAtoms

DEGREES = 28  # harmonics l < DEGREES: 2 pi k r at the band's end and 140 Å
ANGLES = 64  # Euler angles a turn in the exhaustive search, 5.6 degrees apart
SHELLS = 20  # Gauss-Legendre nodes in frequency: one in 1/640 Å, finer than 1/(2 diameters)
RADIUS_STEP = 0.05  # Å, to which radii are rounded: a phase of 0.005 at the end of the band
CHUNK = 1024  # pseudo-atoms whose harmonics are held at a time
START = 30.0  # Å, between the shifts that the search starts from
STEPS = (16.0, 6.0, 2.5)  # Å, of the search for the shift


@dataclass(frozen=True)
class Imaging:
    """Low-pass and CTF of the fixed subtomograms, no missing wedge: lengths in Å, contrast as a fraction."""

    resolution: float = 40.0
    edge: float = 2 / 320  # 1/Å, width of the raised cosine after 1 / resolution
    voltage: float = 3e5  # V
    defocus: float = 30000.0
    spherical_aberration: float = 2.7e7
    amplitude_contrast: float = 0.07

    @property
    def band(self) -> float:
        """Highest frequency passed, in 1/Å."""
        return 1 / self.resolution + self.edge

    def transfer(self, frequency: np.ndarray) -> np.ndarray:
        """Low-pass times CTF at `frequency` in 1/Å, as the simulator applies them."""
        k = torch.from_numpy(np.asarray(frequency, dtype=float))
        lens = ctf(k, self.defocus, self.voltage, self.spherical_aberration, self.amplitude_contrast)
        return (low_pass(k, self.resolution, self.edge) * lens).numpy()


def imaged_correlation(a: PseudoAtoms, b: PseudoAtoms, imaging: Imaging | None = None) -> float:
    """Pearson correlation of the images of `a` and `b`, the largest over all rotations and shifts.

    Mean removed, over all space, that is over a box that holds both.
    """
    imaging = imaging or Imaging()
    return best_correlation(harmonics(a, imaging), harmonics(b, imaging), imaging)


def harmonics(atoms: PseudoAtoms, imaging: Imaging) -> np.ndarray:
    """Expand the image's Fourier transform in coefficients `(l * l + l + m, shell)` of unit norm.

    `4 pi (-i)^l H(k) G(k) sum_j w_j j_l(2 pi k r_j) conj(Y_lm(x_j))`, by the expansion of plane waves: H is
    the transfer, G the pseudo-atoms' Gaussian. Each shell carries the root of its quadrature weight.
    """
    k, roots = _shells(imaging)
    total = np.zeros((DEGREES**2, SHELLS), dtype=complex)
    radii = np.round(np.linalg.norm(atoms.centres, axis=1) / RADIUS_STEP)
    values, which = np.unique(radii, return_inverse=True)  # copies by the point group share a radius
    phases = 2 * np.pi * RADIUS_STEP * values[:, None] * k
    radial = [spherical_jn(degree, phases) for degree in range(DEGREES)]
    for start in range(0, len(which), CHUNK):
        chunk = slice(start, start + CHUNK)
        angular = _angular(atoms.centres[chunk]).conj() * atoms.weights[chunk]
        for degree in range(DEGREES):
            rows = slice(degree**2, (degree + 1) ** 2)
            total[rows] += (-1j) ** degree * (angular[rows] @ radial[degree][which[chunk]])
    total *= roots * k * imaging.transfer(k) * np.exp(-2 * (np.pi * atoms.sigma * k) ** 2)
    return total / np.linalg.norm(total)


def best_correlation(a: np.ndarray, b: np.ndarray, imaging: Imaging) -> float:
    """Find the largest correlation over rotations and shifts of two images given by their `harmonics`.

    All rotations are searched for every shift. The shift climbs from the best of 27: the centres of mass
    together, or `START` Å apart either way along any of the axes.
    """
    k, _ = _shells(imaging)
    directions, synthesis, analysis = _sphere()
    samples = synthesis @ b

    def moved(shift: tuple[float, ...]) -> np.ndarray:
        return analysis @ (samples * np.exp(-2j * np.pi * np.outer(directions @ np.array(shift), k)))

    @cache
    def best(shift: tuple[float, ...]) -> float:
        return float(_over_rotations(_spectrum(a, moved(shift))).max())

    axes = np.vstack([np.eye(3), -np.eye(3)])
    shift: tuple[float, ...] = max(product((0.0, START, -START), repeat=3), key=best)
    for step in STEPS:
        shift = _climb(best, shift, step * axes)
    return _refine(_spectrum(a, moved(shift)))


def _climb(
    score: Callable[[tuple[float, ...]], float], shift: tuple[float, ...], moves: np.ndarray
) -> tuple[float, ...]:
    """Follow the best of `moves` as long as it gains."""
    while True:
        nearest = max((tuple(np.array(shift) + move) for move in moves), key=score)
        if score(nearest) <= score(shift):
            return shift
        shift = nearest


def _shells(imaging: Imaging) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `(shell,)` in 1/Å over the band, and the square roots of their quadrature weights."""
    nodes, weights = np.polynomial.legendre.leggauss(SHELLS)
    return imaging.band * (nodes + 1) / 2, np.sqrt(weights)


def _angular(points: np.ndarray) -> np.ndarray:
    """Spherical harmonics `(l * l + l + m, n)` in the directions of `points` `(n, 3)`."""
    x, y, z = points.T
    found = sph_harm_y_all(DEGREES - 1, DEGREES - 1, np.arctan2(np.hypot(x, y), z), np.arctan2(y, x))
    return np.concatenate([found[degree, np.arange(-degree, degree + 1)] for degree in range(DEGREES)])


@cache
def _sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions `(n, 3)` of a quadrature, the matrix from coefficients to samples there, and back.

    Exact for degrees that add up to less than `2 * rows`: a shift raises the degrees of what it moves.
    """
    rows = DEGREES + 4
    heights, weights = np.polynomial.legendre.leggauss(rows)
    azimuths = np.arange(2 * rows) * np.pi / rows
    across = np.sqrt(1 - heights**2)[:, None]
    height = np.broadcast_to(heights[:, None], (rows, 2 * rows))
    directions = np.stack([across * np.cos(azimuths), across * np.sin(azimuths), height], axis=-1)
    directions = directions.reshape(-1, 3)
    values = _angular(directions)
    return directions, values.T.copy(), values.conj() * np.repeat(weights, 2 * rows) * np.pi / rows


@cache
def _wigner() -> list[np.ndarray]:
    """Parts `(n, m, m')` of every Wigner matrix, n from 0: `d_mm'(beta) = sum_n part exp(-i n beta)`.

    They are the products of the eigenvectors of J_y; those of -n are the complex conjugates.
    """
    found = []
    for degree in range(DEGREES):
        m = np.arange(-degree, degree)
        raising = np.diag(np.sqrt(degree * (degree + 1) - m * (m + 1)), -1)
        vectors = np.linalg.eigh((raising - raising.T) / 2j)[1].T[degree:]
        found.append(vectors[:, :, None] * vectors.conj()[:, None, :])
    return found


def _spectrum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Fourier coefficients `(n, m, m')` of the correlation over the z-y-z Euler angles of a rotation of `a`.

    `C(alpha, beta, gamma) = sum F_nmm' exp(-i (n beta + m alpha + m' gamma))`: n from 0 (C is real), m and m'
    from `1 - DEGREES`.
    """
    total = np.zeros((DEGREES, 2 * DEGREES - 1, 2 * DEGREES - 1), dtype=complex)
    for degree, parts in enumerate(_wigner()):
        rows = slice(degree**2, (degree + 1) ** 2)
        orders = slice(DEGREES - 1 - degree, DEGREES + degree)
        total[: degree + 1, orders, orders] += parts * (b[rows].conj() @ a[rows].T)
    return total


def _over_rotations(spectrum: np.ndarray) -> np.ndarray:
    """Correlation on the grid of Euler angles `(beta, alpha, gamma)`, `ANGLES` a turn."""
    orders = np.arange(1 - DEGREES, DEGREES)
    padded = np.zeros((DEGREES, ANGLES, ANGLES), dtype=complex)
    padded[:, orders[:, None], orders] = spectrum
    return hfft(fft2(padded), ANGLES, axis=0)


def _refine(spectrum: np.ndarray) -> float:
    """Find the maximum near the best grid point, by the trigonometric polynomial itself."""
    grid = _over_rotations(spectrum)
    start = np.array(np.unravel_index(np.argmax(grid), grid.shape)) * 2 * np.pi / ANGLES
    orders, twice = np.arange(1 - DEGREES, DEGREES), np.where(np.arange(DEGREES) > 0, 2, 1)

    def loss(angles: np.ndarray) -> float:
        beta, alpha, gamma = np.exp(-1j * np.outer(angles, orders))
        return -float(((twice * beta[DEGREES - 1 :]) @ (spectrum @ gamma) @ alpha).real)

    simplex = start + np.vstack([np.zeros(3), 0.05 * np.eye(3)])
    return -float(minimize(loss, start, method="Nelder-Mead", options={"initial_simplex": simplex}).fun)
