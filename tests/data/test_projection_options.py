"""The options of the original generator, augmentation, and HDF5."""

import sys

import mrcfile
import numpy as np
import pytest
import torch

from cryoexp.data.projection_augment import Turns, turn
from cryoexp.data.projection_hdf5 import original_angles
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError
from cryoexp.io.mrc import Volume, read_volume, write_volume
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.simulate.zoo import ZOO
from tests.data.views import make, rows

__all__ = ["make"]

FIXED = ["dataset.views=fixed", "dataset.fresh_noise=false"]
PLAIN = ["snr=inf", "dataset.optics.ctf=false", "dataset.normalise=none"]


def test_splits_by_numbers_of_images(make):
    data = make("dataset.split=[50,18,12]")
    assert data.info.counts == {"train": 50, "val": 18, "test": 12}
    assert (data.table["cryoexpSplit"].iloc[:50] != "train").any()  # drawn, not the first ones


@pytest.mark.parametrize("split", ["[50,18,13]", "[50,30]", "[80,0,0]"])
def test_numbers_that_do_not_add_up(make, split):
    with pytest.raises(ConfigError, match="three numbers of images that add up to the 80 there are"):
        make(f"dataset.split={split}")


def test_a_noise_variance_is_in_units_of_line_integrals(make):
    """Of the zoo: Da/Å³ times pixels; images hold Da/Å²."""
    data = make(*PLAIN, "dataset.noise_variance=0.25")
    assert data.sigma == pytest.approx(0.5 * 5.5)
    batch = rows(data, "test", count=26)
    noise = (data.finish(batch)["volume"] - batch["signal"]) / 5.5
    assert float(noise.var()) == pytest.approx(0.25, rel=0.02)
    assert "noise variance 0.25, SNR: " in data.describe()
    assert make(*PLAIN, "dataset.noise_variance=0").sigma == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["snr=0.1", "dataset.noise_variance=16"], r"noise_variance=16 and snr=0\.1 both say"),
        (["snr=inf", "dataset.noise_variance=-1"], "noise_variance=-1 must not be negative"),
        (["dataset.shift_distribution=normal"], "choose one of uniform, triangular"),
        (["dataset.augment=cube"], "augment=cube: choose one of none, d4, inplane"),
    ],
)
def test_bad_values(make, overrides, message):
    with pytest.raises(ConfigError, match=message):
        make(*overrides)


@pytest.mark.parametrize("scale", [1.0, -3e4, 1e-7])
def test_a_map_may_have_any_scale_and_sign(make, tmp_path, scale):
    """And lie anywhere in a box of any shape; line integrals count its own values and voxels."""
    density = ZOO["ribo2500"].atoms().grid(65, 5.5)[3:, 1:, 9:-5] + 0.02
    write_volume(tmp_path / "map.mrc", Volume((scale * density).astype(np.float32), 5.5))
    data = make(f"dataset.structure={tmp_path / 'map.mrc'}", *PLAIN, "dataset.shift=0", "dataset.noise_variance=1")
    found = read_volume(data.folder / "volume.mrc").data
    index = np.indices(found.shape) - 26
    np.testing.assert_allclose((index * found).sum((1, 2, 3)) / found.sum(), 0, atol=0.2)
    made = data.info.made_by
    assert ("inverted" in made["sources"]["map"]) == (scale < 0)
    # all of the matter of the file, in its own units, is in every image
    batch = rows(data, "test", count=4)["signal"] / made["line_integral"]
    expected = abs(scale) * (density - np.median(density)).sum()
    np.testing.assert_allclose(batch.sum((1, 2, 3)), expected, rtol=0.06)
    assert data.sigma == pytest.approx(made["line_integral"])


def test_noise_keeps_its_density_on_coarser_pixels(make, tmp_path):
    """As if it had been added to pixels as large as the map's voxels, and the images cropped in Fourier space."""
    density = ZOO["ribo2500"].atoms().grid(121, 2.75)
    write_volume(tmp_path / "fine.mrc", Volume(density, 2.75))
    made = make(f"dataset.structure={tmp_path / 'fine.mrc'}", *PLAIN, "dataset.noise_variance=4").info.made_by
    assert made["noise_unit"] == pytest.approx(made["line_integral"] / 2, rel=1e-6)


