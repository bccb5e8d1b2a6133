"""Mean and spread over seeds."""

import pandas as pd
import pytest

from cryoexp.errors import ConfigError
from cryoexp.report.collect import collect
from cryoexp.report.groups import group, markdown, shown
from tests.report.test_results import a_run

TABLE = pd.DataFrame(
    {
        "snr": [float("inf"), 0.1, 0.1, 0.05, 0.05],
        "seed": [0, 0, 1, 0, 1],
        "test/accuracy": [0.9, 0.5, 0.7, 0.4, None],
        "test/accuracy_low": [0.8, 0.4, 0.6, 0.3, None],
        "test/accuracy_high": [1.0, 0.6, 0.8, 0.5, None],
    }
)


def test_runs_that_agree_are_one_row():
    groups = group(TABLE, ["snr"], "test/accuracy")
    assert groups["snr"].tolist() == [0.05, 0.1, float("inf")]
    assert groups["mean"].tolist() == pytest.approx([0.4, 0.6, 0.9])
    assert groups["n"].tolist() == [1, 2, 1]
    assert groups["sd"][1] == pytest.approx(0.1 * 2**0.5)
    assert groups["sd"].isna().tolist() == [True, False, True]
    assert groups["low"].tolist() == pytest.approx([0.3, 0.5, 0.8])
    assert shown(groups)[1] == ["0.1", "0.600", "0.141", "2", "0.500", "0.700"]


def test_names_keep_their_order():
    table = pd.DataFrame({"crowding": ["none", "spheres", "contact", "none"], "score": [1.0, 2, 3, 3]})
    groups = group(table, ["crowding"], "score")
    assert groups["crowding"].tolist() == ["none", "spheres", "contact"]
    assert groups["mean"].tolist() == [2, 2, 3]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"^model: no such column\. There are snr, seed, "):
        group(TABLE, ["model"], "test/accuracy")


def test_markdown():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |\n"


def test_a_key_that_all_runs_agree_in_gets_a_column_on_request(tmp_path):
    a_run(tmp_path / "0", ["snr=1"], {"test/accuracy": 1}, config={"dataset": {"jitter": 2.0}})
    assert "dataset.jitter" not in collect([tmp_path])[0]
    assert collect([tmp_path], ["dataset.jitter"])[0]["dataset.jitter"].tolist() == [2.0]
