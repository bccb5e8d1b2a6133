"""The benchmark of surfaces: its table of accuracy, its watch on the steps and its scene."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryoexp.tasks.segment.components import find_components

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "surface.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("bench_surface", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_accuracy_is_written_as_a_table(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "RULES", {"default": script.Rule(), "deep_sxt's": script.ORIGINAL})
    script.main(["--analytic", "seeds=1", "radius=6", f"output={tmp_path / 'a.csv'}"])
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == 6 + 5  # the original knows no instances
    ours = table[table["rule"] == "default"]
    assert ours["distance"].max() < 0.2 < table[table["rule"] != "default"]["distance"].min()
    assert "touching pair, instances" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="seed"):
        script.main(["--analytic", "seed=1"])


def test_the_largest_error_keeps_its_sign(script):
    found = pd.DataFrame({"area": [0.5, -2.0, 1.0], "euler": [2, 0, 2]})
    assert script.worst(found) == {"area": -2.0, "euler": "0, 2"}


def test_a_step_counts_without_the_steps_in_it(script, monkeypatch):
    monkeypatch.setattr(script, "peak", lambda: 1.5)
    spent, running = {}, []
    inner = script.timed("inner", lambda: time.sleep(0.05), spent, running)
    script.timed("outer", lambda: [time.sleep(0.02), inner()], spent, running)()
    assert spent["inner"][0] >= 0.05
    assert 0.02 <= spent["outer"][0] < spent["inner"][0]
    assert spent["outer"][2] == 1.5


def test_the_scene_has_cells_and_blobs(script):
    mask = script.scene([60, 200, 200], np.random.default_rng(0))
    voxels = find_components(mask, 1, 1.0, 30).table["voxels"]
    assert len(voxels) > 50
    assert voxels.iloc[0] > 10 * voxels.median()
