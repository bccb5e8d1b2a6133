"""Train, val and test of real data."""

import pandas as pd
import pytest

from cryoexp.errors import DataError
from cryoexp.io.star import read_star, write_star
from tests.data.boxes import BOX, fill, lay_out, noise, write


class TestSplits:
    def test_given_folders_are_kept(self, opened, place):
        for i, part in enumerate(("train", "val", "test")):
            fill(place / part, count=i + 2)
        data = opened(place)
        assert data.info.counts == {"train": 4, "val": 6, "test": 8}
        assert all("/val/" in f for f in data.splits["val"].files)

    def test_a_missing_one_comes_out_of_train(self, opened, place):
        for part in ("train", "valid"):
            fill(place / part, count=10)
        data = opened(place)
        assert data.info.counts == {"train": 16, "val": 20, "test": 4}
        assert all("/train/" in f for f in data.splits["test"].files)
        assert "test taken out of train at random" in data.describe()

    def test_by_class_with_the_seed(self, opened, place):
        fill(place, count=20)
        one, same, other = (opened(place, f"dataset.seed={s}").splits["test"].files for s in (0, 0, 1))
        assert one == same != other
        assert sum("/a/" in f for f in one) == sum("/b/" in f for f in one) == 4

    @pytest.mark.parametrize("seed", [0, 1])
    def test_tomograms_stay_whole(self, opened, place, seed):
        write(place / "stack.mrcs", noise(60, BOX, BOX, BOX))
        table = pd.DataFrame({"rlnImageName": [f"{i + 1}@stack.mrcs" for i in range(60)]})
        table["rlnTomoName"] = [f"TS_{i % 10}" for i in range(60)]
        table["rlnClassNumber"] = [1 + i // 10 % 3 for i in range(60)]
        write_star(place / "particles.star", {"particles": table})
        data = opened(place, f"dataset.seed={seed}")
        assert data.info.classes == ["class1", "class2", "class3"]
        assert data.info.counts == {"train": 42, "val": 6, "test": 12}  # ten equal tomograms share out exactly
        assert (data.table.groupby("rlnTomoName")["cryoexpSplit"].nunique() == 1).all()
        assert "split by tomogram (10)" in data.describe()

    def test_one_tomogram_is_split_at_random_and_says_so(self, opened, place):
        lay_out("star", place, noise(20, BOX, BOX, BOX), ["a", "b"] * 10)
        table = read_star(place / "particles.star")["particles"].assign(rlnTomoName="TS_1")
        write_star(place / "particles.star", {"particles": table})
        assert "across 1 tomogram: crops that overlap may lie in different splits" in opened(place).describe()

    def test_too_few_of_a_class(self, opened, place):
        fill(place, count=2)
        with pytest.raises(DataError, match="a: 2 subtomograms; three splits need 3"):
            opened(place)
