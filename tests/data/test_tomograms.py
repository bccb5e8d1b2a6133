"""Tomograms on disk: everything is there, in place, in units that other programs read, and the noise is as asked."""

import json
import shutil

import mrcfile
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoexp import cores
from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import read_volume
from cryoexp.io.star import read_star
from cryoexp.physics.rotations import euler_to_matrix

SMALL = [
    "dataset=tomograms",
    "dataset.structures=[dimer80,ring240]",
    "dataset.shape=[24,48,56]",
    "dataset.scene.mass_fraction=0.05",
    "dataset.scene.membranes=[{kind: vesicle, count: 1, double: false, radius: [80.0, 100.0]}]",
    "dataset.scene.beads=0",
    "dataset.optics.tilt_step=10",
    "dataset.split=[2,1,1]",
    "dataset.patch=[16,24,24]",
    "dataset.patches=5",
]


@pytest.fixture
def make(composed):
    def made(*overrides):
        return build(composed(*SMALL, *overrides, tiny=False).dataset)

    return made


@pytest.fixture
def data(make):
    module = make()
    module.setup()
    return module


def read(data, name, tomogram="tomo_001"):
    return mrcfile.read(data.folder / tomogram / f"{name}.mrc")


def test_the_whole_truth_is_there(data):
    names = {f.name for f in (data.folder / "tomo_001").iterdir()}
    volumes = {f"{n}.mrc" for n in ("density", "clean", "noise_odd", "noise_even", "semantic", "instances", "sdf")}
    assert names >= volumes | {"membranes.ply", "tilts.mrcs", "tilts.star", "tilts.tlt", "scene.json"}
    checks = json.loads((data.folder / "checks.json").read_text())
    assert checks["passed"], checks["failed"]
    assert set(checks["tomograms"]) == {"tomo_001", "tomo_002", "tomo_003", "tomo_004"}


def test_every_volume_carries_its_voxel_size(data):
    for file in (data.folder / "tomo_001").glob("*.mrc*"):
        with mrcfile.open(file, header_only=True) as mrc:
            assert mrc.voxel_size.x == pytest.approx(10.0)
            assert mrcfile.validate(file)


def test_label_types(data):
    assert read(data, "semantic").dtype == np.int8
    assert read(data, "instances").dtype == np.uint16
    assert data.info.classes == ["background", "dimer80", "ring240", "single_membrane"]
    assert set(np.unique(read(data, "semantic"))) == {0, 1, 2, 3}


