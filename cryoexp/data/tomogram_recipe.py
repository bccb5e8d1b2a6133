"""What decides the content of a dataset of simulated electron tomograms."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cryoexp.data.splits import check_counts
from cryoexp.errors import ConfigError
from cryoexp.simulate.recipe import SceneRecipe
from cryoexp.simulate.scene import OTHER_PARTS
from cryoexp.simulate.tilt_optics import TiltOptics


@dataclass(frozen=True, kw_only=True)
class TomogramRecipe:
    """Everything that decides the content of the dataset, see `cryoexp.data.TomogramData`."""

    structures: list[str | Path]
    shape: tuple[int, ...]
    voxel_size: float
    contrast: Literal["dark", "bright"]
    scene: SceneRecipe
    labels: dict[str, list[str]] | None
    optics: TiltOptics
    split: tuple[int, ...]
    seed: int

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not all(isinstance(n, int) and n >= 8 for n in self.shape):
            raise ConfigError(f"dataset.shape={list(self.shape)}: give three whole numbers (z, y, x) from 8 on")
        if not 0 < self.voxel_size < 1000:
            raise ConfigError(f"dataset.voxel_size={self.voxel_size} must be positive, in Å")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"dataset.seed={self.seed} must be a whole number from 0 on")
        if not isinstance(self.scene, SceneRecipe):
            raise ConfigError(f"dataset.scene={self.scene}: change its keys, for example dataset.scene.beads=3")
        if self.contrast not in ("dark", "bright"):
            raise ConfigError(f"dataset.contrast={self.contrast}: choose dark or bright")
        check_counts(self.split)

    def classes(self, names: list[str]) -> dict[str, list[str]]:
        """Return the parts of each labelled class; without ``labels`` every structure and part is its own.

        Raises:
            ConfigError: a label names what the scene cannot hold.
        """
        taken = sorted(set(names) & {*OTHER_PARTS, "background"})
        if taken:
            raise ConfigError(f"dataset.structures: {', '.join(taken)} means something else here; rename the file")
        if len({n.replace("_", "-") for n in names}) < len(names):
            raise ConfigError("dataset.structures: names that differ only in - and _ would share a file of picks")
        if self.labels is None:
            return {part: [part] for part in [*names, *self._other_parts()]}
        unknown = sorted({part for parts in self.labels.values() for part in parts} - {*names, *OTHER_PARTS})
        if unknown:
            known = ", ".join([*names, *OTHER_PARTS])
            raise ConfigError(f"dataset.labels names {', '.join(unknown)}; a scene of these structures has {known}")
        listed = [part for parts in self.labels.values() for part in parts]
        if len(set(listed)) < len(listed) or not all(self.labels.values()) or "background" in self.labels:
            raise ConfigError(
                f"dataset.labels={self.labels}: every class (background is there anyway) needs parts of its own"
            )
        return self.labels

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the cache key and dataset.yaml."""
        return {**asdict(self), "structures": [str(s) for s in self.structures]}

    def _other_parts(self) -> list[str]:
        scene = self.scene
        there = {kind for kind, count in scene.filaments.items() if count}
        there |= {"double_membrane" if m["double"] else "single_membrane" for m in scene.membranes if m["count"]}
        there |= {"fiducial"} if scene.beads else set()
        there |= {"carbon"} if scene.carbon else set()
        return [part for part in OTHER_PARTS if part in there]
