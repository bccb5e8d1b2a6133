"""Volumes and stacks that a STAR file names."""

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryoexp.data.real_star import open_star
from cryoexp.errors import DataError
from cryoexp.io.star import read_star, write_star
from tests.data.boxes import BOX, lay_out, noise, write


class TestStar:
    def test_single_volumes_from_the_project_folder(self, opened, place):
        """RELION's paths start at the project, above the STAR file."""
        names = [f"Extract/job1/{i}.mrc" for i in range(8)]
        for i, name in enumerate(names):
            write(place / name, noise(BOX, BOX, BOX, seed=i))
        table = pd.DataFrame({"rlnImageName": names, "rlnClassNumber": [3, 7] * 4, "rlnAngleRot": 12.0})
        star = place / "Extract" / "particles.star"
        write_star(star, {"particles": table})
        data = opened(star)
        assert data.info.classes == ["class3", "class7"]
        assert data.particles(np.array([0]))["rlnAngleRot"].item() == 12

    def test_missing_files_numbers_and_images(self, opened, place):
        lay_out("star", place, noise(6, BOX, BOX, BOX), ["a", "b"] * 3)
        with mrcfile.new(place / "images.mrcs") as mrc:
            mrc.set_data(noise(4, BOX, BOX))
            mrc.set_image_stack()
        table = read_star(place / "particles.star")["particles"]
        more = pd.DataFrame(
            {"rlnImageName": ["7@stack.mrcs", "gone.mrc", "1@images.mrcs"], "cryoexpClassName": ["a", "b", "b"]}
        )
        write_star(place / "particles.star", {"particles": pd.concat([table, more])})
        with pytest.raises(DataError) as error:
            opened(place)
        text = str(error.value)
        assert "3 problems" in text
        assert "row 7: 7@" in text
        assert "which holds 6 volumes" in text
        assert "gone.mrc: no such file" in text
        assert "images.mrcs: holds images (4, 8, 8)" in text

    def test_the_header_against_the_optics_table(self, opened, place):
        lay_out("star", place, noise(12, BOX, BOX, BOX), ["a", "b"] * 6)
        table = read_star(place / "particles.star")["particles"].assign(rlnOpticsGroup=1)
        optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [8.0]})
        write_star(place / "particles.star", {"optics": optics, "particles": table})
        with pytest.raises(DataError, match="the STAR file says 8 Å, the headers 10 Å"):
            opened(place)
        write(place / "stack.mrcs", noise(12, BOX, BOX, BOX), 0)
        assert opened(place).info.voxel_size == 8

    def test_real_annotations(self, real_data):
        star = open_star(real_data / "annotations" / "atpase.star")
        assert {"rlnCoordinateX", "rlnTomoName"} <= set(star.particles)
