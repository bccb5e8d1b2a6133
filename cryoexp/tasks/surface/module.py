"""The surface task: membranes in soft X-ray tomograms, slice by slice, and what becomes of them in 3D."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.errors import ConfigError
from cryoexp.inference.tomograms import tomograms_of
from cryoexp.inference.whole import Tomogram, Way, probability_slabs
from cryoexp.tasks.base import Scores
from cryoexp.tasks.in_turn import in_turn
from cryoexp.tasks.segment.inputs import by_slices
from cryoexp.tasks.segment.voxels import Found, Label, VoxelTask
from cryoexp.tasks.surface.figures import Painter
from cryoexp.tasks.surface.keys import check_keys
from cryoexp.tasks.surface.losses import label_loss, probabilities, value_range
from cryoexp.tasks.surface.products import dice_scores, write_new, write_products
from cryoexp.tasks.surface.recipe import make_recipe
from cryoexp.tasks.surface.schemes import in_slices, make_scheme
from cryoexp.tasks.surface.turns import QUARTERS, quarter_turned

SAMPLED = 8  # slices of each training tomogram that tell the range of its values


class Surface(VoxelTask):
    """Label the membranes of soft X-ray tomograms with a network of two decoders.

    Args:
        scheme: supervised, original or mean_teacher, see `cryoexp.tasks.surface.schemes`.
        images: unlabelled patches for each labelled one, where the scheme learns from them.
        optimizers: one for the sum of the losses, or two in turn, for labels and images (scheme=original).
        ssim_range: robust or full, see `cryoexp.tasks.surface.losses.value_range`.
        teacher: weight, ramp, decay and noise of `cryoexp.tasks.surface.schemes.MeanTeacher`.
        window: (z, y, x) voxels that go through the network at once on whole tomograms; only y and x count.
        overlap: of neighbouring windows, as a share of the window.
        probabilities: float16, percent or none: how they are written.
        surface: keys of `cryoexp.tasks.surface.surfaces.Rule`, in voxels of the volume.
        surface_from: probability or labels: what surfaces are laid through.
        formats: of mesh files: ply, obj, stl, glb; without any, labels alone are made, no surfaces and measurements.
        unit: of mesh files and tables: nm or angstrom.
        filopodia: ``opening`` and ``least`` in nm, see `cryoexp.tasks.surface.filopodia`; None: not looked for.
        net: the network.
        channels_last: memory layout of slices.
        shared: see `VoxelTask`; ``tta`` is none, y180, d2, d2h, or rot4 (four quarter turns of slices).
    """

    needs_output = "label_image"
    objective = "val/dice"
    windows = 16

    def __init__(
        self,
        *,
        scheme: str,
        images: int,
        optimizers: int,
        ssim_range: str,
        teacher: Mapping[str, float],
        window: Sequence[int],
        overlap: float,
        probabilities: str,
        surface: Mapping[str, Any],
        surface_from: str,
        formats: Sequence[str],
        unit: str,
        filopodia: Mapping[str, float] | None,
        net: nn.Module,
        **shared: Any,
    ) -> None:
        check_keys({"images": images, "overlap": overlap, "window": window, **shared})
        super().__init__(net=net, **shared)
        self.scheme = make_scheme(scheme, net, teacher)
        if optimizers not in (1, len(self.scheme.steps)):
            raise ConfigError(
                f"task.optimizers={optimizers}: task.scheme={scheme} has {len(self.scheme.steps)} loss(es) to step by. "
                "Give 1, or 2 with task.scheme=original"
            )
        self.images, self.ssim_range, self.optimizer_count, self.turn = images, ssim_range, optimizers, 0
        if optimizers > 1:
            self.make_optimizer = in_turn(self.make_optimizer, self._begin, optimizers)
        self.window, self.overlap = window, overlap
        self.recipe = make_recipe(surface, surface_from, formats, unit, filopodia, probabilities)

    @classmethod
    def channels(cls, info: DataInfo, config: Mapping[str, Any]) -> dict[str, int]:
        """Return one channel in, and out one for two classes, else one for each."""
        classes = len(info.classes)
        return {"in_channels": 1, "out_channels": 1 if classes == 2 else classes}

    def setup(self, stage: str) -> None:
        """Ask for unlabelled images, and measure the range of their values."""
        if stage != "fit" or not self.scheme.needs_images:
            return
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        data.splits["train"].images = self.images
        if self.optimizer_count > 1 and isinstance(self.trainer.strategy, DDPStrategy):
            # a step on images leaves the decoder of the labels without gradients
            self.trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        self.scheme.value_range = value_range(sampled(tomograms_of(data, "train")), self.ssim_range)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        """Build the optimiser, or two in turn.

        Raises:
            ConfigError: two, with gradients accumulated over batches.
        """
        if self.optimizer_count > 1 and self.trainer.accumulate_grad_batches != 1:
            raise ConfigError(
                f"task.optimizers={self.optimizer_count} does not go with trainer.accumulate_grad_batches="
                f"{self.trainer.accumulate_grad_batches}: give task.optimizers=1, or a larger dataset.batch_size"
            )
        return super().configure_optimizers()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log and return the losses: of the step whose turn it is, or of all steps together."""
        done = self.trainer.global_step / max(1.0, self.trainer.estimated_stepping_batches)  # 0 if there is no end
        slices = {name: self._laid_out(value) for name, value in in_slices(batch).items()}
        steps = self.scheme.steps if self.optimizer_count == 1 else self.scheme.steps[self.turn : self.turn + 1]
        losses: dict[str, Tensor] = {}
        for step in steps:
            losses |= self.scheme.losses(self.net, slices, step, done)
        size = len(batch["index"])
        for name, value in losses.items() if len(losses) > 1 or self.optimizer_count > 1 else ():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        loss = torch.stack(list(losses.values())).sum()
        if not self.turn:
            self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and let the scheme follow the weights."""
        super().optimizer_step(*args, **kwargs)
        self.scheme.after_step(self.net)

    def forward(self, volumes: Tensor) -> Tensor:
        """Map `(b, 1, z, y, x)` to labels `(b, k, z, y, x)`, slice by slice and without the image."""
        net: Any = self.net if self.training else self.scheme.answering(self.net)
        return by_slices(lambda slices: net.labels(self._laid_out(slices)), volumes, 0)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the labels that are not ignored."""
        flat = prediction.transpose(1, 2).flatten(0, 1)
        return label_loss(flat, batch["label"].flatten(0, 1), bounded=bool(self.net.bounded))

    def scores(self, results: Batch) -> Scores:
        """Score the voxels of all patches together."""
        return dice_scores(results["confusion"].sum(0).numpy(), self.info.classes)

    def write_tested(self, label: Label, tomograms: Sequence[Tomogram], folder: Path) -> Scores:
        """Write labels, probabilities, surfaces, measurements, scores and figures."""
        return write_products(self, label, tomograms, folder)

    def write_new(self, label: Label, tomograms: Sequence[Tomogram], folder: Path) -> Found:
        """Write labels, probabilities, surfaces, measurements and pictures."""
        return write_new(self, label, tomograms, folder)

    def painter(self, tomogram: Tomogram) -> Painter | None:
        """Return what paints a slice `(y, x)` of a tomogram anew; None if the scheme has not taught it."""
        if not self.scheme.paints:
            return None
        net: Any = self.scheme.answering(self.net)

        def paint(plane: np.ndarray) -> np.ndarray:
            given = tomogram.normalise(torch.from_numpy(plane)[None, None, None].to(self.device))
            with torch.inference_mode():
                return np.asarray(net.image(self._laid_out(given[:, :, 0])).float().cpu()[0, 0])

        return paint

    def slabs_by(self, tta: str, batch_size: int, device: torch.device) -> Label:
        """Return what gives the probabilities of a tomogram's voxels, see `VoxelTask`."""
        quarters = tta == QUARTERS
        way = Way(tuple(self.window), self.overlap, "z", "none" if quarters else tta, True, 0, batch_size, device)

        def plain(volumes: Tensor) -> Tensor:
            return self.probability(self(volumes))

        predict = quarter_turned(plain) if quarters else plain
        return lambda tomogram, scratch: probability_slabs(predict, tomogram, way, scratch)

    def probability(self, prediction: Tensor) -> Tensor:
        """Turn labels `(b, k, z, y, x)` into probabilities of all classes."""
        return probabilities(prediction, bounded=bool(self.net.bounded))

    def _begin(self, number: int) -> None:
        self.turn = number

    def _laid_out(self, slices: Tensor) -> Tensor:
        """Lay out images as the filters are; labels, `(b, y, x)`, stay."""
        if not self.channels_last or slices.ndim != 4:
            return slices
        return slices.contiguous(memory_format=torch.channels_last)


def sampled(tomograms: Sequence[Tomogram]) -> list[np.ndarray]:
    """Return a few normalised slices of each tomogram, evenly spread."""
    found = []
    for tomogram in tomograms:
        source: Any = tomogram.volume.data
        for z in np.unique(np.linspace(0, len(source) - 1, SAMPLED).round().astype(int)):
            plane = torch.from_numpy(np.array(source[int(z)], np.float32))
            found.append(tomogram.normalise(plane[None, None, None]).numpy())
    return found
