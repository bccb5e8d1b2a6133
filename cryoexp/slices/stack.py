"""The file that the report makes a slider of."""

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.io.guard import replacing
from cryoexp.slices.frames import IGNORE, Frames, take_frames
from cryoexp.slices.montage import DIFFERENCE, PAIR, draw_montage

FORMAT = "cryoexp-slices 1"
SUFFIX = ".slices.json"  # what files of slices end with
LIMIT = 3_000_000  # bytes of a file
MOST, FEWEST = 64, 24  # slices: no more, and rather coarser pixels than fewer
WIDEST, NARROWEST = 512, 160  # pixels of a slice: never wider, and not binned below
QUALITY = 80  # of the JPEGs
SHOWN = 3  # slices in the picture


def write_slices(
    path: str | Path,
    volume: np.ndarray,
    labels: Mapping[str, np.ndarray],
    classes: Sequence[str],
    *,
    voxel_size: float,
    title: str = "",
    average: int = 1,
    limit: int = LIMIT,
) -> None:
    """Write slices of a volume and of its labels as JSON, and a picture of a few beside it as ``<name>.png``.

    Fewer slices are taken, and those binned, until the file is small enough; the page says so.

    Args:
        path: ``<name>.slices.json``; in a run's ``figures`` the report makes it a slider.
        volume: `(z, y, x)`, may be memory-mapped; uint8 is shown as it is, all else scaled.
        labels: by name, `(z, y, x)` uint8: class numbers, 255 where ignored. Where there are ``truth`` and
            ``prediction``, their difference is shown too.
        classes: names by number; 0 is the background, which is not shown.
        voxel_size: Å.
        title: the caption.
        average: slices that each slice is the mean of, an odd number: noise hides less.
        limit: bytes of the file.

    Raises:
        DataError: a name that ends otherwise, shapes that differ, a label without a class.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise DataError(f"{path}: a file of slices must be named <name>{SUFFIX}")
    frames, text = _small_enough(volume, labels, classes, voxel_size, title, average, limit)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    draw_montage(frames, classes, path.with_name(path.name.removesuffix(SUFFIX) + ".png"), shown=SHOWN, title=title)


def _small_enough(
    volume: np.ndarray,
    labels: Mapping[str, np.ndarray],
    classes: Sequence[str],
    voxel_size: float,
    title: str,
    average: int,
    limit: int,
) -> tuple[Frames, str]:
    """Take fewer or coarser slices until their text is within the limit."""
    if volume.ndim != 3 or 0 in volume.shape:
        raise DataError(f"slices: needs a volume (z, y, x), got shape {volume.shape}")
    narrow, wide = sorted(volume.shape[1:])
    binned, count = min(-(-wide // WIDEST), narrow), min(len(volume), MOST)
    while True:
        at = np.linspace(0, len(volume) - 1, count + 2)[1:-1] if count < len(volume) else np.arange(len(volume))
        frames = take_frames(
            volume, labels, [int(z) for z in at.round()], voxel_size=voxel_size, binned=binned, average=average
        )
        _check(frames, classes)
        text = json.dumps(_plain(frames, classes, title), separators=(",", ":"), allow_nan=False)
        if len(text) <= limit or count == 1:
            return frames, text
        fits = max(1, min(count - 1, int(0.98 * count * limit / len(text))))
        if fits < FEWEST <= len(volume) and narrow // (binned + 1) >= NARROWEST:
            binned, count = binned + 1, min(len(volume), MOST)
        else:
            count = fits


def _check(frames: Frames, classes: Sequence[str]) -> None:
    for name, label in frames.labels.items():
        unknown = set(np.unique(label).tolist()) - {*range(len(classes)), IGNORE}
        if unknown:
            raise DataError(f"slices: {name} has labels {sorted(unknown)}, there are classes 0..{len(classes) - 1}")


def _plain(frames: Frames, classes: Sequence[str], title: str) -> dict[str, Any]:
    """What the file holds: rows from the top of the picture down, so the first row of the volume comes last."""
    return {
        "format": FORMAT, "title": title, "note": frames.note, "pixel": frames.pixel, "unit": "Å",
        "at": frames.at, "depth": frames.depth, "height": frames.grey.shape[1], "width": frames.grey.shape[2],
        "classes": list(classes), "colours": plotting.class_colours(len(classes)),
        "difference": [{"name": name, "colour": colour} for name, colour in DIFFERENCE.items()],
        "pair": list(PAIR) if set(PAIR) <= set(frames.labels) else [],
        "ignored": frames.ignored,
        "labels": {name: _deflated(label[:, ::-1]) for name, label in frames.labels.items()},
        "grey": [_jpeg(frame[::-1]) for frame in frames.grey],
    }  # fmt: skip


def _deflated(labels: np.ndarray) -> str:
    """All slices in one zlib stream: exact, and smaller than a picture of each."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(labels).tobytes())).decode()


def _jpeg(frame: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(file, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode()
