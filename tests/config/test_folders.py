import os

import pytest

from cryoexp.config.folders import claim, clear, discard, fresh_folder, is_used, slurm_folder
from cryoexp.errors import ConfigError


def used(folder):
    (folder / "checkpoints").mkdir(parents=True)
    return folder


def test_two_runs_in_one_second_get_two_folders(tmp_path):
    names = [fresh_folder(str(tmp_path / "run")) for _ in range(3)]
    assert names == [str(tmp_path / n) for n in ("run", "run-1", "run-2")]


def test_a_used_folder_is_refused(tmp_path):
    folder = used(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"ckpt_path=last.*overwrite=true"):
        claim(folder, None, overwrite=False)
    claim(folder, "last", overwrite=False)
    assert is_used(folder)
    claim(folder, None, overwrite=True)
    assert is_used(folder)  # nothing is removed until the new run can start


def test_clearing_removes_what_a_run_wrote_and_nothing_else(tmp_path):
    folder = used(tmp_path / "run")
    (folder / "metrics.json").touch()
    (folder / "notes.txt").touch()
    clear(folder)
    assert [f.name for f in folder.iterdir()] == ["notes.txt"]


def test_a_refused_run_leaves_no_folder(tmp_path):
    folder = tmp_path / "outputs" / "classify" / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "train.log").touch()
    discard(folder)
    assert not (tmp_path / "outputs").exists()
    assert tmp_path.exists()


def test_but_the_folder_of_another_run_stays(tmp_path):
    folder = used(tmp_path / "run")
    discard(folder)
    assert folder.exists()


def test_and_so_does_what_the_user_keeps_there(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").touch()
    discard(folder)
    assert (folder / "notes.txt").exists()


def test_all_ranks_of_a_launch_get_one_folder(tmp_path, monkeypatch):
    name = str(tmp_path / "classify" / "now")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    assert fresh_folder(name) == fresh_folder(name) == str(tmp_path / "classify" / "torchrun-abc")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert fresh_folder(name).endswith(f"torchrun-{os.getppid()}")


def test_a_slurm_job_has_one_folder_also_after_a_requeue(tmp_path, monkeypatch):
    name = str(tmp_path / "classify" / "now")
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.setenv("SLURM_STEP_ID", "3")
    assert slurm_folder(name) == slurm_folder(name) == str(tmp_path / "classify" / "slurm-812.3")
    monkeypatch.delenv("SLURM_JOB_ID")
    assert slurm_folder(name) == name
    assert slurm_folder(name) == f"{name}-1"
