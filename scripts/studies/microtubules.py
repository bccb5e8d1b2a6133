"""Real microtubules, labelled by a network that has seen simulated tomograms only.

    python scripts/studies/microtubules.py run=<segment run> [data=<folder with 13pf_MT.tif and 14pf_MT.tif>]
        output=<folder> [task.<key>=…]

The crops are those of cylindra (hanjinliu/cylindra, BSD-3): microtubules of 13 and 14 protofilaments, whose axes are
known; ``data`` is the folder ``tomograms`` of CRYOEXP_TEST_DATA unless given. The tubes are brighter than what is
around them, so contrast=bright; the voxels of 10.52 Å are taken for 10 Å, since resampling would smooth the noise;
classes are the likeliest ones, since thresholds chosen on simulated tomograms say nothing here; eight turned copies are
averaged. Printed and written to microtubules.csv are

    recall   share of the voxels within 12.5 nm of the known axis that are labelled microtubule
    false    share of the voxels labelled microtubule that lie farther than 20 nm from it

12.5 nm is the radius of a microtubule, as in the labels the network learned from. Recall is taken along the axis where
it is given; the axis goes on to the ends of the crop, and voxels there are not counted as false.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp import plotting
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.io.mrc import open_volume
from cryoexp.io.tiff import read_tiff
from cryoexp.predict import predict
from cryoexp.progress import console

VOXEL, TAKEN = 10.52, 10.0  # Å: what they are, and what the network is told
AXES = {  # both ends, (z, y, x) in nm
    "13pf_MT": ((18.53, 186.87, 29.39), (18.20, 52.73, 71.93)),
    "14pf_MT": ((24.11, 106.66, 38.18), (23.89, 21.43, 63.09)),
}
RADIUS, FAR = 12.5, 20.0  # nm
NAME = "microtubule"


def main(arguments: list[str]) -> None:
    """Predict both crops and measure what was found."""
    options = {key: value for key, _, value in (a.partition("=") for a in arguments)}
    own = {key: options.pop(key, None) for key in ("run", "output", "data")}
    if not own["run"] or not own["output"] or not all(key.startswith("task.") and options[key] for key in options):
        raise ConfigError(
            "usage: python scripts/studies/microtubules.py run=<run> output=<folder> [data=<folder>] [task.<key>=…]"
        )
    folder = Path(own["data"] or Path(os.environ.get("CRYOEXP_TEST_DATA", "")) / "tomograms")
    missing = [name for name in AXES if not (folder / f"{name}.tif").is_file()]
    if missing:
        raise ConfigError(f"data={folder}: no {missing[0]}.tif there. Give data=<folder> or set CRYOEXP_TEST_DATA")
    output = Path(own["output"])
    keys = [
        f"input={folder}/*_MT.tif",
        f"output={output}",
        f"voxel_size={TAKEN}",
        "contrast=bright",
        "tta=d2h",
        "task.decide=argmax",
    ]
    predict([f"run={own['run']}", *keys, "overwrite=true", *(f"{k}={v}" for k, v in options.items())])
    rows, pictures, number = [], {}, number_of(output)
    for name, ends in AXES.items():
        found = open_volume(output / f"{name}__labels.mrc").data == number
        along, line = distances(found.shape, *ends)
        rows.append({
            "crop": name,
            "recall": found[along <= RADIUS].mean(),
            "false": (line[found] > FAR).mean() if found.any() else float("nan"),
            "labelled_voxels": int(found.sum()),
        })  # fmt: skip
        pictures[name] = (read_tiff(folder / f"{name}.tif", VOXEL).data, found, along <= RADIUS)
    table = pd.DataFrame(rows)
    table.to_csv(output / "microtubules.csv", index=False, float_format="%.4f")
    console.print(table.to_string(index=False, float_format="%.3f"))
    draw(pictures, output / "microtubules.png")


def number_of(output: Path) -> int:
    """Return the number of the class in the labels.

    Raises:
        ConfigError: the network does not know it.
    """
    classes = json.loads((output / "manifest.json").read_text())["training"]["classes"]
    if NAME not in classes:
        raise ConfigError(f"run: its classes are {', '.join(classes)}, and {NAME} is none of them")
    return classes.index(NAME)


def distances(
    shape: tuple[int, ...], first: tuple[float, ...], last: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Distance in nm of every voxel from a line, within its ends (beyond them infinite) and without ends."""
    start, end = np.array(first), np.array(last)
    direction = (end - start) / np.linalg.norm(end - start)
    offset = np.moveaxis(np.indices(shape), 0, -1) * (VOXEL / 10) - start
    along = offset @ direction
    line = np.linalg.norm(offset - along[..., None] * direction, axis=-1)
    within = (along >= 0) & (along <= np.linalg.norm(end - start))
    return np.where(within, line, np.inf), line


def draw(pictures: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], path: Path) -> None:
    """Draw the middle slices: the crop, and on it what is labelled and the outline of the known tube."""
    fig, axes = plotting.figure(2, len(pictures), width=4.5 * len(pictures), height=6.5)
    for column, (name, (volume, found, tube)) in enumerate(pictures.items()):
        z = int(np.argmax(tube.sum((1, 2))))
        grey = volume[max(0, z - 1) : z + 2].mean(0).T
        for row, title in enumerate((f"{name}, slice {z}", "labelled microtubule; line: within 12.5 nm of the axis")):
            ax = axes[row, column]
            plotting.show_slice(ax, grey, title)
        ax = axes[1, column]
        shade = np.zeros((*grey.shape, 4))
        shade[found[z].T] = (0.84, 0.37, 0.0, 0.5)
        ax.imshow(shade, origin="lower", interpolation="nearest")
        ax.contour(tube[z].T, levels=[0.5], colors=plotting.SKY, linewidths=1)
    plotting.save(fig, path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"error: {error}")
