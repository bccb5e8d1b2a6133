"""Single-particle images as an input: stacks and tables, brought to the scale of the training."""

from dataclasses import replace

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.data.normalise import Normalise
from cryoexp.data.projection_ctf import flipped
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.particles import Particles
from cryoexp.inference.request import Request, Training
from cryoexp.io.mrc import write_images
from cryoexp.io.star import optics_block, read_star, write_star

TRAINED = Training((16, 16), 5.5, "bright", Normalise("none"))


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(6, 16, 16)).astype(np.float32)


def ask(given, training=TRAINED, voxel_size=None, contrast=None, **more):
    request = Request(str(given), training, voxel_size, contrast, (torch.device("cpu"),), 4, **more)
    return Particles(request)


def read(particles):
    return particles.read(range(len(particles)))


def test_a_bare_stack(images, tmp_path):
    write_images(tmp_path / "some.mrcs", images, 5.5)
    particles = ask(tmp_path / "some.mrcs")
    assert read(particles).shape == (6, 1, 16, 16)
    np.testing.assert_array_equal(read(particles)[:, 0], images)
    assert particles.rows["rlnImageName"][4] == f"000005@{(tmp_path / 'some.mrcs').resolve()}"
    assert particles.optics["rlnImageDimensionality"].item() == 2
    assert particles.optics["rlnImagePixelSize"].item() == 5.5
    assert "6 of 16 x 16 pixels of 5.5 Å: as in training" in particles.notes
    particles.keep([3, 1])
    np.testing.assert_array_equal(read(particles)[:, 0], images[[3, 1]])


def test_files_of_one_image_globs_and_folders(images, tmp_path):
    write_images(tmp_path / "a.mrcs", images[:1], 5.5)
    write_images(tmp_path / "b.mrcs", images[1:], 5.5)
    with mrcfile.new(tmp_path / "volume.mrc") as mrc:
        mrc.set_data(images)
    for given in (tmp_path, tmp_path / "?.mrcs"):
        np.testing.assert_array_equal(read(ask(given))[:, 0], images)
    with pytest.raises(DataError, match=r"volume\.mrc: holds a volume, but the network was trained on images"):
        ask(tmp_path / "*.mrc*", voxel_size=5.5)


def test_a_table_keeps_its_rows_and_optics(images, tmp_path):
    (tmp_path / "Extract").mkdir()
    write_images(tmp_path / "Extract" / "m.mrcs", images, 1.0)  # the table knows better
    names = [f"{i:06d}@Extract/m.mrcs" for i in (6, 2, 3)]
    table = pd.DataFrame({"rlnImageName": names, "rlnOpticsGroup": 1, "rlnCoordinateX": [10.0, 20.0, 30.0]})
    optics = optics_block(5.5, 16, 300, 2.7, 0.1, 2)
    (tmp_path / "Select").mkdir()
    write_star(tmp_path / "Select" / "particles.star", {"optics": optics, "particles": table})
    for given in (tmp_path / "Select", tmp_path / "Select" / "particles.star"):
        particles = ask(given)
        np.testing.assert_array_equal(read(particles)[:, 0], images[[5, 1, 2]])
    assert list(particles.rows["rlnCoordinateX"]) == [10, 20, 30]
    write_star(tmp_path / "out.star", {"optics": particles.optics, "particles": particles.rows})
    again = read_star(tmp_path / "out.star")
    assert again["optics"]["rlnVoltage"].item() == 300
    np.testing.assert_array_equal(read(ask(tmp_path / "out.star")), read(particles))


