"""Centre maps of whole tomograms, from which patches are read: no border of a patch distorts them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.datamodule import Batch
from cryoexp.data.patch_samples import PatchSamples, Window
from cryoexp.tasks.detect.targets import centre_map, edge_map, gaussian_map
from cryoexp.tasks.detect.truth import Truth, true_particles

Target = Literal["centre", "edge", "gaussian"]
SIGMA = 1 / 3  # of a Gaussian, in radii of the particle


class TargetMaps:
    """Centre maps of the tomograms of a split, in mapped files; goes to loader processes without them.

    Args:
        paths: of the files, ``.npy``, in the order of the tomograms.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._maps: dict[int, np.ndarray] = {}

    def __call__(self, number: int, window: Window) -> np.ndarray:
        """Return a window of the map of a tomogram, float32."""
        if number not in self._maps:
            self._maps[number] = np.load(self.paths[number], mmap_mode="r")
        return self._maps[number][window].astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


def give_targets(samples: PatchSamples, kind: Target, folder: Path) -> list[Truth]:
    """Make the centre maps of a split and let its patches hold them as ``target``.

    Args:
        samples: of the split.
        kind: see `make_target`.
        folder: that exists, for the files: two bytes a voxel.

    Returns:
        The true particles of each tomogram, without their voxels.
    """
    paths, truths = [], []
    for number, region in enumerate(samples.regions):
        z, y, x = region.shape
        labels = samples.read_labels(number, (slice(0, z), slice(0, y), slice(0, x))).astype(np.uint8)
        truth = true_particles(labels, samples.instances(number)[:])
        paths.append(folder / f"{number}.npy")
        out = np.lib.format.open_memmap(paths[-1], "w+", np.float16, region.shape)
        make_target(truth, kind, out)
        truths.append(truth._replace(numbers=np.zeros((0, 0, 0), np.int32)))
    samples.target = TargetMaps(paths)
    return truths


def make_target(truth: Truth, kind: Target, out: np.ndarray) -> np.ndarray:
    """Fill ``out``, `(z, y, x)` of zeros, with a centre map of all particles, and return it.

    Args:
        truth: of a tomogram; of a patch, maps of particles that it cuts are distorted.
        kind: ``centre`` or ``edge`` (see `cryoexp.tasks.detect.targets`), or ``gaussian``, whose sigma is a third of
            the radius of the particle.
        out: to fill.
    """
    match kind:
        case "centre":
            return centre_map(truth.numbers, out=out)
        case "edge":
            out[:] = edge_map(truth.numbers)
            return out
        case "gaussian":
            if not len(truth.centres):
                return out
            z, y, x = out.shape
            return gaussian_map(truth.centres, (z, y, x), SIGMA * truth.radii, out)


def patch_targets(batch: Batch, kind: Target) -> Tensor:
    """Make centre maps of patches by themselves, as the original does: particles that a patch cuts are distorted.

    Args:
        batch: with ``label`` and ``instance``, `(b, z, y, x)`.
        kind: see `make_target`.

    Returns:
        `(b, z, y, x)` float32.
    """
    labels, instances = (batch[key].cpu().numpy() for key in ("label", "instance"))
    parts = zip(labels, instances, strict=True)
    maps = [make_target(true_particles(*part), kind, np.zeros(part[0].shape, np.float32)) for part in parts]
    return torch.from_numpy(np.stack(maps)).to(batch["label"].device)
