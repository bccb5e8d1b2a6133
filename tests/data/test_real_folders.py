"""The layout of the paper's public dataset."""

import json
import shutil

import numpy as np
import pytest

from cryoexp.data.real_files import natural
from cryoexp.data.sampler import Draw
from cryoexp.errors import DataError
from tests.data.boxes import BOX, lay_out, noise, write


class TestPaper:
    def test_short_crops_are_padded_and_counted(self, opened, place):
        boxes = noise(20, BOX, BOX, BOX)
        lay_out("paper", place, boxes, ["1bxn", "6t3e"] * 10)
        short = place / "SNR003" / "1bxn" / "subtomogram_mrc" / "tomotarget0.mrc"
        write(short, boxes[0][:, :-2])
        data = opened(place)
        assert "1 padded at their edges" in data.describe()
        row = data.table.index[data.table["file"] == str(short)][0]
        name = data.table.loc[row, "cryoexpSplit"]
        place = data.splits[name].item.tolist().index(row)
        box = data.splits[name].__getitems__([Draw(-1, place)])["signal"][0, 0].numpy()
        np.testing.assert_array_equal(box[:, 1:7], boxes[0][:, :-2])
        np.testing.assert_array_equal(box[:, 0], boxes[0][:, 0])
        np.testing.assert_array_equal(box[:, 7], boxes[0][:, 5])

    def test_labels_that_contradict_and_stumps_are_listed(self, opened, place):
        lay_out("paper", place, noise(20, BOX, BOX, BOX), ["1bxn", "6t3e"] * 10)
        folder = place / "SNR003" / "1bxn"
        (folder / "json_label" / "target0.json").write_text('{"name": "6t3e"}')
        (folder / "json_label" / "target2.json").write_text("{")
        write(folder / "subtomogram_mrc" / "tomotarget4.mrc", noise(BOX, 3, BOX))
        with pytest.raises(DataError, match=r"3 problems(.|\n)*names the class 6t3e") as error:
            opened(place)
        assert "not a JSON label" in str(error.value)
        assert "8x3x8" in str(error.value)

    def test_one_snr_at_a_time(self, opened, place):
        lay_out("paper", place, noise(8, BOX, BOX, BOX), ["1bxn", "6t3e"] * 4)
        shutil.copytree(place / "SNR003", place / "SNR005")
        with pytest.raises(DataError, match=r"holds SNR003, SNR005. Give one of them: dataset.path=.*/SNR003"):
            opened(place)
        assert sum(opened(place / "SNR005").info.counts.values()) == 8

    def test_the_split_of_the_labels(self, opened, place):
        lay_out("paper", place, noise(12, BOX, BOX, BOX), ["1bxn", "6t3e"] * 6)
        for label in (place / "SNR003").glob("*/json_label/*.json"):
            part = "val" if int(label.stem[6:]) < 4 else "test" if int(label.stem[6:]) < 8 else "train"
            label.write_text(json.dumps({"name": label.parent.parent.name, "split": part}))
        data = opened(place)
        assert data.info.counts == {"train": 4, "val": 4, "test": 4}
        assert {natural(f)[-5][0] for f in data.splits["val"].files} <= {0, 1, 2, 3}
