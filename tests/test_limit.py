"""What a limit is asked for with: settings, overrides, sweeps."""

import pytest

from cryoexp.errors import ConfigError
from cryoexp.limit import Settings, jobs, limit_of, read_settings
from tests.conftest import TINY


def test_settings_are_told_from_overrides():
    assert read_settings(["items=5", "snr=0.1", "step=1.5"]) == (Settings(5, 1000, 1.5), ["snr=0.1"])
    for wrong in ("items=0", "items=few", "step=-1"):
        with pytest.raises(ConfigError, match=f"^{wrong}: must be a positive"):
            read_settings([wrong])


def test_a_sweep_gives_the_jobs_that_training_would_have():
    found = list(jobs(["sweep=difficulty", "experiment=classify_difficulty", "dataset.jitter=5"]))
    assert len(found) == 9  # the command line goes before the file
    assert found[0] == [
        "sweep=difficulty", "experiment=classify_difficulty", "dataset.jitter=5", "snr=inf", "dataset.crowding=none",
    ]  # fmt: skip
    assert list(jobs(["snr=0.1,inf"])) == [["snr=0.1"], ["snr=inf"]]
    assert list(jobs(["snr=0.1"])) == [["snr=0.1"]]


def test_what_has_no_limit_is_refused(cache):
    settings = Settings(2, 2, 2.0)
    with pytest.raises(ConfigError, match=r"dataset\.jiter"):
        limit_of(["dataset.jiter=2"], settings)
    with pytest.raises(ConfigError, match="nowhere"):
        list(jobs(["sweep=nowhere"]))


def test_the_bank_is_used_again(cache):
    given = [*TINY, f"paths.data_dir={cache}", "dataset.neighbours=0"]
    limit, bank, _, _ = limit_of(given, Settings(3, 10, 2.0))
    assert len(limit.labels) == 3
    assert limit_of([*given, "snr=0.5"], Settings(3, 10, 2.0), bank)[1] is bank
    assert limit_of([*given, "snr=0.5"], Settings(3, 8, 2.0), bank)[1] is not bank
