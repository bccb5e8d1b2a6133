import pytest

from cryoexp.config.folders import claim, discard, fresh_folder, is_used
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
    assert not is_used(folder)


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
