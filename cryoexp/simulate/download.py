"""Structures from the PDB and EMDB, fetched once into a local folder, and only when allowed."""

import gzip
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from cryoexp.errors import DataError

TIMEOUT = 60  # seconds without an answer


def fetch(item: str, cache: Path, allow_download: bool) -> Path:
    """Return the file of ``pdb:ID`` or ``emd:ID``, downloading it if it is not in ``cache`` yet.

    The SHA-256 of the first download is kept beside the file and checked ever after.

    Raises:
        DataError: a malformed id, downloads not allowed, no network, or a file that changed.
    """
    url, name = _address(item)
    path = cache / name
    if path.is_file():
        return _checked(path)
    if not allow_download:
        raise DataError(
            f"{item} is not in {cache} yet. Allow the download with dataset.allow_download=true, "
            f"or put {url} there by hand"
        )
    part = path.with_name(f".{name}.{os.getpid()}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
        gzip.decompress(part.read_bytes())  # a connection that broke off leaves a stump
    except (urllib.error.URLError, http.client.HTTPException, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{item}: cannot download {url} ({error}). Is there a network?") from None
    else:
        _digest_file(path).write_text(_digest(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _address(item: str) -> tuple[str, str]:
    kind, _, entry = item.partition(":")
    if kind == "pdb" and len(entry) == 4 and entry.isalnum():
        name = f"{entry.lower()}.cif.gz"
        return f"https://files.rcsb.org/download/{name}", name
    if kind == "emd" and entry.isdigit():
        name = f"emd_{entry}.map.gz"
        return f"https://files.wwpdb.org/pub/emdb/structures/EMD-{entry}/map/{name}", name
    raise DataError(f"{item} is no database id; write for example pdb:1bxn or emd:3197")


def _checked(path: Path) -> Path:
    known = _digest_file(path)
    if known.is_file() and known.read_text().strip() != _digest(path):
        raise DataError(f"{path}: differs from what was downloaded first. Delete it and {known.name} to fetch it again")
    return path


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