@pytest.mark.parametrize(("pixel", "edge"), [(1.1, 80), (2.75, 32), (5.5, 20), (6.6, 16)])
def test_other_pixels_and_boxes_show_the_same_particle(tmp_path, pixel, edge):
    """Images are recorded on finer pixels than networks see: no factor is too large."""

    def blob(size, step):
        axis = (np.arange(size) - size // 2) * step
        return np.exp(-((axis[:, None] - 9) ** 2 + (axis + 7) ** 2) / (2 * 13.0**2)).astype(np.float32)

    write_images(tmp_path / "fine.mrcs", blob(edge, pixel)[None], pixel)
    particles = ask(tmp_path / "fine.mrcs")
    np.testing.assert_allclose(read(particles)[0, 0], blob(16, 5.5), atol=1e-2)
    assert ("rescaled to 5.5 Å" in particles.notes[0]) == (pixel != 5.5)
    assert ("cropped" in particles.notes[0]) == (edge == 20 or pixel == 6.6)


def test_contrast_and_flipped_phases_are_those_of_the_training(images, tmp_path):
    write_images(tmp_path / "m.mrcs", images, 5.5)
    np.testing.assert_array_equal(read(ask(tmp_path / "m.mrcs", contrast="dark"))[:, 0], -images)
    flip = replace(TRAINED, ctf="flip")
    with pytest.raises(DataError, match=r"a network trained on flipped phases needs rlnDefocusU, .* for every image"):
        ask(tmp_path / "m.mrcs", flip)
    table = pd.DataFrame({"rlnImageName": [f"{i + 1}@m.mrcs" for i in range(6)], "rlnOpticsGroup": 1})
    table = table.assign(rlnDefocusU=2e4, rlnDefocusV=1.9e4, rlnDefocusAngle=90.0)
    write_star(tmp_path / "p.star", {"optics": optics_block(5.5, 16, 300, 2.7, 0.1, 2), "particles": table})
    particles = ask(tmp_path / "p.star", flip)
    lens = np.array([2e4, 1.9e4, np.pi / 2, 3e5, 2.7e7, 0.1, 0])
    np.testing.assert_allclose(read(particles)[2, 0], flipped(images[2].copy(), 5.5, lens), atol=1e-6)
    assert "phases flipped" in particles.notes
    particles.keep([4])
    np.testing.assert_allclose(read(particles)[0, 0], flipped(images[4].copy(), 5.5, lens), atol=1e-6)


def test_a_checkpoint_says_what_was_done_to_the_phases():
    passport = {"shape": [64, 64], "voxel_size": 5.5, "contrast": "bright", "normalise": {"kind": "volume"}}
    assert Training.from_passport(passport).ctf == "none"
    assert Training.from_passport({**passport, "ctf": "flip"}).ctf == "flip"
    assert Training.from_passport(passport).axes == 2


def test_what_cannot_be_an_image_of_the_particle(images, tmp_path):
    write_images(tmp_path / "m.mrcs", images, 5.5)
    with pytest.raises(DataError, match=r"a box of 16 x 16 pixels of 2 Å is far smaller"):
        ask(tmp_path / "m.mrcs", voxel_size=2.0)
    with pytest.raises(DataError, match=r"pixels of 12 Å, but the network was trained on 5\.5 Å, more than"):
        ask(tmp_path / "m.mrcs", voxel_size=12.0)
    with pytest.raises(ConfigError, match=r"tomograms=x: the network was trained on images"):
        ask(tmp_path / "m.mrcs", tomograms="x")
    table = pd.DataFrame({"rlnImageName": ["9@m.mrcs", "m.mrcs"]})
    write_star(tmp_path / "p.star", {"particles": table})
    with pytest.raises(DataError, match=r"holds 6 images\n.*a stack of 6 images without saying which"):
        ask(tmp_path / "p.star")
    write_star(tmp_path / "q.star", {"particles": pd.DataFrame({"rlnCoordinateX": [1.0], "rlnCoordinateY": [1.0]})})
    with pytest.raises(DataError, match=r"q\.star: no table with rlnImageName$"):
        ask(tmp_path / "q.star")
    write_images(tmp_path / "none.mrcs", images, 0.0)
    with pytest.raises(DataError, match=r"the header gives no voxel size"):
        ask(tmp_path / "none.mrcs")


def test_more_stacks_than_are_held_open(images, tmp_path):
    for i in range(70):
        write_images(tmp_path / f"{i:02d}.mrcs", images[i % 6 : i % 6 + 1], 5.5)
    particles = ask(tmp_path)
    assert torch.equal(read(particles)[:, 0], torch.from_numpy(images[np.arange(70) % 6]))
    assert len(particles._stacks) <= 64
