import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.simulate.structures import PRESETS, VOLUME_PER_DALTON, fingerprint, load, resolve
from cryoexp.simulate.zoo import ZOO


def find(source, tmp_path):
    return resolve(source, tmp_path / "structures", allow_download=False)


def test_zoo_templates_hold_their_mass_and_volume(tmp_path):
    for s in load(find(["dimer80", "barrel560"], tmp_path), 10.0):
        assert s.density.sum() * s.step**3 == pytest.approx(s.mass * 1000, rel=1e-3)
        assert s.mask.sum() * s.step**3 == pytest.approx(VOLUME_PER_DALTON * s.mass * 1000, rel=0.02)
        assert s.mass == ZOO[s.name].mass
        middle = s.density.shape[0] // 2
        index = np.indices(s.density.shape) - middle
        centre = (index * s.density).sum((1, 2, 3)) / s.density.sum()
        np.testing.assert_allclose(centre, 0, atol=0.02)


def test_ordered_by_mass(tmp_path):
    assert [s.name for s in load(find(["ribo2500", "dimer80"], tmp_path), 20.0)] == ["dimer80", "ribo2500"]


def ball(path, radius=20.0, voxel_size=4.0, shift=(0, 0, 0)):
    z, y, x = (np.indices((32, 32, 32)) - 16) * voxel_size
    inside = (z - shift[2]) ** 2 + (y - shift[1]) ** 2 + (x - shift[0]) ** 2 < radius**2
    write_volume(path, Volume(inside.astype(np.float32), voxel_size))
    return path


def test_map_of_a_ball_gives_its_volume_and_centre(tmp_path):
    """However the map is sampled and wherever the ball lies in it."""
    for n, (voxel_size, shift) in enumerate([(4.0, (0, 0, 0)), (3.0, (10, -7, 5))]):
        path = ball(tmp_path / f"b{n}.mrc", voxel_size=voxel_size, shift=shift)
        (s,) = load(find([str(path)], tmp_path), 10.0)
        assert s.mass == pytest.approx(4 / 3 * np.pi * 20**3 / 1210, rel=0.08)  # voxels on its rim
        assert s.radius == pytest.approx(20, abs=voxel_size)
        index = np.indices(s.density.shape) - s.density.shape[0] // 2
        np.testing.assert_allclose((index * s.density).sum((1, 2, 3)) / s.density.sum(), 0, atol=0.05)


def test_folder_of_maps_and_atoms(real_data, tmp_path):
    found = find(str(real_data / "structures"), tmp_path)
    assert len(found) == 10
    (s,) = load([next(f for f in found if "1bxn" in f.name)], 10.0)
    assert s.name == "1bxn"
    assert s.mask.sum() * s.step**3 == pytest.approx(VOLUME_PER_DALTON * s.mass * 1000, rel=0.02)


def test_ribosome_map_is_about_a_ribosome(real_data, tmp_path):
    (s,) = load(find([str(real_data / "maps" / "4v4r.mrc")], tmp_path), 10.0)
    assert 1500 < s.mass < 4500
    assert 90 < s.radius < 180


def test_fingerprint_follows_the_content(tmp_path):
    path = ball(tmp_path / "a.mrc")
    before = fingerprint(path)
    ball(path, radius=21.0)
    assert fingerprint(path) != before
    assert fingerprint("dimer80") == "zoo:dimer80"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no_such_thing", "neither a folder nor one of zoo10"),
        (["dimer80", "dimer81"], "dimer81 is neither a file nor one of the zoo"),
        (["dimer80", "dimer80"], "two structures are called dimer80"),
        (["pdb:1bxn"], "allow_download=true"),
        (["pdb:1b"], "no database id"),
    ],
)
def test_unknown_sources(tmp_path, source, message):
    with pytest.raises(DataError, match=message):
        find(source, tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no structure files"):
        find(str(tmp_path), tmp_path)


def test_constant_map(tmp_path):
    write_volume(tmp_path / "c.mrc", Volume(np.ones((8, 8, 8), np.float32), 5.0))
    with pytest.raises(DataError, match="empty or constant"):
        load(find([str(tmp_path / "c.mrc")], tmp_path), 10.0)


def test_presets():
    assert len(PRESETS["zoo10"]) == 10
    assert len(PRESETS["zoo"]) >= 12
    assert len(PRESETS["bibm2020"]) == 10
