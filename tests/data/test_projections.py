import json
import shutil

import mrcfile
import numpy as np
import pytest
import torch
from scipy import stats

from cryoexp import cores
from cryoexp.data.projection_files import read_views
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import read_volume
from cryoexp.io.star import read_star
from cryoexp.physics.noise import variance
from cryoexp.physics.projection import project, transform
from cryoexp.physics.rotations import euler_to_matrix
from tests.data.views import make, rows

__all__ = ["make"]


def test_folder_holds_public_formats(make):
    data = make()
    names = {f.name for f in data.folder.iterdir()}
    assert names == {"dataset.yaml", "particles.star", "signal.mrcs", "volume.mrc"}
    assert all(mrcfile.validate(data.folder / name) for name in ("signal.mrcs", "volume.mrc"))
    with mrcfile.mmap(data.folder / "signal.mrcs") as stack:
        assert stack.is_image_stack()
        assert stack.data.shape == (80, 52, 52)
        assert float(stack.voxel_size.x) == 5.5
    volume = read_volume(data.folder / "volume.mrc")
    assert volume.voxel_size == 5.5
    assert volume.data.sum() * 5.5**3 == pytest.approx(2.5e6, rel=1e-3)
    assert data.info.classes == ["ribo2500"]
    assert data.info.counts == {"train": 40, "val": 14, "test": 26}
    optics = read_star(data.folder / "particles.star")["optics"]
    assert optics["rlnImageDimensionality"].item() == 2
    assert "rlnTomoTiltSeriesPixelSize" not in optics


def test_star_and_map_make_the_images(make):
    """Anyone can: turn the map by the angles, project, move it by minus the origin."""
    data = make("dataset.optics.ctf=false")
    table = read_star(data.folder / "particles.star")["particles"]
    assert "rlnDefocusU" not in table
    volume = transform(torch.from_numpy(read_volume(data.folder / "volume.mrc").data))
    angles = np.deg2rad(table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy())
    projected = project(volume, euler_to_matrix(torch.tensor(angles)))
    stored = torch.from_numpy(np.array(data.splits["train"].images)) / 5.5
    axis = torch.arange(52.0) - 26

    def centre(images):
        images = images.clamp(min=0)
        return torch.stack([(images.sum(d) * axis).sum(1) / images.sum((1, 2)) for d in (1, 2)], 1)

    moved = (centre(stored) - centre(projected)).numpy() * 5.5
    np.testing.assert_allclose(moved, -table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(), atol=0.8)
    still = make("dataset.optics.ctf=false", "dataset.shift=0")
    stored = torch.from_numpy(np.array(still.splits["train"].images)) / 5.5
    torch.testing.assert_close(stored, projected, atol=1e-3 * float(projected.max()), rtol=0)


def test_infinite_snr_is_the_signal_bit_for_bit(make):
    data = make("snr=inf", "dataset.normalise=none")
    batch = rows(data)
    stored = data.splits["train"].images[batch["index"].numpy()]
    assert torch.equal(data.finish(batch)["volume"][:, 0], torch.from_numpy(stored))


@pytest.mark.parametrize("support", ["box", "mask"])
@pytest.mark.parametrize("snr", [0.05, 1.0])
def test_noise_has_the_requested_snr(make, support, snr):
    data = make(f"snr={snr}", f"dataset.snr_support={support}", "dataset.normalise=none")
    column = "cryoexpVarianceMask" if support == "mask" else "cryoexpVarianceBox"
    noise = []
    for split, count in data.info.counts.items():
        batch = rows(data, split, count=count)
        noise.append(variance((data.finish(batch)["volume"] - batch["signal"])[:, 0]))
    measured = data.table[column].mean() / float(torch.cat(noise).mean())
    assert measured == pytest.approx(snr, rel=0.01)  # 80 images of 2,704 pixels: 0.3 %
    assert data.snr_measured[support] == pytest.approx(snr, rel=0.1)  # over the 26 of the test, with their own defocus


