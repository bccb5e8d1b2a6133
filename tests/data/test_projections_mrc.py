"""Real stacks: what was simulated, exported and read again is the same; what is wrong is said at once."""

import json

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.assemble import make_data
from cryoexp.data.projection_ctf import flipped
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import write_images
from cryoexp.io.star import optics_block, read_star, write_star
from cryoexp.physics.fourier import image_frequencies
from cryoexp.physics.rotations import euler_to_matrix
from tests.data.views import make, rows

__all__ = ["make"]
N, EDGE, PIXEL = 24, 16, 5.5
PLAIN = ["dataset.normalise=none", "dataset.augment=none"]


@pytest.fixture
def opened(composed):
    def opened(path, *overrides, box="null"):
        asked = ("dataset=projections_mrc", f"dataset.path={path}", f"dataset.box={box}")
        return make_data(composed(*asked, *overrides, tiny=False))

    return opened


@pytest.fixture
def stack(tmp_path):
    """Images of noise in a folder of RELION's layout, and the table that names them."""
    folder = tmp_path / "project" / "Extract" / "job001"
    (folder / "mics").mkdir(parents=True)
    images = np.random.default_rng(0).normal(size=(N, EDGE, EDGE)).astype(np.float32)
    for i in range(4):
        write_images(folder / "mics" / f"m{i}.mrcs", images[i::4], PIXEL)
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{i // 4 + 1:06d}@Extract/job001/mics/m{i % 4}.mrcs" for i in range(N)],
            "rlnMicrographName": [f"mics/m{i % 4}.mrc" for i in range(N)],
            "rlnOpticsGroup": 1,
            "rlnAngleRot": rng.uniform(-180, 180, N).round(3),
            "rlnAngleTilt": rng.uniform(0, 180, N).round(3),
            "rlnAnglePsi": rng.uniform(-180, 180, N).round(3),
            "rlnOriginXAngst": rng.uniform(-9, 9, N).round(3),
            "rlnOriginYAngst": rng.uniform(-9, 9, N).round(3),
            "rlnDefocusU": 12000.0,
            "rlnDefocusV": 11000.0,
            "rlnDefocusAngle": 30.0,
            "rlnCoordinateX": rng.uniform(0, 900, N).round(1),
        }
    )
    return folder / "particles.star", table, images


def save(path, table, **optics):
    block = optics_block(PIXEL, EDGE, 300.0, 2.7, 0.1, dimensionality=2).assign(**optics)
    write_star(path, {"optics": block, "particles": table})
    return path


def everything(data, epoch=-1):
    """The batches of all splits, in the order of the dataset."""
    batches = [rows(data, split, epoch, count) for split, count in data.info.counts.items()]
    order = torch.cat([b["index"] for b in batches]).argsort()
    return {key: torch.cat([b[key] for b in batches])[order] for key in batches[0]}


def test_an_exported_dataset_reads_as_it_was(make, opened, tmp_path):
    simulated = make("snr=0.3", "dataset.normalise=none", "dataset.views=fixed")
    simulated.export(tmp_path / "out")
    real = opened(tmp_path / "out", *PLAIN)
    assert real.info.counts == simulated.info.counts
    assert (real.info.classes, real.info.shape, real.info.voxel_size) == (["ribo2500"], [52, 52], 5.5)
    assert real.info.made_by["angles"]
    for split in ("val", "test"):
        ours, theirs = (data.finish(rows(data, split, count=9)) for data in (real, simulated))
        for key in theirs:
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-4, rtol=1e-5)
    assert real.snr_measured == {}
    assert "no noise is added" in real.describe()
    json.dumps(real.passport())


def test_angles_origins_and_paths_of_relion(stack, opened):
    star, table, images = stack
    data = opened(save(star, table), *PLAIN)
    seen = everything(data)
    np.testing.assert_array_equal(seen["signal"][:, 0], images)
    angles = torch.deg2rad(torch.tensor(table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()))
    torch.testing.assert_close(seen["rotation"], euler_to_matrix(angles).float())
    expected = -table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy() / PIXEL
    np.testing.assert_allclose(seen["shift"], expected, atol=1e-5)
    np.testing.assert_allclose(seen["defocus"], 11500)
    rows_ = data.particles(np.array([5]))
    assert rows_["rlnImageName"].item() == f"000002@{star.parent / 'mics' / 'm1.mrcs'}"
    assert rows_["rlnCoordinateX"].item() == table["rlnCoordinateX"][5]
    assert data.optics()["rlnVoltage"].item() == 300


def test_whole_micrographs_are_shared_out(stack, opened):
    star, table, _ = stack
    data = opened(save(star, table))
    assert data.table.groupby("rlnMicrographName")["cryoexpSplit"].nunique().max() == 1
    assert "split by micrograph (4)" in data.describe()


