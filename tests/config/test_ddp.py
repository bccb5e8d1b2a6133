import sys

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import read_write

from cryoexp.config import ddp
from cryoexp.config.ddp import environment, error_in, job_command, needs_own_processes
from cryoexp.config.resume import resume_command

MANY = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


@pytest.fixture
def in_sweep(composed):
    def make(*overrides):
        cfg = composed(*overrides, "hydra.mode=MULTIRUN", "hydra.sweep.dir=/tmp/sweep", tiny=False)
        with read_write(HydraConfig.instance().cfg.hydra):
            HydraConfig.instance().cfg.hydra.overrides.task = list(overrides)
        return cfg

    return make


def test_a_job_of_a_sweep_on_several_devices_gets_its_own_processes(in_sweep, composed):
    assert needs_own_processes(in_sweep(*MANY))
    assert needs_own_processes(in_sweep("trainer.devices=[0,1]"))
    assert not needs_own_processes(in_sweep("trainer=cpu"))
    assert not needs_own_processes(composed(*MANY, tiny=False))  # a single run: Lightning repeats its command


@pytest.mark.parametrize(("name", "value"), [("SLURM_NTASKS", "2"), ("TORCHELASTIC_RUN_ID", "none")])
def test_but_not_where_the_ranks_are_started_by_others(in_sweep, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert not needs_own_processes(in_sweep(*MANY))


def test_its_command_runs_this_job_alone(in_sweep, tmp_path):
    in_sweep(*MANY, "snr=0.3")
    command = job_command(tmp_path)
    assert command[:3] == [sys.executable, "-m", "cryoexp"]
    assert command[-6:] == [*MANY, "snr=0.3", "hydra.mode=RUN", f"hydra.run.dir='{tmp_path}'"]
    assert environment()["PYTHONPATH"].split(":")[0] == str(ddp.Path(ddp.__file__).parents[2])


def test_the_error_is_told_without_what_surrounds_it():
    refused = ["Error executing job with overrides: ['snr=x']", "", "cryoexp: snr must be a number", "", "Set the"
               " environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."]  # fmt: skip
    assert error_in(refused) == "snr must be a number"
    assert error_in(["Traceback (most recent call last):", "RuntimeError: boom", ""]) == "RuntimeError: boom"
    assert error_in([]) == ""


def test_the_command_that_resumes(composed, in_sweep, tmp_path):
    composed("trainer=cpu")
    argv = ["train.py", "snr=0.3", "overwrite=true", "hydra.run.dir=old", "ckpt_path=last", "model.widths=[4,8]"]
    words = resume_command(tmp_path / "a b", argv)
    assert words.endswith(
        f"train.py snr=0.3 'model.widths=[4,8]' ckpt_path=last 'hydra.run.dir='\"'\"'{tmp_path}/a b'\"'\"''"
    )
    assert resume_command(tmp_path, ["/x/cryoexp/__main__.py"]).split()[1:3] == ["-m", "cryoexp"]
    in_sweep("snr=0.3")
    words = resume_command(tmp_path / "0", ["train.py", "-m", "snr=0.3,0.5"])
    assert words.endswith("train.py -m snr=0.3,0.5 ckpt_path=last hydra.sweep.dir=/tmp/sweep")
