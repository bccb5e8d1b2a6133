import pytest

from cryoexp.assemble import make_data
from tests.data.boxes import BOX


@pytest.fixture
def place(tmp_path):
    """A folder apart from that of runs."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def opened(composed):
    def opened(path, *overrides, box=BOX):
        asked = ("dataset=subtomograms_mrc", f"dataset.path={path}", f"dataset.box={box}")
        return make_data(composed(*asked, *overrides, tiny=False))

    return opened