def test_the_half_sets_of_relion_are_train_and_test(stack, opened):
    star, table, _ = stack
    table["rlnRandomSubset"] = np.arange(N) % 2 + 1
    data = opened(save(star, table))
    assert (data.table.loc[table["rlnRandomSubset"] == 2, "cryoexpSplit"] == "test").all()
    assert data.info.counts == {"train": 9, "val": 3, "test": 12}
    assert opened(star, "dataset.split_by=micrograph").info.counts != data.info.counts
    counts = opened(star, "dataset.split_by=random", "dataset.split=[4,15,5]").info.counts
    assert counts == {"train": 4, "val": 15, "test": 5}


def test_without_angles(stack, opened, tmp_path):
    star, table, images = stack
    bare = table[[c for c in table if not c.startswith(("rlnAngle", "rlnOrigin", "rlnDefocus"))]]
    flat = table.assign(rlnAngleRot=0.0, rlnAngleTilt=0.0)
    write_images(tmp_path / "one.mrcs", images, PIXEL)
    for path, why in (
        (save(star.with_name("bare.star"), bare), "without angles"),
        (save(star.with_name("flat.star"), flat), "rot and tilt are 0 in every row"),
        (tmp_path / "one.mrcs", "without angles"),
        (star.parent / "mics" / "m?.mrcs", "without angles"),
        (star.parent / "mics", "without angles"),
    ):
        data = opened(path)
        assert not data.info.made_by["angles"]
        assert why in data.describe()
        batch = data.finish(rows(data, "train", 0, count=5))
        assert batch["rotation"].isnan().all()
        assert batch["volume"].isfinite().all()
        assert batch["defocus"].isfinite().all()


def test_images_are_turned_with_their_views_in_training_only(stack, opened):
    star, table, _ = stack
    plain, turned = (opened(save(star, table), f"dataset.augment={kind}") for kind in ("none", "d4"))
    still, first = (data.finish(rows(data, "train", 0)) for data in (plain, turned))
    assert not torch.equal(first["volume"], still["volume"])
    torch.testing.assert_close(first["shift"].norm(dim=1), still["shift"].norm(dim=1))
    assert torch.equal(
        plain.finish(rows(plain, "test", count=5))["volume"], turned.finish(rows(turned, "test", count=5))["volume"]
    )


