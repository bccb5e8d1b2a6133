"""The detect task: particles one by one, in tomograms where many touch."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from weakref import finalize

import numpy as np
import torch
from torch import Tensor, nn

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.data.patches import patch_numbers
from cryoexp.errors import ConfigError
from cryoexp.inference.request import Request
from cryoexp.inference.tomograms import requested_tomograms, tomograms_of
from cryoexp.inference.whole import Tomogram, Way, probability_slabs
from cryoexp.progress import console
from cryoexp.tasks.at_work import at_work
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.detect.align import align as align_picks
from cryoexp.tasks.detect.answer import Answer, all_channels, collect
from cryoexp.tasks.detect.calibrate import choose_thresholds, describe_choice, learn_references
from cryoexp.tasks.detect.evaluation import Sweep
from cryoexp.tasks.detect.finding import Found, Separating, check_crowd, find_picks, in_crowds
from cryoexp.tasks.detect.keys import check_keys
from cryoexp.tasks.detect.losses import make_loss
from cryoexp.tasks.detect.measure import Measured, counted, measure
from cryoexp.tasks.detect.patch_scores import patch_counts, pool_counts
from cryoexp.tasks.detect.products import file_names, write_new, write_products
from cryoexp.tasks.detect.target_maps import Target, give_targets, patch_targets
from cryoexp.tasks.detect.truth import class_radii, true_particles
from cryoexp.tasks.showcase import Showcase

BATCH = 20  # windows at once in the test
SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class Detect(Task):
    """Find particles with a network for a mask and a map of their centres.

    Args:
        target: centre, edge or gaussian, see `cryoexp.tasks.detect.target_maps`.
        mask_loss: see `cryoexp.tasks.detect.losses`.
        center_loss: likewise.
        center_share: likewise.
        window: (z, y, x) voxels that go through the network at once, on whole tomograms.
        overlap: of neighbouring windows, as a share of the window.
        tta: none, y180, d2 or d2h: turned copies of each window whose answers are averaged in the test.
        mask_thresholds: of the mask, of which validation chooses one.
        center_thresholds: of the peaks of the centre map, likewise.
        score_threshold: of the score of a pick; None: learned on validation.
        min_volume: see `Separating`.
        peak_distance: likewise.
        maxima: likewise.
        split: likewise.
        orphans: likewise.
        connectivity: likewise.
        place: of a pick, ``where`` of `measure_picks`.
        align: degrees between the rotations in which averages of the training's particles are laid on picks, to place
            them better, see `cryoexp.tasks.detect.align`; None: picks stay. Where orientations are not known, or where
            it does not help on validation, they stay as well.
        score: of a pick, see `measure_picks`.
        neighbours: ``count`` other picks that each needs within ``distance`` in Å.
        near: ``mask`` (a file or a pattern with {name}) of a structure, and ``between`` which distances in Å from it
            picks lie, on new data; None: anywhere.
        match: share of a particle's radius that a pick may be off.
        rules: none, shrec or czii: scores by those rules too.
        net: the network.
        shared: see `Task`.
    """

    needs_sample = "tomogram"
    needs_output = "mask_center"
    takes_any_size = True
    objective = "val/f1"

    thresholds: Tensor  # of mask, centres and score
    references: Tensor  # `(k, e, e, e)` averages of the classes by which picks are aligned, see `References`
    radii: Tensor  # `(k,)` Å of the classes, the median over the particles of training, see `Truth`

    def __init__(
        self,
        *,
        target: Target,
        mask_loss: str,
        center_loss: str,
        center_share: float,
        window: Sequence[int],
        overlap: float,
        tta: str,
        mask_thresholds: Sequence[float],
        center_thresholds: Sequence[float],
        score_threshold: float | None,
        min_volume: float,
        peak_distance: float,
        maxima: str,
        split: str,
        orphans: str,
        connectivity: int,
        place: str,
        align: float | None,
        score: str,
        neighbours: Mapping[str, Any],
        near: Mapping[str, Any] | None,
        match: float,
        rules: str,
        net: nn.Module,
        **shared: Any,
    ) -> None:
        super().__init__(net=net, **shared)
        check_keys(target, mask_thresholds, center_thresholds, place, align, score, match, rules, near)
        check_crowd(neighbours)
        if len(self.info.classes) < 2:
            raise ConfigError("dataset: has no class of particles. Name one in dataset.labels")
        self.target, self.center_loss = target, center_loss
        self.map_loss = make_loss(mask_loss, center_loss, center_share)
        self.window, self.overlap, self.tta = window, overlap, tta
        self.way(tta, BATCH, torch.device("cpu"))  # refuses what does not fit
        self.choices = [[float(value) for value in each] for each in (mask_thresholds, center_thresholds)]
        self.grid = [(mask, center) for mask, center in product(*self.choices)]
        self.separating = Separating(
            *self.grid[len(self.grid) // 2], min_volume, peak_distance, maxima, split, orphans, connectivity
        )
        self.separating.rule(1.0)  # refuses what does not fit
        self.place: Any = place
        self.score: Any = score
        self.align = align
        self.given_score, self.neighbours, self.near = score_threshold, dict(neighbours), near
        self.match, self.rules = match, rules
        self.register_buffer("thresholds", torch.tensor([*self.grid[len(self.grid) // 2], 0.25]))
        self.register_buffer("radii", torch.zeros(len(self.info.classes) - 1))
        self.register_buffer("references", torch.zeros(len(self.info.classes) - 1, 0, 0, 0))  # none are known yet
        self.curve: Sweep | None = None  # of validation, for the figure
        self.shown = Showcase()
        self._maps: dict[str, Path] = {}

    @classmethod
    def channels(cls, info: DataInfo, config: Mapping[str, Any]) -> dict[str, int]:
        """A logit for each class of particles, and the centre map."""
        return {"in_channels": info.channels, "out_channels": len(info.classes)}

    def setup(self, stage: str) -> None:
        """Make the centre maps of whole tomograms, and learn how large the particles of training are."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        for split in SPLITS.get(stage, ()):
            if split in self._maps:
                continue
            self._maps[split] = Path(mkdtemp(prefix="cryoexp-centres-"))
            finalize(self, shutil.rmtree, self._maps[split], ignore_errors=True)  # with the task, or when all ends
            truths = give_targets(data.splits[split], self.target, self._maps[split])
            if split == "train":
                sizes = class_radii(truths, len(self.info.classes) - 1) * self.info.voxel_size
                self.radii.copy_(torch.from_numpy(np.where(sizes > 0, sizes, sizes.max(initial=0))))

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the loss of every voxel that is not ignored.

        Without ``target`` in the batch, outside of a run, centre maps are made from the patches alone.
        """
        target = batch["target"] if "target" in batch else patch_targets(batch, self.target)
        loss: Tensor = self.map_loss(prediction, batch["label"], target)
        return loss

    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Return what is found, patch by patch; a patch is known by its tomogram and its corner."""
        channels = all_channels(prediction, self.center_loss).cpu().numpy()
        labels, instances = (batch[key].cpu().numpy() for key in ("label", "instance"))
        radii = self.sizes(self.info.voxel_size)
        rule = self.separating.rule(float(radii.min()), float(radii.max()))
        parts = zip(channels, labels, instances, strict=True)
        counts = [patch_counts(*part, rule, self.place, self.score, radii, self.match) for part in parts]
        return {
            "index": patch_numbers(batch, self.info.shape),
            "counts": torch.tensor(np.array(counts), device=prediction.device),
        }

    def scores(self, results: Batch) -> Scores:
        """Score the picks of all patches, at thresholds that are not yet learned; a guide for training only."""
        return pool_counts(results["counts"].numpy())

    def test_outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Nothing but the numbers: the test scores are those of whole tomograms, see `products`."""
        return {"index": patch_numbers(batch, self.info.shape)}

    def test_scores(self, results: Batch) -> Scores:
        """Nothing yet, see `products`."""
        return {}

    def calibrate(self, results: Batch) -> list[str]:
        """Choose, on whole validation tomograms, the thresholds with the best F1."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        with at_work(self, self.trainer.strategy.root_device) as device, TemporaryDirectory() as scratch:
            answers = []
            for number, tomogram in enumerate(tomograms_of(data, "val")):
                (Path(scratch) / str(number)).mkdir()
                way = self.way(self.tta, BATCH, device)
                answers.append((tomogram, self.answer_on(tomogram, way, Path(scratch) / str(number))))
            chosen = choose_thresholds(self, answers)
            self.curve = chosen.curve
            if np.isfinite(chosen.f1):
                self.thresholds.copy_(torch.tensor([chosen.mask, chosen.center, chosen.score]))
            said = [describe_choice(chosen, self.thresholds.tolist(), self.given_score)]
            if np.isfinite(chosen.f1) and self.align is not None:
                averages, told = learn_references(self, self.align, tomograms_of(data, "train"), answers)
                self.references = self.references[:, :0, :0, :0] if averages is None else averages
                said.append(told)
        return said

    def products(self, results: Batch, data: Any, folder: Path) -> Scores:
        """Find particles in the test tomograms as wholes, write everything, and score it."""
        with at_work(self, self.trainer.strategy.root_device) as device:
            return write_products(self, tomograms_of(data, "test"), self.way(self.tta, BATCH, device), folder)

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Show a test tomogram and the particles of each class that were found in it."""
        return self.shown

    def predict(self, request: Request, folder: Path) -> dict[str, Any]:
        """Find particles in whole tomograms and write instances, picks and a picture."""
        tomograms, files = requested_tomograms(request, file_names)
        with at_work(self, request.devices[0]) as device:
            way = self.way(request.tta or self.tta, request.batch_size, device)
            found = write_new(self, tomograms, way, folder)
        for name, counts in found.items():
            console.print(f"{name}: " + ", ".join(f"{count} {cls}" for cls, count in counts.items()))
        return {"tomograms": files, "found": found}

    def way(self, tta: str, batch_size: int, device: torch.device) -> Way:
        """Say how the network goes over tomograms."""
        z, y, x = self.window
        return Way((z, y, x), self.overlap, "z", tta, False, 0, batch_size, device)

    def answer_on(self, tomogram: Tomogram, way: Way, scratch: Path) -> Answer:
        """Apply the network to a tomogram; the answer is in files of the folder, and lasts as long as they do.

        Beside a region of interest the maps go on, or a particle that it cuts would have its peak on the cut.
        """
        slabs = probability_slabs(
            lambda given: all_channels(self(given).float(), self.center_loss), tomogram, way, scratch, confined=False
        )
        return collect(slabs, tomogram.volume.data.shape, len(self.info.classes) - 1, scratch)

    def find(self, answer: Answer, separating: Separating, voxel_size: float) -> Found:
        """Find all picks of an answer, whatever their score."""
        sizes = self.sizes(voxel_size)
        rule = separating.rule(float(sizes.min()), float(sizes.max()))
        found = find_picks(answer, rule, self.place, self.score)
        return in_crowds(found, self.neighbours, voxel_size)

    def aligned(self, found: Found, tomogram: Tomogram) -> Found:
        """Move the picks that reach the score to where the averages fit best, if there are any."""
        if self.align is None or not self.references.numel():
            return found
        radii = self.sizes(self.info.voxel_size)
        return align_picks(found, tomogram, self.references, radii, self.align, self.least_score)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights and buffers; the averages are as large as the particles of their training."""
        if "references" in state_dict:
            self.references = torch.zeros_like(state_dict["references"], device=self.references.device)
        return super().load_state_dict(state_dict, strict, assign)

    def judge(self, answer: Answer, tomogram: Tomogram) -> Measured:
        """Compare the picks of a tomogram with its truth."""
        labels = np.asarray(tomogram.truth[:])
        found = self.aligned(self.find(answer, self.learned_separating, tomogram.volume.voxel_size), tomogram)
        found, truth = counted(found, true_particles(labels, np.asarray(tomogram.instances[:])), labels)
        return measure(tomogram.name, found, truth, self.sizes(tomogram.volume.voxel_size), self.least_score)

    def sizes(self, voxel_size: float) -> np.ndarray:
        """Return the radii of the classes, `(k,)`, in voxels of so many Å."""
        return np.maximum(self.radii.cpu().numpy(), self.info.voxel_size) / voxel_size

    @property
    def learned_separating(self) -> Separating:
        """With the thresholds that validation chose; where a key has one number, maybe given since, with that."""
        learned = self.thresholds.tolist()[:2]
        pairs = zip(self.choices, learned, strict=True)
        mask, center = (given[0] if len(given) == 1 else chosen for given, chosen in pairs)
        return self.separating.at(mask, center)

    @property
    def least_score(self) -> float:
        """Of a pick: given, or chosen on validation."""
        return float(self.thresholds[2]) if self.given_score is None else self.given_score
