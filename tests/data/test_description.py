import pytest

from cryoexp.data.description import DataInfo, checksums, read_description, write_description
from cryoexp.errors import DataError

INFO = DataInfo("subtomograms", ["a", "b"], [10.0, 20.5], 10.0, [32, 32, 32], 1, "dark", {"train": 2}, 0.1, 0.5)


def test_round_trip(tmp_path):
    write_description(tmp_path, INFO)
    assert read_description(tmp_path) == INFO


@pytest.mark.parametrize("text", ["kind: [", "kind: x", "5"])
def test_not_a_description(tmp_path, text):
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.yaml"):
        read_description(tmp_path)


def test_no_dataset(tmp_path):
    with pytest.raises(DataError, match="no dataset here"):
        read_description(tmp_path)


def test_checksums_leave_out_the_description(tmp_path):
    write_description(tmp_path, INFO)
    (tmp_path / "a").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert checksums(tmp_path) == {"a": empty}
