"""Two processes on the CPU (gloo), started in every way there is: by Lightning, in a sweep, by torchrun, by SLURM."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from cryoexp.assemble import make_data, make_task
from cryoexp.data.sampler import EpochSampler
from tests.conftest import TINY
from tests.test_cli import FREE, ROOT, call

SMALL = [*(o for o in TINY if o != "trainer=debug"), "trainer.max_epochs=1", "trainer.precision=32-true"]
TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


@pytest.mark.parametrize("size", [1, 3, 6])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_item_is_scored_on_one_rank(composed, monkeypatch, size, world):
    """Losses as well: each rank keeps the items dealt to it, and not those that fill up its last batch."""
    cfg = composed()
    data = make_data(cfg)
    task = make_task(cfg, data)
    batch = data.finish(next(iter(data.test_dataloader())))
    batch = {name: value[:size] for name, value in batch.items()}
    task.eval()
    kept, losses = [], []
    for rank in range(world):
        splits = {"test": range(size)}
        task._trainer = SimpleNamespace(datamodule=SimpleNamespace(splits=splits), world_size=world, global_rank=rank)
        rows = [d.row for d in EpochSampler(size, shuffle=False, seed=0, rank=rank, world_size=world)]
        for start in range(0, len(rows), 2):
            taken = torch.tensor(rows[start : start + 2])
            task._keep("test", {name: value[taken] for name, value in batch.items()})
        gathered = task.test_results
        kept += torch.cat(gathered.index).tolist()
        losses += torch.cat(gathered.loss).tolist()
        gathered.reset()
    assert sorted(kept) == sorted(batch["index"].tolist())
    with torch.no_grad():
        mean = float(task.loss(task(batch["volume"]), batch))
    assert sum(losses) / len(losses) == pytest.approx(mean, rel=1e-5)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_processes(tmp_path, cache):
    folder = tmp_path / "run"
    given = [*SMALL, f"paths.data_dir={cache}", f"hydra.run.dir={folder}"]
    assert call(*given, "trainer=cpu", cwd=tmp_path).returncode == 0
    one = json.loads((folder / "metrics.json").read_text())
    done = call(*given, *TWO, "ckpt_path=last", cwd=tmp_path)  # the training is over: validates and tests alone
    assert done.returncode == 0, done.stderr
    two = json.loads((folder / "metrics.json").read_text())
    scores = [name for name in one if not name.startswith("time/")]
    assert {n: two[n] for n in scores} == pytest.approx({n: one[n] for n in scores}, rel=1e-5)
    assert "2 x cpu" in json.loads((folder / "manifest.json").read_text())["device"]
    assert len(pd.read_csv(folder / "predictions" / "predictions.csv")) == 6
    assert [line for line in done.stdout.splitlines() if line == str(folder)] == [str(folder)]  # rank 0 alone


@pytest.mark.slow
def test_a_sweep_trains_each_job_once(tmp_path, cache):
    data = tmp_path / "data"  # a cache of its own: the data are simulated once for both jobs and all ranks
    done = call("-m", *SMALL, *TWO, "snr=0.03,0.05", f"paths.data_dir={data}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in (tmp_path / "outputs").iterdir()] == ["sweeps"]
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert done.stdout.strip().splitlines()[-1] == str(sweep / "results.csv")
    table = pd.read_csv(sweep / "results.csv")
    assert table["status"].tolist() == ["done", "done"]
    assert table["snr"].tolist() == [0.03, 0.05]
    assert done.stdout.count("epoch 1/1") == 2
    assert done.stdout.count("2 x cpu") == 2
    assert done.stdout.count("simulating subtomograms: 30 items …") == 1
    weights = [torch.load(sweep / n / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for n in "01"]
    assert not all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    seen = [json.loads((sweep / n / "manifest.json").read_text())["snr_requested"] for n in "01"]
    assert seen == [0.03, 0.05]


def launched(arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**FREE, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_torchrun_ranks_share_one_folder(tmp_path, cache):
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(ROOT / "train.py")]
    out, _ = launched([*run, *SMALL, *TWO, f"paths.data_dir={cache}"], tmp_path).communicate()
    (folder,) = (tmp_path / "outputs" / "classify").iterdir()
    assert folder.name.startswith("torchrun-"), out
    assert (folder / "metrics.json").is_file()
    assert [line for line in out.splitlines() if line.endswith(str(folder))]


def srun(tmp_path, cache, port, *more):
    """Start two tasks as SLURM's srun would."""
    job = {
        "SLURM_JOB_ID": "812", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1",
        "SLURM_JOB_NODELIST": "127.0.0.1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    given = [*SMALL, "trainer=slurm", "trainer.devices=2", "trainer.accelerator=cpu", f"paths.data_dir={cache}", *more]
    ranks = [{"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)} for n in range(2)]
    return [launched([str(ROOT / "train.py"), *given], tmp_path, **job, **rank) for rank in ranks]


@pytest.mark.slow
def test_a_requeued_slurm_job_goes_on_in_its_folder(tmp_path, cache):
    folder = tmp_path / "outputs" / "classify" / "slurm-812.0"
    port = 20000 + os.getpid() % 20000
    tasks = srun(tmp_path, cache, port, "trainer.max_epochs=500")
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    for task in tasks:
        task.send_signal(signal.SIGKILL)
        task.communicate()
    reached = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] + 1
    tasks = srun(tmp_path, cache, port + 1, f"trainer.max_epochs={reached + 1}")
    outs = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], outs
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert outs[0].count("epoch ") == 1  # the one that was missing
    assert outs[0].strip().splitlines()[-1] == str(folder)
    assert (folder / "metrics.json").is_file()
