"""Boxes of noise in the layouts of real data."""

import json

import mrcfile
import numpy as np
import pandas as pd

from cryoexp.io.star import write_star

BOX = 8


def write(path, data, voxel_size=10.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True, compression="gzip" if path.suffix == ".gz" else None) as mrc:
        mrc.set_data(np.ascontiguousarray(data))
        mrc.voxel_size = voxel_size
    return path


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def fill(folder, classes=("a", "b"), count=4, box=BOX):
    """Folders of classes with boxes of noise."""
    for c, name in enumerate(classes):
        for i in range(count):
            write(folder / name / f"{i}.mrc", noise(box, box, box, seed=100 * c + i))
    return folder


def lay_out(layout, folder, boxes, names):
    """Write boxes in a layout; box i can be told by its order within its class."""
    folder.mkdir(exist_ok=True)
    if layout == "classes":
        for i, (box, name) in enumerate(zip(boxes, names, strict=True)):
            write(folder / name / f"particle_{i}.mrc", box)
    if layout == "paper":
        for i, (box, name) in enumerate(zip(boxes, names, strict=True)):
            write(folder / "SNR003" / name / "subtomogram_mrc" / f"tomotarget{i}.mrc", box)
            label = folder / "SNR003" / name / "json_label" / f"target{i}.json"
            label.parent.mkdir(exist_ok=True)
            label.write_text(json.dumps({"name": name, "loc": [1, 2, 3], "rotate": [0, 0, 0]}))
    if layout == "star":
        write(folder / "stack.mrcs", boxes)
        images = [f"{i + 1:06d}@stack.mrcs" for i in range(len(boxes))]
        write_star(
            folder / "particles.star",
            {"particles": pd.DataFrame({"rlnImageName": images, "cryoexpClassName": names})},
        )
    if layout == "tomograms":
        rows = []
        for t in range(3):  # boxes in a row along x
            mine = [i for i in range(len(boxes)) if i // 3 % 3 == t]
            write(folder / f"rec_TS_{t}.mrc", np.concatenate([boxes[i] for i in mine], 2))
            n = boxes.shape[1]
            rows += [(f"TS_{t}", n // 2 + n * k, n // 2, n // 2, names[i], i) for k, i in enumerate(mine)]
        columns = ["rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "cryoexpClassName", "i"]
        table = pd.DataFrame(rows, columns=columns).sort_values("i").drop(columns="i")
        write_star(folder / "particles.star", {"particles": table})
    return folder
