"""The baseline of common lines, without ASPIRE: a small program stands in for its environment."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from cryoexp.config.build import build
from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "pose_aspire.py"
SMALL = ["dataset.images=20", "dataset.box=52", "dataset.structure=ribo2500"]
# answers as ASPIRE would: its version when asked, and else transposed rotations, which here are those of the test's
STAND_IN = """#!{python}
import json, sys
from pathlib import Path
import numpy as np
if "-c" in sys.argv:
    print("0.14.3")
    sys.exit()
folder = Path(sys.argv[3])
assert [f.name for f in folder.iterdir()] == ["images.npy"]
images = np.load(folder / "images.npy")
record = dict(shape=images.shape, dtype=str(images.dtype), words=sys.argv[4:], level=float(images.std()))
Path({notes!r}).write_text(json.dumps(record))
{action}
np.save(folder / "rotations.npy", np.load({answers!r}).transpose(0, 2, 1)[:len(images)])
(folder / "answer.json").write_text(json.dumps(dict(seconds=1.5, version="0.14.3")))
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pose_aspire", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["pose_aspire"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def aspire(tmp_path):
    """Make a stand-in that gives the same rotations to every stack."""
    np.save(tmp_path / "answers.npy", random(100).numpy())

    def make(action=""):
        path = tmp_path / "python"
        notes, answers = str(tmp_path / "notes.json"), str(tmp_path / "answers.npy")
        path.write_text(STAND_IN.format(python=sys.executable, notes=notes, answers=answers, action=action))
        path.chmod(0o755)
        return str(path)

    return make


def random(n, seed=0):
    return quaternion_to_matrix(random_quaternions(n, torch.Generator().manual_seed(seed)))


def a_stack(script, snr=1.0, shift=0.0):
    return script.Images(torch.randn(6, 8, 8), random(6), "ribo2500", snr, shift)


def test_aspire_sees_images_and_nothing_else(script, aspire, tmp_path):
    python = aspire()
    stack = a_stack(script, shift=2.0)
    rotations, seconds = script.estimate(stack, "voting", script.Settings(python))
    notes = json.loads((tmp_path / "notes.json").read_text())
    assert notes["shape"] == [6, 8, 8]
    assert notes["dtype"] == "float32"
    assert notes["words"] == ["voting", "6", "1"]  # 2 pixels along x and y of both images: 5.7 along a diagonal
    assert seconds == 1.5
    torch.testing.assert_close(rotations, random(100)[:6])


def test_clean_images_get_no_mask(script, aspire, tmp_path):
    script.estimate(a_stack(script, snr=float("inf")), "irls", script.Settings(aspire()))
    assert '"words": ["irls", "0", "0"]' in (tmp_path / "notes.json").read_text()


def test_a_method_that_fails_or_takes_too_long(script, aspire):
    with pytest.raises(DataError, match="ASPIRE's voting failed: no convergence"):
        script.estimate(a_stack(script), "voting", script.Settings(aspire("sys.exit('no convergence')")))
    slow = script.Settings(aspire("import time; time.sleep(60)"), timeout=1)
    assert script.estimate(a_stack(script), "voting", slow) is None


def test_flipped_phases_make_the_ctf_positive(script):
    optics = script.ImageOptics(ctf=True, defocus=[1.0, 2.5], voltage=300.0, cs=2.7, amplitude_contrast=0.1)
    defocus = torch.tensor([10000.0, 25000.0])
    transfer = optics.transfer(32, 5.5, defocus)
    flipped = torch.fft.rfft2(script.flip_phases(torch.fft.irfft2(transfer + 0j), optics, 5.5, defocus))
    inner = (slice(None), slice(1, 16), slice(1, 16))
    torch.testing.assert_close(flipped.real[inner], transfer.abs()[inner], atol=1e-5, rtol=0)


def test_it_prints_a_row_for_every_snr_and_method(script, aspire, cache, capsys):
    given = [f"python={aspire()}", "methods=voting,irls", "snr=inf,0.5", "items=5", f"paths.data_dir={cache}", *SMALL]
    script.main(given)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ribo")]
    assert [(row[1], row[2], row[3]) for row in rows] == [
        (snr, method, "5") for snr in ("inf", "0.5") for method in ("voting", "irls")
    ]


def test_a_run_and_a_folder_give_the_images_of_the_cache(script, cache, tmp_path):
    overrides = [*SMALL, "snr=0.5", f"paths.data_dir={cache}"]
    (from_cache,) = script.stacks(overrides, 5)
    with script.initialize_config_dir(str(script.CONF), version_base="1.3"):
        cfg = script.compose("config", overrides=["dataset=projections", *overrides])
    build(cfg.dataset).export(tmp_path / "mine")
    config = {"dataset": OmegaConf.to_container(cfg.dataset, resolve=True)}
    (tmp_path / "manifest.json").write_text(json.dumps({"config": config}))
    (from_run,) = script.stacks([f"run={tmp_path}"], 5)
    torch.testing.assert_close(from_run.images, from_cache.images)
    (from_folder,) = script.stacks([f"dataset={tmp_path / 'mine'}"], 5)
    torch.testing.assert_close(from_folder.images, from_cache.images)
    torch.testing.assert_close(from_folder.rotations, from_cache.rotations, atol=1e-5, rtol=0)
    assert (from_folder.structure, from_folder.snr, from_folder.shift) == ("ribo2500", 0.5, 2.0)
    with pytest.raises(ConfigError, match="settings of their own"):
        next(script.stacks([f"dataset={tmp_path / 'mine'}", "snr=1"], 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "python= is missing"),
        (["python=/nowhere/python"], "python=/nowhere/python: does not run"),
        ([f"python={sys.executable}"], "ASPIRE is not in this environment"),
        (["python=x", "items=0"], "items=0: must be a positive whole number"),
        (["python=x", "methods=voting,magic"], "methods=voting,magic: choose some of voting, sync3n, irls"),
    ],
)
def test_wrong_commands_are_refused(script, arguments, message):
    with pytest.raises(ConfigError, match=message):
        script.main(arguments)


def test_a_folder_without_a_run_is_refused(script, tmp_path):
    with pytest.raises(DataError, match="no finished run here"):
        next(script.stacks([f"run={tmp_path}"], 5))


def test_other_samples_are_refused(script, cache):
    given = ["dataset=subtomograms", "dataset.structures=[dimer80,ring240]", "dataset.per_class=10"]
    with pytest.raises(ConfigError, match="simulated projections"):
        next(script.stacks([*given, f"paths.data_dir={cache}"], 5))
