"""The examples of docs/formats.md run, and the functions it names exist."""

import gzip
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from cryoexp.io.mrc import Volume, read_volume, write_volume
from cryoexp.io.relion import read_particles

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_volume_is_inverted_in_slabs():
    data = np.random.default_rng(0).normal(size=(20, 4, 5)).astype(np.float32)
    write_volume("tomogram.mrc", Volume(data, 7.0, (1.0, 2.0, 3.0)))
    exec(EXAMPLES[0], {})
    out = read_volume("out.mrc")
    np.testing.assert_array_equal(out.data, -data)
    assert (out.voxel_size, out.origin) == (10.0, (1.0, 2.0, 3.0))


def test_the_particles_are_written_for_relion_5(folder):
    text = "data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n2048 2148 720\n"
    (folder / "rubisco.star.gz").write_bytes(gzip.compress(text.encode()))
    exec(EXAMPLES[1], {})
    table = read_particles("relion5.star").table
    assert table[["x", "y", "z"]].to_numpy()[0].tolist() == pytest.approx([0, 196, 0])


def test_every_function_of_the_table_exists():
    for row in re.findall(r"^\|.*`io\..*$", PAGE, re.MULTILINE):
        modules = [importlib.import_module(f"cryoexp.{name}") for name in re.findall(r"`(io\.\w+)`", row)]
        functions = re.findall(r"`((?:read|write|open|create)_\w+)`", row)
        assert functions
        for name in functions:
            assert any(hasattr(module, name) for module in modules), name
