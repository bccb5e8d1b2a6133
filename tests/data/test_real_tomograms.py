"""Boxes cut out of tomograms."""

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryoexp.data.sampler import Draw
from cryoexp.errors import DataError
from cryoexp.io.star import read_star, write_star
from tests.data.boxes import BOX, noise, write


class TestTomograms:
    def places(self, folder, **columns):
        """Three tomograms of noise, with a particle at each of the given x, in one row along the middle."""
        x = columns.pop("x", [6, 10, 14, 18])
        rows = [(f"TS_{t}", v, 10, 8, "ab"[i % 2]) for t in range(3) for i, v in enumerate(x)]
        names = ["rlnTomoName", *(f"rlnCoordinate{a}" for a in "XYZ"), "cryoexpClassName"]
        volumes = [write(folder / "tomos" / f"TS_{t}_10.00Apx.mrc", noise(16, 20, 24, seed=t)) for t in range(3)]
        table = pd.DataFrame(rows, columns=names).assign(**columns)
        write_star(folder / "particles.star", {"particles": table})
        return [mrcfile.read(v) for v in volumes], table

    def boxes(self, data):
        out = {}
        for samples in data.splits.values():
            signal = samples.__getitems__([Draw(-1, i) for i in range(len(samples))])["signal"][:, 0].numpy()
            out |= dict(zip(samples.item.tolist(), signal, strict=True))
        return out

    def test_beyond_the_edge_the_outermost_voxels_are_repeated(self, opened, place):
        volumes, table = self.places(place, x=[0, 10, 14, 23])
        data = opened(place, f"dataset.tomograms={place}/tomos")
        assert "6 padded at their edges" in data.describe()
        for row, box in self.boxes(data).items():
            t, x = int(table["rlnTomoName"][row][-1]), int(table["rlnCoordinateX"][row])
            padded = np.pad(volumes[t], BOX, "edge")
            np.testing.assert_array_equal(box, padded[12:20, 14:22, x + 4 : x + 12])  # index 4 is the coordinate

    def test_centred_coordinates_other_pixels_and_origins_mean_the_same_places(self, opened, place):
        self.places(place)
        where = f"dataset.tomograms={place}/tomos/*.mrc"
        expected = self.boxes(opened(place, where))
        star = place / "particles.star"
        table = read_star(star)["particles"]
        pixels = [f"rlnCoordinate{a}" for a in "XYZ"]
        centred = table.drop(columns=pixels)
        for a, n in zip("XYZ", (24, 20, 16), strict=True):
            centred[f"rlnCenteredCoordinate{a}Angst"] = (table[f"rlnCoordinate{a}"] - n // 2) * 10.0
        unbinned = table.assign(**{c: table[c] * 5 for c in pixels})
        shifted = table.assign(rlnCoordinateX=table["rlnCoordinateX"] + 2)
        shifted = shifted.assign(rlnOriginXAngst=20.0, rlnOriginYAngst=0.0, rlnOriginZAngst=0.0)
        for given, more in ((centred, []), (unbinned, ["dataset.coordinate_pixel=2"]), (shifted, [])):
            write_star(star, {"particles": given})
            found = self.boxes(opened(place, where, *more))
            assert all(np.array_equal(found[i], expected[i]) for i in expected)

    def test_problems_are_listed(self, opened, place):
        self.places(place, x=[6, 10, 14, 99])
        (place / "tomos" / "TS_2_10.00Apx.mrc").unlink()
        with pytest.raises(DataError) as error:
            opened(place, f"dataset.tomograms={place}/tomos")
        text = str(error.value)
        assert "3 problems" in text.splitlines()[0]
        assert "tomogram TS_2 is no file in" in text
        assert "row 4: x, y, z = 99, 10, 8 voxels lies outside TS_0_10.00Apx.mrc of (24, 20, 16)" in text

    def test_one_star_file_a_class(self, opened, place):
        _, table = self.places(place)
        (place / "particles.star").unlink()
        for name, rows in table.groupby("cryoexpClassName"):
            write_star(place / f"ribo_{name}.star", {"": rows.drop(columns="cryoexpClassName")})
        data = opened(place, f"dataset.tomograms={place}/tomos")
        assert data.info.classes == ["ribo_a", "ribo_b"]

    def test_tomograms_star_names_files_and_splits(self, opened, place):
        self.places(place)
        table = pd.DataFrame(
            {
                "rlnTomoName": [f"TS_{t}" for t in range(3)],
                "rlnTomoReconstructedTomogram": [f"tomos/TS_{t}_10.00Apx.mrc" for t in range(3)],
                "cryoexpSplit": ["val", "test", "train"],
            }
        )
        write_star(place / "tomograms.star", {"global": table})
        data = opened(place)
        assert all("TS_0" in f for f in data.splits["val"].files)
        assert all("TS_2" in f for f in data.splits["train"].files)