def test_stored_variances_are_those_of_the_images(make):
    data = make()
    images = torch.from_numpy(np.array(data.splits["train"].images))
    np.testing.assert_allclose(data.table["cryoexpVarianceBox"], images.double().flatten(1).var(1, unbiased=False))
    assert 1.2 < data.info.variance_mask / data.info.variance_box < 4


def test_noise_is_white_and_the_same_for_all(make):
    data = make("snr=0.01", "dataset.normalise=none")
    batch = rows(data, "test", count=26)
    noise = (data.finish(batch)["volume"] - batch["signal"])[:, 0]
    assert stats.kstest((noise / data.sigma).flatten().numpy()[::7], "norm").pvalue > 0.01
    assert abs(float((noise * noise.roll(1, 2)).mean())) < 0.02 * data.sigma**2


def test_evaluation_is_fixed_and_stored_whatever_the_views(make):
    fresh, fixed = make("dataset.views=fresh"), make("dataset.views=fixed")
    assert fresh.folder == fixed.folder
    for split in ("val", "test"):
        a, b = (data.finish(rows(data, split, count=5)) for data in (fresh, fixed))
        assert all(torch.equal(a[key], b[key]) for key in a)
        assert "signal" in rows(fresh, split)


def test_fresh_views_differ_by_epoch_and_repeat_with_the_seed(make):
    data, again, other = make(), make(), make("seed=1")
    first, second = (data.finish(rows(data, "train", epoch)) for epoch in (0, 1))
    for key in ("volume", "rotation", "shift", "defocus"):
        assert not torch.equal(first[key], second[key])
        assert torch.equal(first[key], again.finish(rows(again, "train", 0))[key])
        assert not torch.equal(first[key], other.finish(rows(other, "train", 0))[key])
    # an item's view depends on neither the batch nor what was read before
    alone = data.splits["train"].__getitems__([Draw(0, 3)])
    assert torch.equal(alone["rotation"][0], first["rotation"][3])


def test_fresh_views_are_none_of_the_stored_ones(make):
    """Training and test may carry the same seed; their views are strangers."""
    data = make("seed=0")
    stored = read_views(data.table, 5.5).rotations
    seen = torch.cat([rows(data, "train", epoch, count=40)["rotation"].double() for epoch in range(5)])
    trace = torch.einsum("nij,mij->nm", seen, stored)
    assert float(trace.max()) < 3 - 1e-4


def test_fresh_views_are_made_as_the_stored_ones(make):
    """A stored view, projected again while training, is the stored image."""
    data = make()
    batch = rows(data, "test", count=6)
    again = data.project({key: value for key, value in batch.items() if key != "signal"})
    torch.testing.assert_close(again, batch["signal"], atol=1e-3 * float(batch["signal"].std()), rtol=0)


def test_fixed_views_keep_the_image_and_change_the_noise(make):
    data = make("dataset.views=fixed")
    first, second = rows(data, "train", 0), rows(data, "train", 1)
    assert torch.equal(first["signal"], second["signal"])
    assert not torch.equal(first["noise"], second["noise"])
    frozen = make("dataset.views=fixed", "dataset.fresh_noise=false")
    assert torch.equal(rows(frozen, "train", 0)["noise"], rows(frozen, "train", 1)["noise"])


@pytest.mark.parametrize("snr", ["inf", "0.1"])
def test_a_batch_of_one(make, snr):
    data = make(f"snr={snr}")
    for split, epoch in (("test", -1), ("train", 0)):
        whole, one = (data.finish(rows(data, split, epoch, count)) for count in (2, 1))
        torch.testing.assert_close(one["volume"], whole["volume"][:1], atol=1e-4, rtol=1e-4)
        assert one["index"].shape == (1,)


def test_rebuilt_bit_for_bit(make, tmp_path, monkeypatch):
    """The same recipe in another place: every file the same, whatever the number of cores."""
    monkeypatch.setattr(cores, "available", lambda: 1)
    before = make().info.checksum
    monkeypatch.setattr(cores, "available", lambda: 2)
    other = make(f"dataset.data_dir={tmp_path / 'other'}")
    assert other.info.checksum == before


