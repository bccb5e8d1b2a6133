"""The segment task: the class of every voxel of a tomogram."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.errors import ConfigError
from cryoexp.inference.whole import Tomogram, Way, probability_slabs
from cryoexp.models import name_of
from cryoexp.progress import console
from cryoexp.tasks.base import Scores
from cryoexp.tasks.segment.class_weights import class_weights, describe_weights
from cryoexp.tasks.segment.inputs import by_slices
from cryoexp.tasks.segment.labelling import Kept, Kinds, matching, minimum_voxels
from cryoexp.tasks.segment.losses import make_loss
from cryoexp.tasks.segment.products import write_new, write_products
from cryoexp.tasks.segment.scores import voxel_scores
from cryoexp.tasks.segment.voxels import Found, Label, VoxelTask


class Segment(VoxelTask):
    """Label voxels, with a network for volumes or one for slices.

    Args:
        loss: see `cryoexp.tasks.segment.losses`.
        class_weights: inverse, median_frequency or none, see `cryoexp.tasks.segment.class_weights`.
        neighbours: slices on either side that a network for slices sees as channels.
        membranes: patterns of the names of classes that are sheets.
        filaments: patterns of the names of classes that are lines.
        particles: patterns of the names of classes that are compact objects.
        window: (z, y, x) voxels that go through the network at once, on whole tomograms.
        overlap: of neighbouring windows, as a share of the window.
        axes: z, or zyx for networks for slices.
        min_voxels: of a component, for all classes or by name.
        probabilities: float16, percent or none: how they are written.
        entropy: whether it is written.
        skeletons: whether those of membranes and filaments are written.
        surface_tolerance: voxels, for the surface Dice.
        net: the network.
        channels_last: memory layout of volumes; slices are faster in torch's own.
        shared: see `VoxelTask`; ``tta`` is none, y180, d2 or d2h.
    """

    needs_output = ("volume", "image")
    objective = "val/miou"
    windows = 20

    def __init__(
        self,
        *,
        loss: str,
        class_weights: str,
        neighbours: int,
        membranes: Sequence[str],
        filaments: Sequence[str],
        particles: Sequence[str],
        window: Sequence[int],
        overlap: float,
        axes: str,
        min_voxels: int | Mapping[str, int],
        probabilities: str,
        entropy: bool,
        skeletons: bool,
        surface_tolerance: float,
        net: nn.Module,
        channels_last: bool,
        **shared: Any,
    ) -> None:
        super().__init__(net=net, channels_last=channels_last and net.output == "volume", **shared)
        classes = self.info.classes
        self.flat, self.neighbours, self.weighing = self.net.output == "image", neighbours, class_weights
        if neighbours and not self.flat:
            raise ConfigError(
                f"task.neighbours={neighbours} is for networks that see slices, and {name_of(self.net)} sees volumes"
            )
        if surface_tolerance < 0:
            raise ConfigError(f"task.surface_tolerance={surface_tolerance}: give 0 voxels or more")
        self.kinds = Kinds(*(matching(classes, patterns) for patterns in (membranes, filaments, particles)))
        self.kept = Kept(classes, self.kinds, probabilities, entropy, minimum_voxels(classes, min_voxels), skeletons)
        self.window, self.overlap, self.axes = window, overlap, axes
        self.way(self.tta, self.windows, torch.device("cpu"))  # refuses what does not fit
        self.surface_tolerance = surface_tolerance
        self.voxel_loss = make_loss(loss, torch.ones(len(classes)), thin=self.kinds.thin)

    @classmethod
    def channels(cls, info: DataInfo, config: Mapping[str, Any]) -> dict[str, int]:
        """One channel, or those of a slice and its neighbours; a logit a class out."""
        if config["neighbours"] < 0:
            raise ConfigError(f"task.neighbours={config['neighbours']}: give 0 slices or more")
        return {"in_channels": info.channels * (2 * config["neighbours"] + 1), "out_channels": len(info.classes)}

    def setup(self, stage: str) -> None:
        """Weigh the classes by the voxels of the training split."""
        if stage != "fit":
            return
        counts = self.trainer.datamodule.slice_counts  # type: ignore[attr-defined]
        weights = class_weights(counts, self.weighing)
        self.voxel_loss.weigh(weights)
        if self.global_rank == 0:
            console.print(describe_weights(weights, counts, self.info.classes, self.weighing))

    def forward(self, volumes: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, k, z, y, x)` logits."""
        net = super().forward
        return by_slices(net, volumes, self.neighbours) if self.flat else net(volumes)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the loss of every voxel that is not ignored."""
        loss: Tensor = self.voxel_loss(prediction, batch["label"])
        return loss

    def scores(self, results: Batch) -> Scores:
        """Score the voxels of all patches together."""
        return voxel_scores(results["confusion"].sum(0).numpy(), self.info.classes)

    def way(self, tta: str, batch_size: int, device: torch.device) -> Way:
        """Say how the network goes over tomograms."""
        return Way(tuple(self.window), self.overlap, self.axes, tta, self.flat, self.neighbours, batch_size, device)

    def slabs_by(self, tta: str, batch_size: int, device: torch.device) -> Label:
        """Return what gives the probabilities of a tomogram's voxels, see `VoxelTask`."""
        way = self.way(tta, batch_size, device)
        return lambda tomogram, scratch: probability_slabs(lambda x: self.probability(self(x)), tomogram, way, scratch)

    def probability(self, prediction: Tensor) -> Tensor:
        """Turn logits into probabilities."""
        return torch.softmax(prediction.float(), 1)

    def write_tested(self, label: Label, tomograms: Sequence[Tomogram], folder: Path) -> Scores:
        """Write labels, probabilities, components, centroids, skeletons, scores and figures."""
        return write_products(self, label, tomograms, folder)

    def write_new(self, label: Label, tomograms: Sequence[Tomogram], folder: Path) -> Found:
        """Write labels, probabilities, components, centroids, skeletons and a picture."""
        return write_new(self, label, tomograms, folder)
