"""The segment task: the class of every voxel of a tomogram."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.data.patches import patch_numbers
from cryoexp.errors import ConfigError
from cryoexp.inference.request import Request
from cryoexp.inference.sliding import Slabs
from cryoexp.inference.tomograms import requested_tomograms, tomograms_of
from cryoexp.inference.whole import Tomogram, Way, probability_slabs
from cryoexp.models import name_of
from cryoexp.progress import console
from cryoexp.tasks.at_work import at_work
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.segment.class_weights import class_weights, describe_weights
from cryoexp.tasks.segment.inputs import by_slices
from cryoexp.tasks.segment.labelling import Kept, Kinds, matching, minimum_voxels
from cryoexp.tasks.segment.losses import make_loss
from cryoexp.tasks.segment.products import labels_of, write_new, write_products
from cryoexp.tasks.segment.scores import confusions, voxel_scores
from cryoexp.tasks.segment.thresholds import choose_thresholds, count_tomograms
from cryoexp.tasks.segment.volume_files import file_names
from cryoexp.tasks.showcase import Showcase, show_classes

Decide = Literal["argmax", "thresholds"]
BATCH = 20  # windows at once in the test


class Segment(Task):
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
        tta: none, y180, d2 or d2h: turned copies of each window whose answers are averaged in the test.
        decide: argmax, or thresholds, learned on validation.
        min_voxels: of a component, for all classes or by name.
        probabilities: float16, percent or none: how they are written.
        entropy: whether it is written.
        skeletons: whether those of membranes and filaments are written.
        surface_tolerance: voxels, for the surface Dice.
        net: the network.
        channels_last: memory layout of volumes; slices are faster in torch's own.
        shared: see `Task`.
    """

    needs_sample = "tomogram"
    needs_output = ("volume", "image")
    takes_any_size = True
    objective = "val/miou"

    thresholds: Tensor

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
        tta: str,
        decide: Decide,
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
        if decide not in get_args(Decide):
            raise ConfigError(f"task.decide={decide}: choose one of {', '.join(get_args(Decide))}")
        self.kinds = Kinds(*(matching(classes, patterns) for patterns in (membranes, filaments, particles)))
        self.kept = Kept(classes, self.kinds, probabilities, entropy, minimum_voxels(classes, min_voxels), skeletons)
        self.window, self.overlap, self.axes, self.tta = window, overlap, axes, tta
        self.way(tta, BATCH, torch.device("cpu"))  # refuses what does not fit
        self.decide, self.surface_tolerance = decide, surface_tolerance
        self.voxel_loss = make_loss(loss, torch.ones(len(classes)), thin=self.kinds.thin)
        self.register_buffer("thresholds", torch.full((len(classes) - 1,), 0.5))  # learned on validation
        self.curves: np.ndarray = np.zeros(0)  # of validation, for the figure
        self.shown = Showcase()

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

    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Return the confusion matrix of each patch; a patch is known by its tomogram and its corner."""
        tables = confusions(prediction.argmax(1), batch["label"], len(self.info.classes))
        return {"index": patch_numbers(batch, self.info.shape), "confusion": tables}

    def scores(self, results: Batch) -> Scores:
        """Score the voxels of all patches together."""
        return voxel_scores(results["confusion"].sum(0).numpy(), self.info.classes)

    def test_scores(self, results: Batch) -> Scores:
        """Nothing yet: the test scores are those of whole tomograms, see `products`."""
        return {}

    def calibrate(self, results: Batch) -> list[str]:
        """Choose, on whole validation tomograms, the threshold of each class with the best Dice."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        with at_work(self, self.trainer.strategy.root_device) as device:
            way = self.way(self.tta, BATCH, device)
            self.curves = count_tomograms(tomograms_of(data, "val"), lambda t, scratch: self.slabs(t, way, scratch))
        values, said = choose_thresholds(self.curves, self.info.classes, self.decide == "thresholds")
        self.thresholds.copy_(values)
        return said

    def products(self, results: Batch, data: Any, folder: Path) -> Scores:
        """Label the test tomograms as wholes, write everything, and score it."""
        tomograms = tomograms_of(data, "test")
        with at_work(self, self.trainer.strategy.root_device) as device:
            scores = write_products(self, tomograms, self.way(self.tta, BATCH, device), folder)
        first, labels = tomograms[0], labels_of(tomograms[0], folder / "predictions")
        self.shown = show_classes(first.name, first.volume.data, labels, self.info.classes)
        return scores

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Show a test tomogram and the surface of each class that was found in it."""
        return self.shown

    def predict(self, request: Request, folder: Path) -> dict[str, Any]:
        """Label whole tomograms and write labels, probabilities, components, centroids, skeletons and a picture."""
        tomograms, files = requested_tomograms(request, lambda names: file_names(names, self.info.classes))
        with at_work(self, request.devices[0]) as device:
            way = self.way(request.tta or self.tta, request.batch_size, device)
            found = write_new(self, tomograms, way, folder)
        return {"tomograms": files, "found": found}

    def way(self, tta: str, batch_size: int, device: torch.device) -> Way:
        """Say how the network goes over tomograms."""
        return Way(tuple(self.window), self.overlap, self.axes, tta, self.flat, self.neighbours, batch_size, device)

    def slabs(self, tomogram: Tomogram, way: Way, scratch: Path) -> Slabs:
        """Yield the probabilities of a tomogram's voxels from top to bottom."""
        return probability_slabs(lambda given: torch.softmax(self(given).float(), 1), tomogram, way, scratch)

    @property
    def rule(self) -> np.ndarray | None:
        """Thresholds by which voxels get their class; None: the likeliest."""
        return self.thresholds.cpu().numpy() if self.decide == "thresholds" else None
