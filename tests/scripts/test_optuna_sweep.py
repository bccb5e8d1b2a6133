"""The search without training; with Optuna itself where it is installed."""

import importlib.util
import json

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cryoexp.config.ddp import JobFailed
from cryoexp.errors import ConfigError
from tests.test_cli import ROOT

LR = "task.optimizer.lr=tag(log,interval(1e-4,1e-2))"
SPACE = ["seed=5", "model=cnn3d,resnet3d", LR, "model.depth=int(interval(1,3))"]


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("optuna_sweep", ROOT / "scripts" / "optuna_sweep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trial:
    def suggest_categorical(self, name, options):
        return options[-1]

    def suggest_int(self, name, low, high, log):
        return high

    def suggest_float(self, name, low, high, log):
        assert log
        return low


def test_values_are_suggested_in_hydras_grammar(script):
    overrides = OverridesParser.create().parse_overrides(SPACE)
    assert [o.is_sweep_override() for o in overrides] == [False, True, True, True]
    suggested = [script.suggest(Trial(), o) for o in overrides[1:]]
    assert suggested == ["model=resnet3d", "task.optimizer.lr=0.0001", "model.depth=3"]


def test_a_search_with_optuna_fills_the_table(script, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    commands = []

    def train(command, folder):
        commands.append(command)
        if len(commands) == 2:
            raise JobFailed("boom")
        (folder / "metrics.json").write_text(json.dumps({"test/accuracy": 0.5}))
        return 0.5

    monkeypatch.setattr(script, "run_command", train)
    assert script.main(["trials=4", f"output={tmp_path / 'sweep'}", *SPACE]) == 1
    table = pd.read_csv(tmp_path / "sweep" / "results.csv")
    assert table["status"].tolist() == ["done", "failed", "done", "done"]
    assert table["error"][1] == "boom"
    assert all("seed=5" in command for command in commands)


def test_what_cannot_be_searched_is_refused(script, tmp_path):
    with pytest.raises(ConfigError, match="usage"):
        script.main(["model=cnn3d,resnet3d"])
    with pytest.raises(ConfigError, match="nothing to search"):
        script.main(["trials=3", f"output={tmp_path / 'new'}", "model=cnn3d"])
    (tmp_path / "old").touch()
    with pytest.raises(ConfigError, match="exists and is not empty"):
        script.main(["trials=3", f"output={tmp_path}", "model=cnn3d,resnet3d"])
