"""Views of a particle: how it is turned, where it lies, how far out of focus it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import euler_to_matrix

ShiftDistribution = Literal["uniform", "triangular"]
ANGLES = ("rot", "tilt", "psi")
TURN = (2.0, 1.0, 2.0)  # all rotations: rot, tilt and psi in units of π


@dataclass(frozen=True)
class Views:
    """The truth of ``n`` images."""

    rotations: Tensor  # `(n, 3, 3)` float64, reference to image
    shifts: Tensor  # `(n, 2)` x, y of the particle in pixels from the centre (index size // 2)
    defocus: Tensor  # `(n,)` Å, positive is underfocus

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.rotations)

    def __getitem__(self, rows: Tensor | slice) -> "Views":
        """Take some of the views."""
        return Views(self.rotations[rows], self.shifts[rows], self.defocus[rows])

    def to(self, device: torch.device | str) -> "Views":
        """Move to a device."""
        return Views(self.rotations.to(device), self.shifts.to(device), self.defocus.to(device))


@dataclass(frozen=True, kw_only=True)
class ViewDistribution:
    """How views are drawn.

    Each of RELION's angles (rot, tilt, psi) lies in ``(shift + [0, coverage]) π``, tilt within 0..π.

    Args:
        rotations: haar (uniform over the rotations in this box; over all of them for coverage [2, 1, 2]) or angles
            (each angle uniform by itself, which crowds the views near the poles).
        angle_shift: of rot, tilt and psi, in units of π.
        angle_coverage: of rot, tilt and psi, in units of π.
        shift: particles lie within ± this many pixels of the centre along x and y.
        shift_distribution: uniform, or triangular (densest at the centre, and cut to whole pixels towards it).
        defocus: uniform between these two, µm, positive is underfocus.

    Raises:
        ConfigError: a value is out of range.
    """

    rotations: Literal["haar", "angles"]
    angle_shift: Sequence[float]
    angle_coverage: Sequence[float]
    shift: float
    shift_distribution: ShiftDistribution
    defocus: Sequence[float]

    def __post_init__(self) -> None:
        if self.rotations not in ("haar", "angles"):
            raise ConfigError(f"dataset.rotations={self.rotations}: choose one of haar, angles")
        _check_angles(self.angle_shift, self.angle_coverage)
        if not (math.isfinite(self.shift) and self.shift >= 0):
            raise ConfigError(f"dataset.shift={self.shift} must not be negative")
        if self.shift_distribution not in get_args(ShiftDistribution):
            known = ", ".join(get_args(ShiftDistribution))
            raise ConfigError(f"dataset.shift_distribution={self.shift_distribution}: choose one of {known}")
        if not _are_numbers(self.defocus, 2) or not 0 <= self.defocus[0] <= self.defocus[1] <= 50:
            raise ConfigError(
                f"dataset.optics.defocus={self.defocus}: give the least and the largest, within 0..50 µm "
                "(positive is underfocus)"
            )

    @property
    def share(self) -> float:
        """Share of all rotations that lie in the box of angles."""
        rot, tilt, psi = self._bounds()
        return (rot[1] - rot[0]) * (math.cos(tilt[0]) - math.cos(tilt[1])) * (psi[1] - psi[0]) / (8 * math.pi**2)

    def draw(self, n: int, generator: torch.Generator) -> Views:
        """Draw ``n`` views from a CPU generator.

        The Haar measure is d(rot) d(cos tilt) d(psi), so a box of angles is sampled without rejection.
        """
        rot, tilt, psi = (low + (high - low) * _uniform(n, generator) for low, high in self._measure())
        angles = torch.stack([rot, tilt.clamp(-1, 1).arccos() if self.rotations == "haar" else tilt, psi], 1)
        shifts = self._shifts(n, generator)
        low, high = self.defocus
        defocus = 1e4 * (low + (high - low) * _uniform(n, generator))
        return Views(euler_to_matrix(angles), shifts.float(), defocus.float())

    def _shifts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `(n, 2)` x, y in pixels; the difference of two uniform numbers is triangular."""
        first = torch.stack([_uniform(n, generator), _uniform(n, generator)], 1)
        if self.shift_distribution == "uniform":
            return self.shift * (2 * first - 1)
        return (self.shift * (first - torch.stack([_uniform(n, generator), _uniform(n, generator)], 1))).trunc()

    def _bounds(self) -> list[tuple[float, float]]:
        """Least and largest rot, tilt and psi in radians."""
        both = zip(self.angle_shift, self.angle_coverage, strict=True)
        return [(math.pi * shift, math.pi * (shift + coverage)) for shift, coverage in both]

    def _measure(self) -> list[tuple[float, float]]:
        """Bounds of what is uniform: the angles, or the cosine of tilt in place of tilt."""
        rot, tilt, psi = self._bounds()
        return [rot, (math.cos(tilt[0]), math.cos(tilt[1])) if self.rotations == "haar" else tilt, psi]


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, dtype=torch.float64)


def _are_numbers(values: Any, count: int) -> bool:
    return isinstance(values, list | tuple) and len(values) == count and all(isinstance(v, int | float) for v in values)


def _check_angles(shift: Sequence[float], coverage: Sequence[float]) -> None:
    for key, values in (("angle_shift", shift), ("angle_coverage", coverage)):
        if not _are_numbers(values, 3):
            raise ConfigError(f"dataset.{key}={values}: give three numbers (rot, tilt, psi) in units of π")
    for name, first, width, turn in zip(ANGLES, shift, coverage, TURN, strict=True):
        if not 0 <= width <= turn:
            raise ConfigError(
                f"dataset.angle_coverage={coverage}: that of {name} must be between 0 and {turn:g}, in units of π"
            )
        last = turn - width if name == "tilt" else turn
        if not 0 <= first <= last + 1e-9:
            with_coverage = f" with a coverage of {width:g}" if name == "tilt" else ""
            raise ConfigError(
                f"dataset.angle_shift={shift}: that of {name}{with_coverage} must be between 0 and {last:g}, "
                "in units of π"
            )
