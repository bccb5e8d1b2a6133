import numpy as np
import pytest
import trimesh
from skimage.measure import marching_cubes

from cryoexp.errors import DataError
from cryoexp.tasks.surface import isosurface as module
from cryoexp.tasks.surface.isosurface import Thing, isosurface


def thing(mask, **more):
    return Thing(mask.astype(np.int32), 1, tuple(slice(0, n) for n in mask.shape), **more)


def blobs(seed=0, shape=(20, 26, 31)):
    from scipy import ndimage

    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) > 0.02


def test_blocks_do_not_show(monkeypatch):
    whole = isosurface(thing(blobs()))
    monkeypatch.setattr(module, "BLOCK", 7)
    cut = isosurface(thing(blobs()))
    one, other = (trimesh.Trimesh(v, f, process=False) for v, f in (whole, cut))
    assert len(one.vertices) == len(other.vertices)
    assert other.is_watertight
    assert other.area == pytest.approx(one.area, rel=1e-6)
    assert other.euler_number == one.euler_number


def test_the_surface_has_the_topology_of_the_voxels():
    mask = np.pad(blobs(1), 1)
    v, f = isosurface(thing(mask))
    made = trimesh.Trimesh(v[:, ::-1], f, process=False)
    inside = trimesh.Trimesh(*marching_cubes(mask.astype(float), 0.5)[:2])
    assert made.body_count == inside.body_count
    # it passes between voxels of the object and others: on every edge between two that differ, and on no other
    crossed = sum(int((np.diff(mask.astype(int), axis=axis) != 0).sum()) for axis in range(3))
    whole = np.abs(v - np.rint(v)) < 1e-3
    assert (whole.sum(1) == 2).sum() == crossed
    assert made.is_winding_consistent
    assert made.volume > 0


def test_levels_of_a_probability():
    away = np.linalg.norm(np.moveaxis(np.indices((25,) * 3), 0, -1) - 12.0, axis=-1)
    ramp = np.clip((12 - away) / 12, 0, 1)
    for level, radius in ((0.25, 9.0), (0.5, 6.0)):
        v, _ = isosurface(thing(ramp > level, probability=ramp, level=level))
        np.testing.assert_allclose(np.linalg.norm(v - 12, axis=1), radius, atol=0.25)


def test_other_objects_leave_no_trace():
    numbers = np.zeros((12, 12, 24), np.int32)
    numbers[3:9, 3:9, 3:12], numbers[3:9, 3:9, 12:20] = 1, 2
    alone = np.where(numbers == 1, 1, 0)
    box = (slice(3, 9), slice(3, 9), slice(3, 12))
    np.testing.assert_array_equal(isosurface(Thing(numbers, 1, box))[0], isosurface(Thing(alone, 1, box))[0])


def test_nothing_has_no_surface():
    with pytest.raises(DataError, match="object 1"):
        isosurface(thing(np.zeros((4, 4, 4))))
