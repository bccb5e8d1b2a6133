"""What a specimen holds, as a config says it."""

from dataclasses import dataclass
from typing import Any

from cryoexp.errors import ConfigError

DENSEST = 0.45  # of the volume; no packing of this kind goes beyond
KINDS = ("vesicle", "ellipsoid", "tube", "sheet")
MEMBRANE_KEYS = {"kind", "count", "double", "radius"}


@dataclass(frozen=True, kw_only=True)
class SceneRecipe:
    """What a specimen holds.

    Args:
        numbers: of particles by structure: relative ones with ``mass_fraction``, counts without; None: equal numbers
            of all structures.
        mass_fraction: of the volume, taken by particles of 1.21 Å³ a dalton: 0.01 dilute, 0.025 as in SHREC,
            0.10 dense, 0.20 as in cytoplasm.
        gap: voxels left free around each particle at least.
        touching: share of the particles that are put right beside another.
        membrane_bound: share of the particles that sit on a membrane, their z axis along its normal.
        membranes: list of ``kind`` (vesicle, ellipsoid, tube or sheet), ``count``, ``double``, ``radius`` [low, high]
            in Å.
        bilayer_thickness: [low, high] in Å, from head groups to head groups.
        leaflet_sigma: [low, high] in Å, standard deviation of a leaflet's head groups.
        bilayer_gap: [low, high] in Å between the middles of the two bilayers of a double membrane.
        filaments: numbers of ``microtubule``, ``actin`` and ``intermediate``.
        filament_lean: degrees, the most that filaments lean out of the plane of the specimen.
        beads: gold beads.
        bead_radius: [low, high] in Å.
        carbon: whether the edge of a carbon film crosses the field.
        carbon_hole: radius of the film's hole in Å.
        carbon_thickness: of the film in Å.
    """

    numbers: dict[str, float] | None
    mass_fraction: float | None
    gap: int
    touching: float
    membrane_bound: float
    membranes: list[dict[str, Any]]
    bilayer_thickness: tuple[float, float]
    leaflet_sigma: tuple[float, float]
    bilayer_gap: tuple[float, float]
    filaments: dict[str, int]
    filament_lean: float
    beads: int
    bead_radius: tuple[float, float]
    carbon: bool
    carbon_hole: float
    carbon_thickness: float

    def __post_init__(self) -> None:
        if self.mass_fraction is not None and not 0 <= self.mass_fraction <= DENSEST:
            raise ConfigError(
                f"dataset.scene.mass_fraction={self.mass_fraction}: particles can take 0 to {DENSEST} of the volume "
                "(0.01 dilute, 0.025 as in SHREC, 0.2 as in cytoplasm)"
            )
        if self.mass_fraction is None and self.numbers is None:
            raise ConfigError("dataset.scene: give mass_fraction, or numbers of particles by structure")
        for key in ("touching", "membrane_bound"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"dataset.scene.{key}={getattr(self, key)} must be a share from 0 to 1")
        for key in ("bilayer_thickness", "leaflet_sigma", "bilayer_gap", "bead_radius"):
            _check_range(key, getattr(self, key))
        for key in ("carbon_hole", "carbon_thickness"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"dataset.scene.{key}={getattr(self, key)} must be positive, in Å")
        if self.membrane_bound and not any(m.get("count") for m in self.membranes):
            raise ConfigError(f"dataset.scene.membrane_bound={self.membrane_bound}: there are no membranes to sit on")
        for entry in self.membranes:
            _check_membrane(entry)
        for key in ("gap", "beads"):
            _check_count(key, getattr(self, key))
        for kind, count in self.filaments.items():
            _check_count(f"filaments.{kind}", count)


def _check_membrane(entry: Any) -> None:
    if not isinstance(entry, dict) or set(entry) != MEMBRANE_KEYS:
        raise ConfigError(f"dataset.scene.membranes: {entry} needs exactly {', '.join(sorted(MEMBRANE_KEYS))}")
    if entry["kind"] not in KINDS:
        raise ConfigError(f"dataset.scene.membranes: kind={entry['kind']}: choose one of {', '.join(KINDS)}")
    _check_count("membranes: count", entry["count"])
    _check_range("membranes: radius", entry["radius"])


def _check_count(key: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"dataset.scene.{key}={value} must be a whole number from 0 on")


def _check_range(key: str, value: Any) -> None:
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if len(numbers) != 2 or not all(isinstance(n, int | float) for n in numbers) or not 0 < numbers[0] <= numbers[1]:
        raise ConfigError(f"dataset.scene.{key}={numbers} must be a range [low, high] in Å above 0")
