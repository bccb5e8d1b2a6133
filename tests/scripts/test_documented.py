"""The scripts' commands that README and docs show, run as they stand, with a user's paths replaced by tiny data."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import PAGES, ROOT

STRUCTURES = ["dataset.structures=[dimer80,ring240,ribo2500]"]
EMPTY = ["dataset.scene.membranes=[]", "dataset.scene.beads=0"]
CELL = ["dataset.cell.vesicles=[1,4]", "dataset.cell.mitochondria=[0,2]", "dataset.cell.filopodia=[1,3]"]
# what makes a dataset small
TINY = {
    "subtomograms": [*STRUCTURES, "dataset.per_class=30"],
    "subtomograms_aitom": [*STRUCTURES, "dataset.per_class=10"],
    "projections": ["dataset.structure=ribo2500", "dataset.images=20", "dataset.box=52"],
    "projections_2020": ["dataset.structure=ribo2500", "dataset.images=20", "dataset.split=[10,4,6]"],
    "tomograms": ["dataset.structures=[dimer80]", "dataset.shape=[24,48,48]", *EMPTY],
    "tomograms_cellular": ["dataset.split=[1,1,1]"],
    "sxt": ["dataset.cell.shape=[40,96,96]", "dataset.cell.voxel_size=400", "dataset.optics.tilt_step=5", *CELL],
}


def commands():
    """Every documented line of the scripts that take keys."""
    found = {}
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for name, line in re.findall(r"python scripts/(predict|evaluate|collect|simulate)\.py([^\n`|#]*)", text):
            words = tuple(w for w in shlex.split(line) if "=" in w or w.endswith("/"))
            if words and not any("<" in w for w in words):
                found[(name, *words)] = page.name
    return [
        pytest.param(*(command[0], list(command[1:])), id=f"{page}: {' '.join(command)}")
        for command, page in found.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), commands())
def test_it_runs(tmp_path, trained, cache, name, words):
    given = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "run":
            given.append(f"run={trained.run}")
        elif value.startswith("my_") and key != "output":
            given.append(f"{key}={trained.dataset}")
        elif word == "outputs/":
            given.append(f"{trained.run.parent}/")
        elif "my.pdb" not in word:
            given.append(word)
    dataset = dict(w.split("=", 1) for w in given if "=" in w).get("dataset", "")
    small = [] if Path(dataset).exists() else TINY.get(dataset, [])
    taken = {w.split("=")[0] for w in given}
    given += [w for w in small if w.split("=")[0] not in taken]
    if name == "evaluate" and not Path(dataset).exists():
        given.append(f"paths.data_dir={cache}")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *given],
        capture_output=True, text=True, cwd=tmp_path, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / done.stdout.strip().splitlines()[-1]).exists()
