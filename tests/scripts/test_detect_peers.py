"""The comparison of detect with others: its command line and its table."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from cryoexp.errors import ConfigError
from cryoexp.tasks.detect.peers.tuning import Peer, Row

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "detect_peers.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("detect_peers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["detect_peers"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def a_row(**scores):
    keys = ("f1", "precision", "recall", "f4", "average_precision", "center_error_vox", "merged_rate", "f1_ball")
    test = dict.fromkeys(keys, 0.5) | {"seconds": 12.0} | scores
    return Row(
        Peer("a method", "nothing", None, None, before=3.0), "σ 1", 0.25, {"val": test | {"f1": 0.75}, "test": test}
    )


def test_numbers_are_numbers_and_methods_keep_their_order(script):
    given = script.read_settings(["run=here", "step=30", "threads=2", "methods=templates,run", "minutes=0.5"])
    assert (given.step, given.threads, given.minutes) == (30.0, 2, 0.5)
    assert given.methods == ("templates", "run")
    assert given.deepfinder is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run= is missing"),
        (["run=x", "steps=1.5"], "steps=1.5: must be a positive whole number"),
        (["run=x", "step=nan"], "step=nan: must be a positive number"),
        (["run=x", "methods=run,magic"], "methods=run,magic: choose some of run, original"),
        (["run=x", "speed=3"], "speed=3: choose among run="),
        (["run=/nowhere"], "run=/nowhere: no such folder"),
    ],
)
def test_wrong_commands_are_refused(script, arguments, message):
    with pytest.raises(ConfigError, match=message):
        script.main(arguments)


def test_the_table_and_the_file_hold_all_methods(script, tmp_path):
    rows = [a_row(), a_row(f1_ball=float("nan"))]
    task = SimpleNamespace(info=SimpleNamespace(classes=["background", "ball"]), match=0.5)
    console = Console(width=script.WIDTH)
    with console.capture() as capture:
        console.print(script.table(rows, task))
    first, second = (line for line in capture.get().splitlines() if "a method" in line)
    assert "0.750" in first
    assert "0.50 vox" in first
    assert "–" in second
    assert script.explain(rows[0]) == "a method knows nothing; it runs with: σ 1, score 0.250"
    script.write(rows, tmp_path / "peers.csv")
    written = pd.read_csv(tmp_path / "peers.csv")
    assert written["split"].tolist() == ["val", "test"] * 2
    assert written["seconds_before"].eq(3).all()
