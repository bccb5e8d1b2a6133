import runpy
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "sliding_window.py"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_benchmark_compares_the_two_on_any_size(tmp_path, monkeypatch, capsys):
    numbers = ["--shape", "9", "23", "17", "--window", "8", "16", "16", "--rounds", "2", "--model", "pointwise"]
    threads = str(torch.get_num_threads())
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *numbers, "--threads", threads, "--folder", str(tmp_path)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    out = capsys.readouterr().out
    assert "9 x 23 x 17 voxels, 8 windows of [8, 16, 16], pointwise" in out
    assert all(f"| {name} |" in out for name in ("cryoexp", "MONAI", "ratio"))
    assert not list(tmp_path.iterdir())