@pytest.mark.parametrize(("pixel", "edge", "box"), [(2.75, 104, 52), (4.4, 65, 52), (5.5, 70, 52), (2.75, 128, 48)])
def test_other_pixels_and_boxes_show_the_same_particle(opened, tmp_path, pixel, edge, box):
    """A Gaussian off the centre, sampled finely, is the Gaussian sampled coarsely; shifts stay true."""

    def blob(size, step):
        axis = (np.arange(size) - size // 2) * step
        return np.exp(-((axis[:, None] - 20) ** 2 + (axis + 35) ** 2) / (2 * 18.0**2)).astype(np.float32)

    write_images(tmp_path / "fine.mrcs", np.stack([blob(edge, pixel)] * 4), pixel)
    table = pd.DataFrame({"rlnImageName": [f"{i + 1}@fine.mrcs" for i in range(4)], "rlnOpticsGroup": 1})
    table = table.assign(rlnOriginXAngst=35.0, rlnOriginYAngst=-20.0)
    optics = optics_block(pixel, edge, 300, 2.7, 0.1, 2)
    write_star(tmp_path / "p.star", {"optics": optics, "particles": table})
    data = opened(tmp_path / "p.star", "dataset.voxel_size=5.5", *PLAIN, box=box)
    batch = rows(data, "train", count=1)
    np.testing.assert_allclose(batch["signal"][0, 0], blob(box, 5.5), atol=2e-3)
    image, axis = batch["signal"][0, 0].clamp(min=0.01) - 0.01, torch.arange(float(box)) - box // 2
    centre = torch.stack([(image.sum(0) * axis).sum(), (image.sum(1) * axis).sum()]) / image.sum()
    torch.testing.assert_close(centre, batch["shift"][0], atol=0.05, rtol=0)
    assert data.info.voxel_size == 5.5
    rescaled, cropped = pixel != 5.5, round(edge * pixel / 5.5) > box
    assert ("rescaled" in data.describe(), "cropped" in data.describe()) == (rescaled, cropped)


def test_optics_groups_of_two_microscopes(stack, opened):
    """Two pixel sizes in one table: brought to one, or refused."""
    star, table, _ = stack
    write_images(star.parent / "other.mrcs", np.zeros((4, 20, 20), np.float32) + np.eye(20, dtype=np.float32), 4.4)
    table.loc[:3, ["rlnImageName", "rlnOpticsGroup"]] = [[f"{i + 1}@other.mrcs", 2] for i in range(4)]
    one, two = (optics_block(p, e, 300, 2.7, 0.1, 2) for p, e in ((PIXEL, EDGE), (4.4, 20)))
    optics = pd.concat([one, two.assign(rlnOpticsGroup=2)])
    write_star(star, {"optics": optics, "particles": table})
    with pytest.raises(DataError, match=r"pixels of 4\.4, 5\.5 Å.*dataset\.voxel_size=5\.5"):
        opened(star)
    data = opened(star, "dataset.voxel_size=5.5")
    assert data.info.shape == [16, 16]
    assert "4 rescaled" in data.describe()


def test_phases_flipped_by_the_ctf_of_each_image(make, opened, tmp_path):
    """Beyond the first zero of the CTF the phases are those of the projection again; before, nothing changes."""
    keys = ["snr=inf", "dataset.images=20", "dataset.box=64", "dataset.shift=0", "dataset.normalise=none"]
    make(*keys, "dataset.optics.defocus=[8.0,9.0]").export(tmp_path / "ctf")
    make(*keys, "dataset.optics.ctf=false").export(tmp_path / "none")
    true, raw = (everything(opened(tmp_path / n, *PLAIN))["signal"] for n in ("none", "ctf"))
    data = opened(tmp_path / "ctf", "dataset.ctf=flip", *PLAIN)
    assert data.passport()["ctf"] == "flip"
    assert "phases flipped" in data.describe()
    ky, kx = image_frequencies(64, 64, 5.5)
    k = (ky**2 + kx**2).sqrt()

    def alike(images, band):
        a, b = (torch.fft.rfft2(x)[..., band] for x in (images, true))
        return float((a * b.conj()).real.sum() / (a.abs().square().sum() * b.abs().square().sum()).sqrt())

    seen = everything(data)["signal"]
    between = (k > 0.025) & (k < 0.033)  # the first two zeros at 8 to 9 µm: 1/40 and 1/28 Å
    assert alike(raw, between) < -0.7
    assert alike(seen, between) > 0.7
    beyond = (k > 0.025) & (k < 0.06)
    assert alike(seen, beyond) > alike(raw, beyond) + 0.4
    low = (k > 0) & (k < 0.022)
    assert alike(seen, low) == pytest.approx(alike(raw, low), abs=1e-3)


def test_flipping_an_astigmatic_image_undoes_the_sign_in_each_direction():
    """A wave along U and one across it have their own zeros."""
    size, pixel = 64, 4.0
    lens = np.array([4.0e4, 1.0e4, 0.0, 3e5, 2.7e7, 0.1, 0.0])
    x = np.arange(size)
    signs = []
    for axis in (0, 1):
        wave = np.cos(2 * np.pi * 11 * x / size)
        image = np.broadcast_to(wave[None, :] if axis == 0 else wave[:, None], (size, size)).astype(np.float32)
        signs.append(np.sign((flipped(image, pixel, lens) * image).sum()))
        k, lam = 11 / (size * pixel), 0.019687
        phase = np.pi * lam * lens[axis] * k**2 - np.pi / 2 * 2.7e7 * lam**3 * k**4 + np.arcsin(0.1)
        assert signs[-1] == np.sign(np.sin(phase))
    assert signs[0] != signs[1]


def test_relion_3_0_in_pixels(stack, opened):
    star, table, _ = stack
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]] / 3
    old = table.assign(**origins).drop(columns=["rlnOpticsGroup"]).rename(columns=lambda c: c.replace("Angst", ""))
    old = old.assign(rlnDetectorPixelSize=5.5, rlnMagnification=10000.0, rlnVoltage=300.0)
    old = old.assign(rlnSphericalAberration=2.7, rlnAmplitudeContrast=0.1)
    write_star(star, {"": old})
    data = opened(star, "dataset.ctf=flip")
    seen = everything(data)
    np.testing.assert_allclose(seen["shift"], -origins, atol=1e-5)
    assert data.info.voxel_size == 5.5
    assert data.optics()["rlnImageDimensionality"].item() == 2


def test_a_part_is_spread_evenly(stack, opened):
    star, table, images = stack
    data = opened(save(star, table), "dataset.limit=12", *PLAIN)
    np.testing.assert_array_equal(everything(data)["signal"][:, 0], images[::2])
    assert sum(data.info.counts.values()) == 12


