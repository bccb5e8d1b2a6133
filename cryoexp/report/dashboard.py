"""What a finished run shows on wandb and TensorBoard, beside the curves that were sent while it trained."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imread
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from skimage.measure import marching_cubes

from cryoexp.tasks.showcase import Showcase

ENLARGED = 4  # a voxel in pixels; 32 pixels are a stamp on today's screens


def publish(loggers: Iterable[Logger], scores: dict[str, float], show: Showcase, folder: Path) -> None:
    """Hand scores, figures, examples, surfaces and checkpoint to the loggers that take them.

    Args:
        loggers: of the trainer.
        scores: as in metrics.json.
        show: the task's own examples.
        folder: the run folder, with figures/*.png and checkpoints/best.ckpt.
    """
    figures = sorted((folder / "figures").glob("*.png"))
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            for path in figures:
                logger.experiment.add_image(f"figures/{path.stem}", imread(path)[..., :3], dataformats="HWC")
            logger.experiment.flush()
        elif _is_wandb(logger):
            record = {**final_scores(scores), **wandb_media(show, figures)}
            logger.publish(record, best_scores(scores), folder / "checkpoints" / "best.ckpt")  # type: ignore[attr-defined]


def final_scores(scores: dict[str, float]) -> dict[str, float]:
    """Scores of the test and times, under the names of metrics.json."""
    return {name: value for name, value in scores.items() if not name.startswith("val/")}


def best_scores(scores: dict[str, float]) -> dict[str, float]:
    """Validation scores of the chosen checkpoint as ``best/…``: those of ``val/…`` are the curves'."""
    return {"best/" + n.removeprefix("val/"): value for n, value in scores.items() if n.startswith("val/")}


def wandb_media(show: Showcase, figures: list[Path]) -> dict[str, Any]:
    """Make wandb's objects of figures, pictures, volumes and answers."""
    import wandb  # the other loggers need not wait for it

    media: dict[str, Any] = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    if show.pictures:
        media["examples"] = [wandb.Image(as_picture(image), caption=caption) for image, caption in show.pictures]
    for name, volume in show.volumes.items():
        points = surface_points(volume)
        if len(points):
            media[f"surface/{name}"] = wandb.Object3D(points)
    if show.answers:
        truth, predicted = (ids.tolist() for ids in show.answers)
        media["confusion"] = wandb.plot.confusion_matrix(
            y_true=truth, preds=predicted, class_names=show.classes, title="test"
        )
    return media


def as_picture(image: np.ndarray) -> np.ndarray:
    """Scale a `(y, x)` slice from its 1st to its 99th percentile to bytes, enlarged, first row at the bottom.

    Bytes, because wandb takes floats for bytes: a picture of 0 to 1 comes out black.
    """
    low, high = np.percentile(image, [1, 99])
    grey = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    return np.repeat(np.repeat((grey * 255).round().astype(np.uint8), ENLARGED, 0), ENLARGED, 1)[::-1]


def surface_points(volume: np.ndarray) -> np.ndarray:
    """Points `(n, 6)` of the surface where a `(z, y, x)` volume is half its maximum: x, y, z and a colour by height."""
    level = float(volume.max()) / 2
    if not float(volume.min()) < level < float(volume.max()):
        return np.zeros((0, 6))
    vertices = marching_cubes(volume, level)[0][:, ::-1]
    height = (vertices[:, 2:] - vertices[:, 2].min()) / max(float(np.ptp(vertices[:, 2])), 1e-12)
    low, high = np.array([31, 95, 139]), np.array([242, 190, 84])
    return np.hstack([vertices, (low + height * (high - low)).round()])


def _is_wandb(logger: Logger) -> bool:
    return hasattr(logger, "publish")