def test_loaders_and_passport(make):
    data = make("dataset.normalise=dataset")
    batch = data.finish(next(iter(data.train_dataloader())))
    assert batch["volume"].shape == (40, 1, 52, 52)
    json.dumps(data.passport())  # plain values only
    clean, seen = data.examples(torch.tensor(data.splits["test"].item[:2]))
    assert clean.shape == seen.shape == (2, 1, 52, 52)
    assert "34.5% of all rotations" in make("dataset.angle_coverage=[2,0.4,2]").describe()


def test_a_real_map_is_centred_by_its_mass(real_data, make):
    """5j0n lies 2.4, 1.8 and -2.3 voxels off the middle of its box."""
    path = real_data / "maps" / "5j0n.mrc"
    data = make(f"dataset.structure={path}", "dataset.optics.ctf=false", "dataset.shift=0", "snr=inf")
    density = read_volume(data.folder / "volume.mrc").data.clip(0)
    index = np.indices(density.shape) - 26
    np.testing.assert_allclose((index * density).sum((1, 2, 3)) / density.sum(), 0, atol=0.1)
    raw = read_volume(path)
    assert data.info.classes == ["5j0n"]
    # about as large as the raw map: radius of gyration 61 Å
    rg = np.sqrt(((index**2).sum(0) * density).sum() / density.sum()) * 5.5
    raw_index = np.indices(raw.data.shape)
    middle = (raw_index * raw.data).sum((1, 2, 3)) / raw.data.sum()
    raw_rg = np.sqrt((((raw_index - middle[:, None, None, None]) ** 2).sum(0) * raw.data).sum() / raw.data.sum())
    assert rg == pytest.approx(raw_rg * raw.voxel_size, rel=0.04)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.structure=ribo9000", "structure=ribo9000: neither a file"),
        ("dataset.structure=zoo10", "structure=zoo10: neither a file"),
        ("dataset.structure=[ribo2500,cap1300]", "give one structure"),
        ("dataset.images=0", "images=0: three splits need at least 3"),
        ("dataset.images=10.5", "whole number"),
        ("dataset.box=44", "ribo2500 is 44 pixels"),
        ("dataset.voxel_size=-1", "voxel_size=-1 must be positive"),
        ("dataset.resolution=8", "too fine for pixels of 5.5 Å"),
        ("dataset.optics.defocus=[-1,2]", r"optics\.defocus"),
        ("dataset.optics.defocus=2", r"optics\.defocus"),
        ("dataset.optics.voltage=30", r"optics\.voltage=30"),
        ("dataset.angle_coverage=[2,1.5,2]", "tilt must be between 0 and 1"),
        ("dataset.angle_shift=0", "three numbers"),
        ("dataset.rotations=spiral", "choose one of haar, angles"),
        ("dataset.shift=-1", "must not be negative"),
        ("dataset.contrast=red", "choose one of dark, bright"),
        ("dataset.projector=radon", "choose one of fourier, astra"),
        ("dataset.views=new", "choose one of fresh, fixed"),
        ("dataset.snr_support=ball", "choose one of box, mask"),
        ("dataset.snr=-1", "positive number or inf"),
        ("dataset.split=[0.5,0.5]", "three shares"),
        ("dataset.normalise=sum", "volume, dataset, none"),
        ("dataset.seed=-1", "must not be negative"),
    ],
)
def test_bad_values_are_named_and_leave_nothing(make, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        make(override, f"dataset.data_dir={tmp_path / 'c'}")
    assert not [f for f in (tmp_path / "c").glob("*") if f.is_dir()]


def test_astra_without_cuda_is_refused(make):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match=r"astra needs a CUDA device.*projector=fourier"):
        make("dataset.projector=astra")


def test_a_damaged_dataset_is_named(make, tmp_path):
    data = make()
    shutil.copytree(data.folder, tmp_path / "copy")
    stack = tmp_path / "copy" / "signal.mrcs"
    stack.write_bytes(stack.read_bytes()[:-1000])
    data.folder, data.splits = tmp_path / "copy", {}
    with pytest.raises(DataError, match=r"copy/signal\.mrcs"):
        data.setup()
