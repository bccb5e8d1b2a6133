import gzip
import io
import urllib.error
import urllib.request

import pytest

from cryoexp.errors import DataError
from cryoexp.simulate.download import fetch

WHOLE = gzip.compress(b"atoms" * 100)


def test_fetched_once_and_checked_ever_after(tmp_path, monkeypatch):
    asked = []

    def answer(url, timeout):
        asked.append(url)
        return io.BytesIO(WHOLE)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    path = fetch("pdb:1BXN", tmp_path / "s", allow_download=True)
    assert path.read_bytes() == WHOLE
    assert fetch("pdb:1bxn", tmp_path / "s", allow_download=False) == path
    assert asked == ["https://files.rcsb.org/download/1bxn.cif.gz"]
    path.write_bytes(b"other")
    with pytest.raises(DataError, match="differs from what was downloaded"):
        fetch("pdb:1bxn", tmp_path / "s", allow_download=True)


def test_no_network(tmp_path, monkeypatch):
    def fail(url, timeout):
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(DataError, match="Is there a network"):
        fetch("emd:3197", tmp_path, allow_download=True)
    assert not list(tmp_path.iterdir())


def test_a_broken_connection_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(WHOLE[:-12]))
    with pytest.raises(DataError, match="cannot download"):
        fetch("pdb:1bxn", tmp_path, allow_download=True)
    assert not list(tmp_path.iterdir())
