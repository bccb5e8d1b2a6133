"""The pose task."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.particles import Particles
from cryoexp.physics.dihedral import D4, turned
from cryoexp.physics.reconstruction import Method as Reconstruction
from cryoexp.physics.reconstruction import check_method
from cryoexp.physics.rotations import matrix_to_quaternion, quaternion_to_matrix, rotation_angle
from cryoexp.seeds import torch_generator
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.pose.align import align, nearest_copy, symmetry_group
from cryoexp.tasks.pose.calibration import identity, isotonic
from cryoexp.tasks.pose.heads import (
    OUTPUTS,
    Name,
    check_head,
    consistency_loss,
    features,
    pair_loss,
    regression_loss,
    true_distances,
)
from cryoexp.tasks.pose.lift import nearest_quaternion
from cryoexp.tasks.pose.map_figures import typical
from cryoexp.tasks.pose.products import Making, Stack, true_rotations, write_new, write_products
from cryoexp.tasks.pose.recovery import Method, Recovery
from cryoexp.tasks.pose.scores import o4_scores, pose_scores, solution_scores
from cryoexp.tasks.pose.solve import Solver
from cryoexp.tasks.pose.spectral import FEWEST
from cryoexp.tasks.showcase import Showcase

Calibration = Literal["none", "isotonic", "quantiles"]
SAMPLED = 2000  # images whose pairs are scored and drawn


class Pose(Task):
    """Recover how the particle is turned in single-particle images.

    Args:
        head: joint, psd, regression or two_acos (`cryoexp.tasks.pose.heads`).
        weight_cap: how much more a near pair may count than one half a turn apart.
        consistency: weight of `cryoexp.tasks.pose.heads.consistency_loss`, at the price of two more passes; 0: none.
        symmetry: of the molecule, RELION's name, its axis along z: C1, C2, D2, …; others than C1 with head=regression
            only: what is left of a distance when copies count as the same tells too little.
        recovery: spectral, or adam as the original.
        landmarks: see `cryoexp.tasks.pose.recovery.Recovery`.
        refine_steps: of the refinement against distances.
        calibration: of the distances: none, isotonic (on validation) or quantiles (no truth, uniform views).
        max_shift: pixels along x and y within which a particle is looked for off the centre, for the map.
        reconstruction: of the map: insertion, cg, astra_cgls or astra_sirt (the latter two on CUDA).
        shared: see `Task`.
    """

    needs_sample = "projection"
    needs_output = "image_vector"
    tells_classes = False  # another molecule can be tried, see docs/results/pose.md
    objective = "val/within_10deg"

    curve: Tensor

    def __init__(
        self,
        *,
        head: Name,
        weight_cap: float,
        consistency: float,
        symmetry: str,
        recovery: Method,
        landmarks: int,
        refine_steps: int,
        calibration: Calibration,
        max_shift: float,
        reconstruction: Reconstruction,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.check_truth(self.info)
        self.head, self.weight_cap, self.consistency = check_head(head), weight_cap, consistency
        self.group = _group(symmetry)
        self.recovery = Recovery(method=recovery, landmarks=landmarks, steps=refine_steps)
        self.calibration, self.max_shift = check_calibration(calibration), max_shift
        check_method(reconstruction)
        self.reconstruction: Reconstruction = reconstruction
        if self.group is not None and (head != "regression" or consistency):
            raise ConfigError(
                f"task.symmetry={symmetry}: images of a symmetric molecule have direct answers only. Give "
                "task.head=regression task.consistency=0, or C1 and views within one unit (dataset.angle_coverage)"
            )
        few = {name: n for name, n in self.info.counts.items() if name != "train" and n < FEWEST}
        if few and head in ("psd", "two_acos"):
            raise ConfigError(
                f"dataset.split: the {min(few)} split has {few[min(few)]} images, but orientations from distances "
                f"(task.head={head}) take {FEWEST}"
            )
        if head == "two_acos":
            _uncover(self.net)
        self.register_buffer("curve", identity())  # learned on validation where calibration is isotonic

    @classmethod
    def channels(cls, info: DataInfo, config: Mapping[str, Any]) -> dict[str, int]:
        """One channel in, a 4 × 4 matrix out."""
        return {"in_channels": info.channels, "out_channels": OUTPUTS}

    @staticmethod
    def check_truth(info: DataInfo) -> None:
        """Refuse to learn from images whose orientations nobody knows.

        Raises:
            DataError: the table of real images has no angles.
        """
        if not info.made_by.get("angles", True):
            raise DataError(
                "the images have no orientations (rlnAngleRot, rlnAngleTilt, rlnAnglePsi) to learn from. Train on "
                "dataset=projections with a map of the molecule, then give the images to scripts/predict.py"
            )

    @property
    def solver(self) -> Solver:
        """From features to orientations."""
        return Solver(self.head, self.recovery, self.calibration, self.curve, self.group)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Loss of all pairs, of the orientations themselves, or both."""
        with full_precision(prediction):
            return self._loss(features(prediction.float(), self.head), batch["rotation"])

    def _loss(self, feature: Tensor, rotations: Tensor) -> Tensor:
        loss = feature.new_zeros(())
        if self.head != "regression":
            distance = true_distances(rotations).float()
            loss = loss + pair_loss(feature, distance, self.head, self.weight_cap)
        if self.head in ("joint", "regression"):
            if self.group is not None:
                now = quaternion_to_matrix(nearest_quaternion(feature.detach().double()))
                rotations = nearest_copy(rotations.double(), now, self.group)
            loss = loss + regression_loss(feature, rotations)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log and return the loss, that of consistency with it where it is asked for."""
        loss = super().training_step(batch, batch_idx)
        if self.consistency:
            element = int(torch.randint(1, len(D4), ()))
            images = batch["volume"]
            plain, copied = (self(x).float() for x in (images, turned(images, element)))
            with full_precision(plain):
                feature, copies = features(plain, self.head), features(copied, self.head)
                angle = rotation_angle(D4[element]).float().to(feature)
                loss = loss + self.consistency * consistency_loss(feature, copies, angle, self.head)
        return loss

    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Keep features beside the truth.

        Raises:
            DataError: there is none.
        """
        if not batch["rotation"].isfinite().all():
            raise DataError("some of these images have no orientation in their table: there is nothing to compare with")
        return {"index": batch["index"], "rotation": batch["rotation"], **self.answer(prediction)}

    def test_outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Keep the features of turned and mirrored copies too."""
        copies = [prediction, *(self(turned(batch["volume"], element)) for element in range(1, len(D4)))]
        return {**self.outputs(prediction, batch), **self.answer(torch.stack(copies, 1))}

    def answer(self, prediction: Tensor) -> Batch:
        """Features of images."""
        return {"feature": features(prediction.float(), self.head)}

    def scores(self, results: Batch) -> Scores:
        """Error of the distances, of what is recovered from them up to O(4), and of direct answers."""
        feature, truth = results["feature"].double(), results["rotation"].double()
        pairs = self._pair_scores(feature, truth)
        within = pairs.pop("o4_within_10deg", 0.0)
        if self.head in ("psd", "two_acos"):
            return {"within_10deg": within, **pairs}
        direct = quaternion_to_matrix(nearest_quaternion(feature))
        return {**pose_scores(direct, truth, self.group), **pairs}

    def _pair_scores(self, feature: Tensor, truth: Tensor) -> Scores:
        """Scores of the distances, and after O(4) of what they give; none for symmetric molecules, or few images."""
        if self.group is not None or len(feature) < FEWEST:
            return {}
        # whatever the recovery of the test: this one costs a tenth of a second
        quick = replace(self.recovery, method="spectral")
        recovered = quick(self.solver.pairs(feature), torch_generator(0, "training"))
        return o4_scores(recovered, matrix_to_quaternion(truth)) | self._distance_scores(feature, truth)

    def test_scores(self, results: Batch) -> Scores:
        """Score every route to the orientations, with the gauge fixed by the copies."""
        feature, truth = results["feature"].double(), results["rotation"].double()
        self.solution = self.solver(feature, torch_generator(0, "training"))
        scores = solution_scores(self.solution, truth, self.group)
        if self.group is not None or len(feature) < FEWEST:
            return scores
        recovered = self.solution.quaternions
        if recovered is None:  # there are more images than landmarks
            recovered = self.solver.alone(feature[:, 0], torch_generator(0, "training"))
        o4 = o4_scores(recovered, matrix_to_quaternion(truth))
        o4.pop("o4_within_10deg")
        return {**scores, **o4, **self._distance_scores(feature[:, 0], truth)}

    def calibrate(self, results: Batch) -> list[str]:
        """Fit the curve of the distances, where that is asked for."""
        if self.calibration != "isotonic":
            return []
        feature = results["feature"].double()
        self.curve.copy_(identity())
        estimated, true = self._distances(feature, results["rotation"].double())
        self.curve.copy_(isotonic(estimated, true))
        return [f"distances calibrated on {len(true):,} pairs of validation"]

    def products(self, results: Batch, data: Any, folder: Path) -> Scores:
        """Write orientations, maps and figures; return resolutions."""
        index, truth = results["index"], results["rotation"].double()
        stack = Stack(
            images=lambda numbers: data.examples(index[numbers])[1],
            rows=data.particles(index.numpy()),
            optics=data.optics(),
            voxel_size=self.info.voxel_size,
            size=self.info.shape[-1],
            contrast=self.info.contrast,
            flipped=data.flipped,
            clean=lambda numbers: data.examples(index[numbers])[0],
        )
        distances = self._distances(results["feature"][:, 0].double(), truth)
        making = Making(self.reconstruction, self.max_shift, self.trainer.strategy.root_device)
        return write_products(stack, self.solution, truth, self.group, distances, data.reference, making, folder)

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Choose the images that were solved best, as most, and worst."""
        errors = align(self.solution.rotations, results["rotation"].double(), self.group).errors
        some = torch.tensor(typical(errors))
        images = data.examples(results["index"][some])[1][:, 0].numpy()
        captions = [f"error {degrees:.1f}°" for degrees in torch.rad2deg(errors[some]).tolist()]
        return Showcase(pictures=list(zip(images, captions, strict=True)))

    def answering(self, tta: str) -> nn.Module:
        """Return the network that answers for an image and its copies, as the gauge needs them."""
        super().answering(tta)
        return WithCopies(self)

    def write_answers(self, answers: Batch, particles: Particles, folder: Path) -> None:
        """Write orientations and maps of new images."""
        solution = self.solver(answers["feature"].double(), torch_generator(0, "training"))
        training = particles.training
        stack = Stack(
            images=lambda numbers: training.normalise(particles.read(numbers.tolist())),
            rows=particles.rows,
            optics=particles.optics,
            voxel_size=training.voxel_size,
            size=training.shape[-1],
            contrast=training.contrast,
            flipped=training.ctf == "flip",
        )
        making = Making(self.reconstruction, self.max_shift, next(self.net.parameters()).device)
        write_new(stack, solution, making, folder)

    def truth(self, particles: Particles) -> Batch:
        """Rotations by the angles in the table."""
        return {"rotation": true_rotations(particles.rows)}

    def _distances(self, feature: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Estimated and true distances of all pairs of different images, `(m,)` each; of `SAMPLED` images at most."""
        some = slice(None, None, -(-len(truth) // SAMPLED))
        feature, truth = feature[some], truth[some]
        true = true_distances(truth)
        pairs = torch.triu(torch.ones_like(true), 1) > 0
        return self.solver.pairs(feature).distances(slice(None), slice(None))[pairs], true[pairs]

    def _distance_scores(self, feature: Tensor, truth: Tensor) -> Scores:
        """Mean absolute error of the distances in radians."""
        estimated, true = self._distances(feature, truth)
        return {"distance_mae_rad": float((estimated - true).abs().mean())}


def full_precision(values: Tensor) -> torch.autocast:
    """Leave mixed precision: inner products of features near 1 need all their digits."""
    return torch.autocast(values.device.type, enabled=False)


class WithCopies(nn.Module):
    """A network that answers for an image and its seven turned and mirrored copies: `(b, 8, k)`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to `(b, 8, k)`, in the order of `cryoexp.physics.dihedral.D4`."""
        return torch.stack([self.net(turned(images, element)) for element in range(len(D4))], 1)


def check_calibration(name: str) -> str:
    """Return the name of a calibration.

    Raises:
        ConfigError: another.
    """
    if name not in get_args(Calibration):
        raise ConfigError(f"task.calibration={name}: choose one of {', '.join(get_args(Calibration))}")
    return name


def _group(symmetry: str) -> Tensor | None:
    """Rotations of a symmetric molecule; None where there are none.

    Raises:
        ConfigError: an unknown name.
    """
    try:
        group = symmetry_group(symmetry)
    except ValueError:
        raise ConfigError(f"task.symmetry={symmetry}: give C1, C2, …, D2, … or O") from None
    return group if len(group) > 1 else None


def _uncover(net: nn.Module) -> None:
    """Take away the last layer: the original head compares what comes before it."""
    if not isinstance(getattr(net, "head", None), nn.Linear):
        raise ConfigError(
            f"task.head=two_acos compares the features before the last layer, but {type(net).__name__} has no layer "
            "named head. Use model=siamese or model=siamese_small, or another head"
        )
    net.head = nn.Identity()
