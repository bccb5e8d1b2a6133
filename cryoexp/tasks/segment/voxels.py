"""What the tasks share that label the voxels of whole tomograms, segment and surface."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.datamodule import Batch
from cryoexp.data.patches import patch_numbers
from cryoexp.errors import ConfigError
from cryoexp.inference.request import Request
from cryoexp.inference.sliding import Slabs
from cryoexp.inference.tomograms import requested_tomograms, tomograms_of
from cryoexp.inference.whole import Tomogram
from cryoexp.progress import console
from cryoexp.tasks.at_work import at_work
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.segment.pictures import labels_of
from cryoexp.tasks.segment.scores import confusions
from cryoexp.tasks.segment.thresholds import choose_thresholds, count_tomograms
from cryoexp.tasks.segment.volume_files import file_names
from cryoexp.tasks.showcase import Showcase, show_classes

Label = Callable[[Tomogram, Path], Slabs]  # gives the probabilities of a tomogram, and may use a folder for it
DECIDE = ("argmax", "thresholds")
Found = dict[str, dict[str, int]]  # components by tomogram and class


class VoxelTask(Task):
    """Label the voxels of whole tomograms.

    A task fills in ``probability``, ``slabs_by``, ``write_tested`` and ``write_new``, and ``scores`` of confusion
    matrices.

    Args:
        decide: argmax, or thresholds, learned on validation.
        tta: turned copies of each window whose answers are averaged in the test.
        shared: see `Task`.

    Raises:
        ConfigError: another way to decide.
    """

    needs_sample = "tomogram"
    takes_any_size = True
    windows: ClassVar[int]  # at once in the test

    thresholds: Tensor  # `(k - 1,)` of the classes but the background

    def __init__(self, *, decide: str, tta: str, **shared: Any) -> None:
        super().__init__(**shared)
        if decide not in DECIDE:
            raise ConfigError(f"task.decide={decide}: choose one of {', '.join(DECIDE)}")
        self.decide, self.tta = decide, tta
        self.register_buffer("thresholds", torch.full((len(self.info.classes) - 1,), 0.5))  # learned on validation
        self.curves: np.ndarray = np.zeros(0)  # of validation, for the figure
        self.shown = Showcase()

    @abstractmethod
    def probability(self, prediction: Tensor) -> Tensor:
        """Turn what the network says, `(b, k, z, y, x)`, into probabilities of all classes, background first."""

    @abstractmethod
    def slabs_by(self, tta: str, batch_size: int, device: torch.device) -> Label:
        """Return what gives the probabilities of a tomogram's voxels, `(k, dz, y, x)`, from top to bottom.

        Args:
            tta: see the class.
            batch_size: windows at once.
            device: where the network is.
        """

    @abstractmethod
    def write_tested(self, label: Label, tomograms: Sequence[Tomogram], folder: Path) -> Scores:
        """Write everything of test tomograms into a run folder, and score it."""

    @abstractmethod
    def write_new(self, label: Label, tomograms: Sequence[Tomogram], folder: Path) -> Found:
        """Write everything of new tomograms into a folder, and count the components that were found."""

    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Return the confusion matrix of each patch; a patch is known by its tomogram and its corner."""
        tables = confusions(self.probability(prediction).argmax(1), batch["label"], len(self.info.classes))
        return {"index": patch_numbers(batch, self.info.shape), "confusion": tables}

    def test_scores(self, results: Batch) -> Scores:
        """Nothing yet: the test scores are those of whole tomograms, see `products`."""
        return {}

    def calibrate(self, results: Batch) -> list[str]:
        """Choose, on whole validation tomograms, the threshold of each class with the best Dice."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        with at_work(self, self.trainer.strategy.root_device) as device:
            self.curves = count_tomograms(tomograms_of(data, "val"), self.slabs_by(self.tta, self.windows, device))
        values, said = choose_thresholds(self.curves, self.info.classes, self.decide == "thresholds")
        self.thresholds.copy_(values)
        return said

    def products(self, results: Batch, data: Any, folder: Path) -> Scores:
        """Label the test tomograms as wholes, write everything, and score it."""
        tomograms, classes = tomograms_of(data, "test"), self.info.classes
        file_names([t.name for t in tomograms], classes)
        with at_work(self, self.trainer.strategy.root_device) as device:
            scores = self.write_tested(self.slabs_by(self.tta, self.windows, device), tomograms, folder)
        first, labels = tomograms[0], labels_of(tomograms[0], folder / "predictions")
        self.shown = show_classes(first.name, first.volume.data, labels, classes)
        chosen = zip(classes[1:], self.thresholds.tolist(), strict=True)
        return scores | {f"threshold_{name}": value for name, value in chosen}

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Show a slice of a test tomogram, and what was found in it of each class."""
        return self.shown

    def predict(self, request: Request, folder: Path) -> dict[str, Any]:
        """Label whole tomograms, write everything, and say how many components of each class there are."""
        tomograms, files = requested_tomograms(request, lambda names: file_names(names, self.info.classes))
        with at_work(self, request.devices[0]) as device:
            label = self.slabs_by(request.tta or self.tta, request.batch_size, device)
            found = self.write_new(label, tomograms, folder)
        for name, counts in found.items():
            console.print(f"{name}: components of " + ", ".join(f"{cls} {count}" for cls, count in counts.items()))
        return {"tomograms": files, "found": found}

    @property
    def rule(self) -> np.ndarray | None:
        """Thresholds by which voxels get their class; None: the likeliest."""
        return self.thresholds.cpu().numpy() if self.decide == "thresholds" else None
