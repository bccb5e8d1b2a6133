"""New tomograms of all formats and sizes, by scripts/predict.py."""

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import trimesh
from hydra.core.global_hydra import GlobalHydra

from cryoexp.errors import DataError
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.predict import predict
from cryoexp.run import run
from tests.tasks.surface.whole import TINY

SIZE, ORIGIN = 400.0, (300.0, -200.0, 100.0)


@pytest.mark.slow
def test_new_tomograms_of_any_format_and_size(composed, tmp_path):
    run(composed(*TINY, "task.scheme=supervised", "task.filopodia=null", tiny=False))
    GlobalHydra.instance().clear()  # scripts compose their own
    rng = np.random.default_rng(0)
    for name, shape in (("odd", (23, 61, 71)), ("small", (3, 13, 9)), ("slice", (1, 40, 40))):
        write_volume(tmp_path / f"{name}.mrc", Volume(rng.normal(size=shape).astype(np.float32), SIZE, ORIGIN))
    stack = rng.normal(size=(6, 50, 60)).astype(np.float32)
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file["t0/channel0"] = stack
    for name in ("stack.tif", "packed.h5"):
        with pytest.raises(DataError, match=rf"{name}: no voxel size in it .*Give voxel_size= in Å"):
            go(tmp_path, name)
    for name in ("odd.mrc", "small.mrc", "slice.mrc"):
        check(go(tmp_path, name), mrcfile.read(tmp_path / name).shape, ORIGIN)
    for name in ("stack.tif", "packed.h5"):
        check(go(tmp_path, name, f"voxel_size={SIZE}"), stack.shape, (0.0, 0.0, 0.0))


def go(folder, name, *more):
    out = folder / f"{name}-out"
    # of a network that has hardly learned anything: all voxels are membrane
    keys = ["task.surface.minimum=1", "task.probabilities=percent", "task.decide=argmax"]
    predict([f"run={folder / 'run'}", f"input={folder / name}", f"output={out}", *keys, *more])
    return out


def check(folder, shape, origin):
    """Shape, voxel size and origin of all volumes, and the place of the mesh in nm."""
    volumes = list(folder.glob("*.mrc"))
    assert len(volumes) == 2
    for file in volumes:
        with mrcfile.open(file) as mrc:
            assert mrc.data.shape == shape
            assert float(mrc.voxel_size.x) == SIZE
            assert tuple(mrc.header.origin.tolist()) == origin
    assert (folder / "measurements.csv").is_file()
    for file in folder.glob("*.ply"):
        bounds = trimesh.load(file).bounds
        first, last = np.array(origin) / 10, (np.array(origin) + (np.array(shape[::-1]) - 1) * SIZE) / 10
        assert (bounds[0] > first - 1.5 * SIZE / 10).all()
        assert (bounds[1] < last + 1.5 * SIZE / 10).all()
