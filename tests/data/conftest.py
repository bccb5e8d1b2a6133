import pytest

from cryoexp.config.build import build
from tests.data.boxes import BOX


@pytest.fixture
def place(tmp_path):
    """A folder apart from that of runs."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def opened(composed):
    def opened(path, *overrides, box=BOX):
        node = composed(
            "dataset=subtomograms_mrc", f"dataset.path={path}", f"dataset.box={box}", *overrides, tiny=False
        ).dataset
        data = build(node)
        data.prepare_data()
        data.setup()
        return data

    return opened
