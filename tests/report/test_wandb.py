"""Offline wandb runs, read back from the file that `wandb sync` would upload."""

import json
import struct

import matplotlib.image
import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from cryoexp.errors import ConfigError
from cryoexp.report import wandb_run
from cryoexp.run import run

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield
    close()


def close():
    """End the run, and wandb's own process with it: only then is all of it on disk."""
    wandb.finish()
    wandb.teardown()


def records(path):
    """Records of a .wandb file: LevelDB's log format, 32 KiB blocks of (checksum, length, kind, protobuf)."""
    from wandb.proto import wandb_internal_pb2

    data, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        position += 7 + length
        whole += data[position - length : position]
        if kind in (1, 4):  # the whole, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def read(folder):
    """Config, rows of the history, summary and all records of the last offline run in a run folder."""
    path = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))[-1]
    found = list(records(path))
    config, history, summary = {}, [], {}
    for record in found:
        for item in record.config.update if record.HasField("config") else []:
            config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        if record.HasField("history"):
            history.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item})
        for item in record.summary.update if record.HasField("summary") else []:
            summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return config, history, summary, found


def field(found, name):
    return [getattr(record, name) for record in found if record.HasField(name)]


def test_a_run_read_back(composed, tmp_path, capfd):
    run(composed("snr=0.5", "logger=wandb", "logger.log_model=true", "trainer.max_epochs=3"))
    close()
    folder = tmp_path / "run"
    out = capfd.readouterr()
    assert out.out.strip().splitlines()[-1] == str(folder)
    assert f"wandb   offline; upload with: wandb sync {folder}/wandb/offline-run-" in out.out
    assert "wandb:" not in out.out + out.err  # it says nothing of its own

    config, history, summary, found = read(folder)
    assert config["dataset"]["per_class"] == 10
    assert config["snr"] == 0.5
    assert config["data"]["classes"] == ["dimer80", "ring240", "ribo2500"]
    assert "git_commit" in config
    assert config["command"]

    scores = json.loads((folder / "metrics.json").read_text())
    epochs = [row for row in history if "train/loss" in row]
    assert [row["_step"] for row in epochs] == [1, 3, 5]  # two steps an epoch
    assert all({"val/loss", "val/accuracy", "learning_rate", "time/epoch_s", "epoch"} <= row.keys() for row in epochs)
    assert history[-1]["test/accuracy"] == scores["test/accuracy"]
    assert history[-1]["time/fit_s"] == scores["time/fit_s"]
    assert not any("val/loss" in row for row in history[3:])  # the chosen checkpoint's are no part of the curve
    losses = [row["val/loss"] for row in epochs]
    assert summary["val/loss"]["min"] == min(losses)
    assert summary["val/loss"]["max"] == max(losses)
    assert summary["val/loss"]["last"] == losses[-1]
    assert summary["best/loss"] == scores["val/loss"] == min(losses)

    (start,) = field(found, "run")
    assert (start.project, start.job_type, start.run_group) == ("cryoexp", "classify", "")
    assert start.display_name.startswith("dataset.structures=[dimer80,ring240,ribo2500],dataset.per_class=10")
    assert {"run_table", "model"} == {artifact.type for artifact in field(found, "artifact")}


def test_pictures_are_not_black(composed, tmp_path):
    run(composed("snr=0.5", "logger=wandb"))
    close()
    (media,) = (tmp_path / "run" / "wandb").glob("offline-run-*/files/media")
    examples = list((media / "images").glob("examples_*.png"))
    assert len(examples) == 3
    for path in examples:
        image = matplotlib.image.imread(path)
        assert image.shape[0] == image.shape[1] == 128
        assert image.max() == 1
        assert 0.2 < image.mean() < 0.8
    drawn = {p.stem for p in (tmp_path / "run" / "figures").glob("*.png")}
    sent = {p.name.split("_")[0] for p in (media / "images" / "figures").glob("*.png")}
    assert sent == {name.split("_")[0] for name in drawn} >= {"confusion", "curves", "examples", "reliability"}
    clouds = list((media / "object3D" / "surface").glob("*.pts.json"))
    assert len(clouds) == 3
    assert len(json.loads(clouds[0].read_text())) > 100


def test_a_resumed_run_is_the_same_one(composed, tmp_path):
    common = ("snr=0.5", "logger=wandb", "scheduler@task.scheduler=none")
    run(composed(*common, "trainer.max_epochs=1"))
    close()
    run(composed(*common, "trainer.max_epochs=2", "ckpt_path=last"))
    close()
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    ids = {record.run.run_id for path in files for record in records(path) if record.HasField("run")}
    assert len(files) == 2 or len(ids) == 1  # a second may be too short to tell two folders apart
    assert len(ids) == 1
    assert [row["_step"] for row in read(tmp_path / "run")[1] if "train/loss" in row] == [3]


@pytest.mark.parametrize("failed", [True, False])
def test_a_failed_run_says_so(composed, tmp_path, failed):
    from cryoexp.report.wandb_run import open_run

    composed()
    open_run(tmp_path, "auto", project="p").finish(exit_code=int(failed))
    close()
    (end,) = field(read(tmp_path)[3], "exit")
    assert end.exit_code == int(failed)


def test_sweeps_are_groups(composed, monkeypatch):
    composed("snr=0.5")
    assert wandb_run.run_group() is None
    sweep = OmegaConf.create({"mode": RunMode.MULTIRUN, "sweep": {"dir": "outputs/sweeps/2030-01-01"}})
    monkeypatch.setattr(wandb_run.HydraConfig, "get", lambda: sweep)
    assert wandb_run.run_group() == "2030-01-01"


def test_names_are_what_the_command_line_changes(composed, tmp_path):
    composed("+trainer.limit_predict_batches=1", "logger=csv", "task=classify", tiny=False)
    assert wandb_run.run_name(tmp_path / "here") == "+trainer.limit_predict_batches=1"
    composed("logger=csv", tiny=False)
    assert wandb_run.run_name(tmp_path / "here") == "here"


def test_online_only_with_an_account(monkeypatch, tmp_path):
    assert wandb_run.choose_mode("auto") == "offline"
    for mode in ("online", "no_such"):
        with pytest.raises(ConfigError, match=r"wandb login|auto, online, offline"):
            wandb_run.choose_mode(mode)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text("machine api.wandb.ai login user password " + "a" * 40)
    (tmp_path / "home" / ".netrc").chmod(0o600)
    assert wandb_run.choose_mode("auto") == wandb_run.choose_mode("online") == "online"
    assert wandb_run.choose_mode("offline") == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_run.choose_mode("auto") == "disabled"


def test_a_silent_server_does_not_cost_the_run(composed, monkeypatch, tmp_path, capsys):
    composed()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(wandb_run, "PATIENCE", 1)
    run = wandb_run.open_run(tmp_path, "auto", project="p")
    assert run.offline
    assert "offline; upload with" in capsys.readouterr().out
    run.finish()
    with pytest.raises(ConfigError, match=r"logger\.mode=offline works without a server"):
        wandb_run.open_run(tmp_path, "online", project="p")
