"""Training that stops early, has no end, validates seldom, or cannot be tested."""

import csv
import math

import pytest

from cryoexp.errors import ConfigError
from cryoexp.run import run


@pytest.fixture
def go(composed, tmp_path):
    """Run with a learning rate of zero: no score ever rises."""

    def start(*overrides, rate=0.0):
        run(composed("snr=0.5", "scheduler@task.scheduler=none", f"task.optimizer.lr={rate}", *overrides))
        rows = []
        for path in sorted((tmp_path / "run" / "logs").glob("version_*/metrics.csv")):
            with path.open(newline="") as file:
                rows += [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
        return [row for row in rows if "train/loss" in row]

    return start


def test_early_stopping_stops_and_stays_stopped(go, capsys):
    frozen = ("model.dropout=0", "trainer.early_stopping=2", "trainer.max_epochs=40")
    trained = go(*frozen)
    assert len(trained) < 40  # norms still drift for some epochs
    assert f"stopped after epoch {len(trained)}: val/loss was best at" in capsys.readouterr().out
    assert len(go(*frozen, "ckpt_path=last")) == len(trained)  # a resumed run does not go on


def test_training_without_an_end_stops_by_itself(go):
    assert 2 < len(go("trainer.early_stopping=2", "trainer.max_epochs=-1")) < 60
    assert len(go("trainer.max_epochs=-1", "+trainer.max_steps=6", "overwrite=true")) == 3


def test_learning_rate_and_time_are_logged(go):
    rows = go("trainer.max_epochs=2", rate=0.001)
    assert all(math.isclose(row["learning_rate"], 0.001, rel_tol=1e-5) for row in rows)
    assert all(0 < row["time/epoch_s"] < 60 for row in rows)


def test_plateau_beside_rare_validation(composed, monkeypatch):
    from cryoexp.report import report

    courses = []
    monkeypatch.setattr(report, "draw_curves", lambda course, objective, path: courses.append(course))
    often = ("trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4")
    run(composed("snr=0.5", "scheduler@task.scheduler=plateau", "task.scheduler.patience=0", *often))
    assert ["val/loss" in row for row in courses[0]] == [False, True, False, True]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=-1", r"trainer\.max_epochs=-1: the schedule needs to know how long"),
        ("trainer.limit_val_batches=0", r"trainer\.limit_val_batches=0: a run needs batches to choose"),
        ("trainer.limit_test_batches=0", r"trainer\.limit_test_batches=0: a run needs batches to score"),
        ("+trainer.fast_dev_run=true", r"trainer=debug"),
        ("trainer.early_stopping=0", r"trainer\.early_stopping=0: give the number of validations"),
    ],
)
def test_what_cannot_work_is_refused(composed, override, message):
    with pytest.raises(ConfigError, match=message):
        run(composed(override))


@pytest.mark.parametrize("key", ["weight_decay", "learning_rate_scale"])
@pytest.mark.parametrize("pattern", ["fc9.*", "ResNet3d:fc9.*"])
def test_a_pattern_that_fits_nothing_is_refused(composed, key, pattern):
    cfg = composed()
    cfg.task[key] = {pattern: 0.5}
    with pytest.raises(ConfigError, match=rf"task\.{key}: fc9\.\* fits no parameter of ResNet3d, which has "):
        run(cfg)


def test_patterns_of_other_networks_are_left_out(composed):
    cfg = composed()
    assert "CNN3d:fc[12].weight" in cfg.task.learning_rate_scale
    run(cfg)