def test_the_images_of_the_original_project(make, real_data):
    """5j0n, 116² pixels: its clean images have mean 0.262 and variance 1.05 to 1.10, measured on its own data."""
    data = make(
        "dataset=projections_2020",
        f"dataset.structure={real_data / 'maps' / '5j0n.mrc'}",
        "dataset.images=90",
        "dataset.split=[40,20,30]",
        "dataset.box=116",
        "snr=inf",
        "dataset.noise_variance=16",
    )
    images = np.array(data.splits["train"].images) / data.info.made_by["line_integral"]
    assert images.mean() == pytest.approx(0.262, abs=0.003)
    assert images.var() == pytest.approx(1.06, abs=0.06)
    assert data.sigma**2 / data.info.made_by["line_integral"] ** 2 == pytest.approx(16, rel=1e-3)
    batch = data.finish(rows(data, "train", 0, 40))["volume"]
    assert float(batch.mean()) == pytest.approx(0, abs=0.02)
    assert float(batch.std()) == pytest.approx(1, abs=0.02)
    assert torch.equal(batch, data.finish(rows(data, "train", 1, 40))["volume"])  # baked in


@pytest.mark.parametrize("kind", ["d4", "inplane"])
def test_turned_images_are_those_of_their_views(make, kind):
    """Project the view that the batch holds after augmentation: the same image."""
    data = make(*FIXED, f"dataset.augment={kind}", *PLAIN[::2], "dataset.box=64")
    plain, turned = rows(data, "train", -1, 20), rows(data, "train", 0, 20)
    assert torch.equal(plain["signal"], turned["signal"])
    seen = data.finish(turned)
    expected = data.project({key: seen[key] for key in ("rotation", "shift", "defocus")})
    assert not torch.allclose(seen["rotation"], plain["rotation"])
    assert float((seen["volume"] - expected).norm() / expected.norm()) < (2e-3 if kind == "d4" else 0.03)
    angle = torch.linalg.det(seen["rotation"])
    torch.testing.assert_close(angle, torch.ones(20))
    again = data.finish(rows(data, "train", 0, 20))
    assert torch.equal(seen["volume"], again["volume"])
    assert not torch.equal(seen["rotation"], data.finish(rows(data, "train", 1, 20))["rotation"])


def test_noise_that_is_baked_in_turns_with_the_image(make):
    data = make(*FIXED, "dataset.augment=d4", "snr=0.1", "dataset.normalise=none")
    noisy = data.finish(rows(data, "train", -1, 8))["volume"]
    batch = rows(data, "train", 3, 8)
    expected, _ = turn(noisy, batch)
    assert torch.equal(data.finish(batch)["volume"], expected)


def test_validation_and_test_are_never_turned(make):
    none, d4 = (make(*FIXED, f"dataset.augment={kind}") for kind in ("none", "d4"))
    for split in ("val", "test"):
        a, b = (data.finish(rows(data, split)) for data in (none, d4))
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_turns_are_drawn_evenly():
    generator = torch.Generator().manual_seed(0)
    drawn = [Turns("d4").draw(generator) for _ in range(4000)]
    counts = np.bincount([element for element, _ in drawn], minlength=8)
    assert (np.abs(counts - 500) < 100).all()
    assert not any(angle for _, angle in drawn)
    drawn = [Turns("inplane").draw(generator) for _ in range(4000)]
    assert abs(np.mean([element == 4 for element, _ in drawn]) - 0.5) < 0.03
    assert abs(np.mean([angle for _, angle in drawn]) - np.pi) < 0.1


def test_angles_of_the_original_project():
    """Its matrix, written down from its own convention, is the transpose of ours."""
    rotations = quaternion_to_matrix(random_quaternions(50, torch.Generator().manual_seed(0)))
    angles = original_angles(rotations).numpy()

    def rz(a):
        return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])

    def ry(a):
        return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])

    for (a, b, c), ours in zip(angles, rotations.numpy(), strict=True):
        np.testing.assert_allclose(rz(-c) @ ry(-b) @ rz(-a), ours.T, atol=1e-9)
    assert (angles >= 0).all()
    assert (angles <= np.array([2 * np.pi, np.pi, 2 * np.pi])).all()


def test_hdf5_holds_the_images_and_their_angles(make, tmp_path):
    h5py = pytest.importorskip("h5py")
    data = make("dataset.hdf5=true", "dataset.images=70")
    data.export(tmp_path / "out")
    clean = mrcfile.read(tmp_path / "out" / "signal.mrcs")
    with h5py.File(tmp_path / "out" / "projections.h5") as file:
        assert set(file) == {"Projections", "Angles"}
        assert file["Projections"].dtype == np.float32
        np.testing.assert_allclose(file["Projections"][:], clean / 5.5, rtol=1e-6)
        batch = data.splits["test"].__getitems__([Draw(-1, 0)])
        ours = original_angles(batch["rotation"].double())[0]
        np.testing.assert_allclose(file["Angles"][int(batch["index"])], ours, atol=1e-5)
    assert "projections.h5" in data.info.checksum


def test_hdf5_without_h5py_is_refused_before_any_work(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"needs h5py: pip install 'cryoexp\[hdf5\]'"):
        make("dataset.hdf5=true")
