"""What decides the content of a dataset of simulated subtomograms."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cryoexp.data.splits import check_split
from cryoexp.errors import ConfigError
from cryoexp.physics.optics import Optics
from cryoexp.simulate.recipe import DENSEST
from cryoexp.simulate.structures import Structure
from cryoexp.simulate.subtomograms import SubtomogramSimulator
from cryoexp.simulate.templates import Template, make_templates

CHUNK = 32  # items simulated at once, from one seed: the content does not depend on the number of workers


@dataclass(frozen=True, kw_only=True)
class SubtomogramRecipe:
    """Everything that decides the content of the dataset, see `cryoexp.data.SubtomogramData`."""

    structures: list[str | Path]
    per_class: int
    background: int
    box: int
    voxel_size: float
    neighbours: int
    crowding: Literal["none", "spheres", "contact", "scene"]
    mass_fraction: float
    jitter: float
    nearest_target: bool
    contrast: Literal["dark", "bright"]
    optics: Optics
    split: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        if len(self.structures) < 2:
            raise ConfigError(f"dataset.structures: {len(self.structures)} structure; telling apart needs two or more")
        check_split(self.split)
        for key in ("per_class", "background", "box", "neighbours", "seed"):
            if not isinstance(getattr(self, key), int):
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must be a whole number")
        if self.per_class < 3:
            raise ConfigError(f"dataset.per_class={self.per_class}: three splits need at least 3")
        for key in ("box", "voxel_size"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must be positive")
        for key in ("background", "neighbours", "jitter", "seed"):
            if getattr(self, key) < 0:
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must not be negative")
        if 0 < self.background < 6:
            raise ConfigError(
                f"dataset.background={self.background}: two kinds of boxes in three splits need at least 6; 0 for none"
            )
        if not 0 <= self.mass_fraction <= DENSEST:
            raise ConfigError(f"dataset.mass_fraction={self.mass_fraction} is outside 0..{DENSEST}")
        if self.crowding == "scene":
            self._check_scenes()
        for key, known in (("crowding", ("none", "spheres", "contact", "scene")), ("contrast", ("dark", "bright"))):
            if getattr(self, key) not in known:
                raise ConfigError(f"dataset.{key}={getattr(self, key)}: choose one of {', '.join(known)}")

    @property
    def targets(self) -> int:
        """Number of boxes with a target."""
        return self.per_class * len(self.structures)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the cache key and dataset.yaml."""
        values = {**asdict(self), "structures": [str(s) for s in self.structures], "split": list(self.split)}
        if not self.background:  # the data are those of versions that had no background: so is their name in the cache
            del values["background"]
        return values

    def simulator(self, structures: Sequence[Structure]) -> SubtomogramSimulator:
        """Make the simulator for loaded structures."""
        return self.simulator_of(make_templates(structures, self.voxel_size), self.box)

    def simulator_of(self, templates: list[Template], box: int) -> SubtomogramSimulator:
        """Make the simulator for templates, in boxes of any edge in voxels."""
        return SubtomogramSimulator(
            templates,
            voxel_size=self.voxel_size,
            box=box,
            neighbours=self.neighbours,
            crowding=self.crowding,
            mass_fraction=self.mass_fraction,
            jitter=self.jitter,
            nearest_target=self.nearest_target,
            contrast=self.contrast,
            optics=self.optics,
        )

    def _check_scenes(self) -> None:
        for key, boxes in (("per_class", self.targets), ("background", self.background)):
            if 0 < boxes <= 2 * CHUNK:
                raise ConfigError(
                    f"dataset.{key}={getattr(self, key)}: crowding=scene cuts {CHUNK} boxes from each scene, and a "
                    f"scene belongs to one split; give more than {2 * CHUNK} boxes in all"
                )