def test_all_problems_at_once(stack, opened):
    star, table, images = stack
    folder = star.parent / "mics"
    write_images(folder / "m1.mrcs", images[:6, :, :12], PIXEL)
    (folder / "m2.mrcs").write_bytes((folder / "m2.mrcs").read_bytes()[:-100])
    (folder / "m3.mrcs").unlink()
    table.loc[8, "rlnImageName"] = "000099@Extract/job001/mics/m0.mrcs"
    table["cryoexpSplit"] = ["train", "test"] * (N // 2)
    table.loc[3, "cryoexpSplit"] = "vald"
    with pytest.raises(DataError) as caught:
        opened(save(star, table.drop(columns="rlnDefocusU")), "dataset.ctf=flip")
    message = str(caught.value)
    for part in (
        "particles.star: 7 problems",
        "m1.mrcs: images of 16 x 12 pixels",
        "m2.mrcs: not a whole MRC stack",
        "m3.mrcs: no such file",
        "row 9: 000099@Extract/job001/mics/m0.mrcs, which holds 6 images",
        "1 images have cryoexpSplit=vald",
        "the val split is empty",
        "needs rlnDefocusU",
    ):
        assert part in message, part


def test_values_are_looked_at(stack, opened):
    star, table, images = stack
    images[4, 2, 2] = np.nan
    images[8] = 3
    with pytest.warns(RuntimeWarning, match="NaN"):
        write_images(star.parent / "mics" / "m0.mrcs", images[::4], PIXEL)
    with pytest.raises(DataError, match=r"2 problems\n.*000002@.*1 NaN or infinite pixels\n.*000003@.*pixel is 3"):
        opened(save(star, table))
    opened(star, "dataset.check_values=false")


def test_a_header_without_a_pixel_size(stack, opened, tmp_path):
    _, _, images = stack
    write_images(tmp_path / "none.mrcs", images, 0.0)
    with pytest.raises(DataError, match=r"none\.mrcs: the header gives a voxel size of 0 Å.*dataset\.pixel_size=<Å>"):
        opened(tmp_path / "none.mrcs")
    assert opened(tmp_path / "none.mrcs", "dataset.pixel_size=2").info.voxel_size == 2


def test_contrast_is_stated_and_a_description_believed(make, opened, tmp_path):
    make("dataset.images=12").export(tmp_path / "out")
    with pytest.raises(DataError, match=r"dataset\.yaml: protein is bright. Give dataset\.contrast=bright"):
        opened(tmp_path / "out", "dataset.contrast=dark")


def test_unusable_inputs(stack, opened, tmp_path):
    star, table, images = stack
    with pytest.raises(DataError, match=r"nowhere\.star: no such file"):
        opened(tmp_path / "nowhere.star")
    with pytest.raises(DataError, match=r"nothing/\*\.mrcs: no such file"):
        opened(tmp_path / "nothing" / "*.mrcs")
    with pytest.raises(DataError, match=r"neither particles\.star nor a \.mrcs stack"):
        opened(tmp_path)
    with mrcfile.new(tmp_path / "volume.mrc") as mrc:
        mrc.set_data(images)
    with pytest.raises(DataError, match=r"volume\.mrc is neither a \.star table nor a \.mrcs stack"):
        opened(tmp_path / "volume.mrc")
    with pytest.raises(DataError, match=r"no column rlnImageName"):
        opened(save(star, table.drop(columns="rlnImageName")))
    with pytest.raises(DataError, match=r"images of 16 pixels of 5\.5 Å cannot fill dataset\.box=64"):
        opened(save(star, table), box=64)
    with pytest.raises(DataError, match=r"cannot be made finer than by 2"):
        opened(star, "dataset.voxel_size=1")
    with pytest.raises(DataError, match=r"24 particles lie outside of their image"):
        opened(save(star, table.assign(rlnOriginXAngst=400.0)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.contrast=red", "contrast=red: choose one of dark, bright"),
        ("dataset.ctf=wiener", "ctf=wiener: choose one of none, flip"),
        ("dataset.split_by=name", "split_by=name: choose one of auto"),
        ("dataset.limit=0", "limit=0 must be a positive whole number, or null"),
        ("dataset.pixel_size=-1", "pixel_size=-1 must be a positive number, or null"),
        ("dataset.split=[0.5,0.5]", "three shares"),
        ("dataset.augment=d2h", "choose one of none, d4, inplane"),
    ],
)
def test_bad_values(opened, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, override)


def test_loaders_give_batches(stack, opened):
    star, table, _ = stack
    data = opened(save(star, table), "dataset.batch_size=5", "dataset.normalise=dataset")
    batch = data.finish(next(iter(data.train_dataloader())))
    assert batch["volume"].shape == (5, 1, EDGE, EDGE)
    assert set(batch) == {"volume", "rotation", "shift", "defocus", "index"}
    smooth, seen = data.examples(torch.tensor(data.splits["test"].item[:2]))
    assert smooth.shape == seen.shape == (2, 1, EDGE, EDGE)
    assert read_star(star)["particles"].shape == table.shape
    assert data.splits["train"].__getitems__([Draw(0, 1)])["element"].shape == (1,)