def test_coordinates_name_the_particles(data):
    """Pixel coordinates are array indices, centred ones are about index N // 2, picks are in Å."""
    rows = read_star(data.folder / "particles.star")["particles"]
    rows = rows[rows["rlnTomoName"] == "tomo_001"]
    instances, semantic = read(data, "instances"), read(data, "semantic")
    for _, row in rows[rows["cryoexpClassName"] == "dimer80"].iterrows():
        voxels = np.argwhere(instances == row["cryoexpInstance"])[:, ::-1]
        centre = row[["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]].to_numpy(float)
        assert np.linalg.norm(voxels.mean(0) - centre) < 1
        assert (semantic[tuple(voxels[:, ::-1].T)] == row["rlnClassNumber"]).all()
        centred = row[[f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"]].to_numpy(float)
        np.testing.assert_allclose(centred, (centre - [28, 24, 12]) * 10, atol=2e-3)
    picks = json.loads((data.folder / "copick/ExperimentRuns/tomo_001/Picks/cryoexp_0_dimer80.json").read_text())
    first = rows[rows["cryoexpClassName"] == "dimer80"].iloc[0]
    assert picks["points"][0]["location"]["x"] == pytest.approx(10 * first["rlnCoordinateX"], abs=2e-3)
    turn = np.array(picks["points"][0]["transformation_"])[:3, :3]
    angles = np.deg2rad(first[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float))
    np.testing.assert_allclose(turn, euler_to_matrix(torch.tensor(angles)).numpy(), atol=1e-5)
    assert Rotation.from_matrix(turn).magnitude() > 0


def test_tilts_have_angles_exposures_and_optics(data):
    tilts = next(iter(read_star(data.folder / "tomo_001" / "tilts.star").values()))
    stack = mrcfile.read(data.folder / "tomo_001" / "tilts.mrcs")
    assert len(tilts) == len(stack) == 13
    assert tilts["rlnTomoYTilt"].tolist() == list(range(-60, 61, 10))
    assert tilts.loc[tilts["rlnTomoYTilt"] == 0, "rlnMicrographPreExposure"].item() == 0
    assert tilts["rlnMicrographPreExposure"].max() == pytest.approx(120 * 12 / 13, rel=1e-4)
    np.testing.assert_allclose(stack.mean((1, 2)), tilts["cryoexpCounts"], rtol=0.05)
    assert (data.folder / "tomo_001" / "tilts.tlt").read_text().splitlines()[0] == "-60.00"


def test_relion_finds_particles_in_the_tilted_images(make):
    """RELION 5: x' = x cos t + z sin t + shift, y' = y + shift, about the middle of the image."""
    data = make(
        "dataset.structures=[ring240]",
        "dataset.scene.numbers={ring240: 1}",
        "dataset.scene.mass_fraction=null",
        "dataset.scene.membranes=[]",
        "dataset.shape=[36,64,64]",
        "dataset.optics.shift_error=40",
        "dataset.optics.surroundings=none",
        "dataset.optics.dose=1e5",
        "dataset.optics.exposure_filter=false",
    )
    data.prepare_data()
    stack = mrcfile.read(data.folder / "tomo_001/tilts.mrcs")
    tilts = next(iter(read_star(data.folder / "tomo_001/tilts.star").values()))
    particle = read_star(data.folder / "particles.star")["particles"].iloc[0]
    x, y, z = (particle[f"rlnCenteredCoordinate{a}Angst"] / 10 for a in "XYZ")
    for image, (_, row) in zip(stack, tilts.iterrows(), strict=True):
        angle = np.deg2rad(row["rlnTomoYTilt"])
        u = x * np.cos(angle) + z * np.sin(angle) + row["rlnTomoXShiftAngst"] / 10 + 32
        v = y + row["rlnTomoYShiftAngst"] / 10 + 32
        dark = np.clip(np.median(image) - image, 0, None) ** 2
        rows, columns = np.indices(image.shape)
        near = np.hypot(columns - u, rows - v) < 12
        found = [(axis * dark * near).sum() / (dark * near).sum() for axis in (columns, rows)]
        assert found == pytest.approx([u, v], abs=1)


def test_copick_opens_the_project(data, monkeypatch):
    copick = pytest.importorskip("copick")
    monkeypatch.chdir(data.folder)
    root = copick.from_file("copick.json")
    picks = root.get_run("tomo_001").get_picks("dimer80")
    rows = read_star(data.folder / "particles.star")["particles"]
    rows = rows[(rows["rlnTomoName"] == "tomo_001") & (rows["cryoexpClassName"] == "dimer80")]
    assert len(picks[0].points) == len(rows)


@pytest.mark.parametrize("support", ["box", "mask"])
@pytest.mark.parametrize("snr", [0.05, 1.0])
def test_snr_is_what_it_says(make, snr, support):
    data = make(f"snr={snr}", f"dataset.snr_support={support}")
    data.setup()
    samples = data.splits["test"]
    inside = read(data, "semantic", "tomo_004") > 0 if support == "mask" else np.ones((24, 48, 56), bool)
    noise = (read(data, "noise_odd", "tomo_004").astype(float) + read(data, "noise_even", "tomo_004")) / 2
    measured = read(data, "clean", "tomo_004")[inside].var() / (samples.tomograms[0].noise * noise).var()
    assert measured == pytest.approx(snr, rel=0.02)
    assert data.snr_measured[support] == pytest.approx(snr, rel=0.02)


def test_infinite_snr_is_the_signal_bit_for_bit(make):
    data = make("snr=inf", "dataset.normalise=none")
    data.setup()
    batch = data.finish(data.splits["test"].__getitems__([Draw(-1, 0)]))
    z, y, x = batch["corner"][0].tolist()
    clean = read(data, "clean", "tomo_004")[z : z + 16, y : y + 24, x : x + 24]
    np.testing.assert_array_equal(batch["volume"][0, 0], clean)


def test_dose_noise_is_left_as_it_is(make):
    data = make("snr=dose")
    data.setup()
    assert [t.noise for t in data.splits["train"].tomograms] == [1.0, 1.0]
    assert data.describe().count("that of the dose") == 1


def test_an_snr_sweep_shares_one_dataset(make):
    folders = []
    for snr in ("0.1", "inf", "dose"):
        data = make(f"snr={snr}")
        data.prepare_data()
        folders.append(data.folder)
    assert len(set(folders)) == 1


def test_evaluation_patches_cover_every_voxel(data):
    seen = np.zeros((24, 48, 56), int)
    samples = data.splits["test"]
    for i in range(len(samples)):
        z, y, x = samples.__getitems__([Draw(-1, i)])["corner"][0].tolist()
        seen[z : z + 16, y : y + 24, x : x + 24] += 1
    assert seen.min() == 1


def test_patches_of_training_are_new_every_epoch_and_repeat_with_the_seed(data, make):
    def corners(module, epoch):
        return module.splits["train"].__getitems__([Draw(epoch, i) for i in range(10)])["corner"]

    again = make()
    again.setup()
    torch.testing.assert_close(corners(data, 3), corners(again, 3))
    assert not torch.equal(corners(data, 3), corners(data, 4))


def test_noise_of_training_is_a_new_mixture_of_the_same_strength(data):
    samples = data.splits["train"]
    noises = [samples.__getitems__([Draw(e, i) for i in range(10)])["noise"] for e in range(6)]
    fixed = [data.splits["test"].__getitems__([Draw(-1, i)])["noise"] for i in range(len(data.splits["test"]))]
    assert torch.cat(noises).std() == pytest.approx(float(torch.cat(fixed).std()), rel=0.1)
    assert not torch.equal(noises[0], noises[1])


def test_labelled_patches_hold_labels(make):
    data = make("dataset.balance=1.0")
    data.setup()
    batch = data.splits["train"].__getitems__([Draw(0, i) for i in range(10)])
    assert (batch["label"].flatten(1) > 0).any(1).all()


def test_augmentation_turns_labels_with_volumes(make):
    data = make("snr=inf", "dataset.normalise=none")
    data.setup()
    batch = data.splits["train"].__getitems__([Draw(1, i) for i in range(10)])
    assert batch["operation"].unique().numel() > 2
    done = data.finish({**batch, "signal": batch["label"][:, None].float(), "noise": torch.zeros(())})
    torch.testing.assert_close(done["volume"][:, 0], done["label"].float())


def test_normalised_tomograms_have_mean_0_and_sd_1(make):
    data = make("dataset.normalise=volume", "dataset.patch=[24,48,56]")
    data.setup()
    volume = data.finish(data.splits["test"].__getitems__([Draw(-1, 0)]))["volume"]
    assert float(volume.mean()) == pytest.approx(0, abs=0.02)
    assert float(volume.std()) == pytest.approx(1, rel=0.02)


def test_bright_contrast_is_the_negative(make, data):
    bright = make("dataset.contrast=bright")
    bright.setup()
    np.testing.assert_array_equal(read(bright, "clean"), -read(data, "clean"))


def test_the_same_bits_whatever_the_number_of_workers(make, tmp_path, monkeypatch):
    folders = []
    for n in (1, 2):
        monkeypatch.setattr(cores, "available", lambda n=n: n)
        data = make(f"paths.data_dir={tmp_path / str(n)}")
        data.prepare_data()
        folders.append(data.folder)
    for file in folders[0].rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (folders[1] / file.relative_to(folders[0])).read_bytes(), file.name


def test_a_failure_leaves_nothing_that_looks_whole(make, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    data = make(f"paths.data_dir={tmp_path}")
    monkeypatch.setattr("cryoexp.data.tomogram_files.write_ply", full)
    with pytest.raises(DataError, match="No space left on device"):
        data.prepare_data()
    assert not list(tmp_path.rglob("dataset.yaml"))
    assert not [f for f in tmp_path.iterdir() if f.is_dir() and f.name != "run"]


def test_export_writes_noisy_volumes_and_half_sets(make, tmp_path):
    data = make("snr=0.2")
    data.export(tmp_path / "mine")
    observed, odd, even = (read_volume(tmp_path / f"mine/tomo_001/{n}.mrc") for n in ("observed", "odd", "even"))
    np.testing.assert_allclose(observed.data, (odd.data + even.data) / 2, atol=1e-6)
    clean = read_volume(tmp_path / "mine/tomo_001/clean.mrc").data
    assert clean.var() / (observed.data - clean).var() == pytest.approx(0.2, rel=0.02)
    halves = np.corrcoef((odd.data - clean).ravel(), (even.data - clean).ravel())[0, 1]
    assert abs(halves) < 0.05
    table = read_star(tmp_path / "mine/tomograms.star")["global"]
    assert (tmp_path / "mine" / table["rlnTomoReconstructedTomogramHalf1"].iloc[0]).is_file()
    assert [f.name for f in tmp_path.iterdir() if f.name != "run"] == ["mine"]
    with pytest.raises(DataError, match="not empty"):
        data.export(tmp_path / "mine")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.shape=[24,48]", "three whole numbers"),
        ("dataset.voxel_size=-1", "voxel_size=-1"),
        ("dataset.contrast=grey", "dark or bright"),
        ("dataset.split=[1,0,1]", "numbers of tomograms for train, val and test"),
        ("dataset.patch=[0,8,8]", "three sizes"),
        ("dataset.snr_support=ball", "box or mask"),
        ("dataset.optics.defocus=-1", "defocus=-1.* is outside 0..50"),
        ("dataset.optics.tilt_step=0", "tilt_step=0"),
        ("dataset.augment=cube", "is no cube"),
        ("dataset.scene.mass_fraction=0.9", "mass_fraction=0.9"),
        ("dataset.structures=[unknown1]", "unknown1 is neither a file"),
        ("snr=loud", "positive number or inf"),
    ],
)
def test_bad_values_are_named_before_anything_is_made(make, override, message):
    with pytest.raises((ConfigError, DataError), match=message):
        make(override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.labels={a: [unheard]}", "labels names unheard"),
        ("dataset.shape=[8,48,48]", r"dataset.shape=\[8, 48, 48\]: ring240 is 12 voxels"),
        ("dataset.optics.resolution=20", "at least three voxels"),
    ],
)
def test_bad_values_are_named_when_simulated(make, tmp_path, override, message):
    data = make(override, f"paths.data_dir={tmp_path}")
    with pytest.raises(ConfigError, match=message):
        data.prepare_data()
    assert not [f for f in tmp_path.iterdir() if f.is_dir() and f.name != "run"]


def test_a_missing_volume_is_named(make, data, tmp_path):
    shutil.copytree(data.folder, tmp_path / "copy")
    (tmp_path / "copy/tomo_001/clean.mrc").unlink()
    broken = make()
    broken.folder = tmp_path / "copy"
    broken.setup()
    with pytest.raises(DataError, match=r"clean\.mrc: no such file"):
        broken.splits["train"].__getitems__([Draw(0, 0)])


def test_jitter_is_for_training_alone_and_what_it_says(make):
    plain, varied = make("dataset.augment=none"), make("dataset.augment=none", "dataset.jitter=0.5")
    for data in (plain, varied):
        data.setup()
    draws = [Draw(0, i) for i in range(4)]
    batches = [data.splits["train"].__getitems__(draws) for data in (plain, varied)]
    assert (batches[0]["jitter"] == torch.tensor([1.0, 1.0, 0.0])).all()
    assert (varied.splits["val"].__getitems__([Draw(0, 0)])["jitter"] == torch.tensor([1.0, 1.0, 0.0])).all()
    strength, gain, offset = (v.view(-1, 1, 1, 1, 1) for v in batches[1]["jitter"].unbind(1))
    assert len({*strength.flatten().tolist(), *gain.flatten().tolist(), *offset.flatten().tolist()}) == 12
    batch = batches[1]
    noisy = plain.normalised(batch["signal"] + strength * batch["noise"], batch["index"])
    torch.testing.assert_close(varied.finish(batch)["volume"], gain * noisy + offset)


def test_a_jitter_that_is_none_is_refused(make):
    with pytest.raises(ConfigError, match=r"dataset\.jitter=-1.0: give 0 for none, up to 2"):
        make("dataset.jitter=-1.0")
