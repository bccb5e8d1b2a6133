"""A dataset is built once, whole, and under a lock: runs, ranks and sweep jobs share it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cryoexp.data.description import DESCRIPTION
from cryoexp.errors import DataError
from cryoexp.progress import console


def cache_key(name: str, recipe: Mapping[str, Any]) -> str:
    """Folder name of a dataset: what it is, and a hash of everything that decides its content."""
    text = json.dumps(recipe, sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def cached(root: Path, key: str, build: Callable[[Path], None], what: str = "paths.data_dir") -> Path:
    """Return the folder ``root / key``, built by ``build(folder)`` if it is not there.

    The work happens in a hidden folder that is renamed when it is whole, so a killed build leaves nothing that
    looks like a dataset; the next one starts afresh and removes what is left.

    Raises:
        DataError: ``root`` cannot be written, or the disk is full.
    """
    folder = root / key
    if is_whole(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root / f".{key}.lock"):
            if not is_whole(folder):
                _build(folder, root / f".{key}.partial", build)
    except OSError as error:
        raise DataError(f"{what}={root}: cannot write the dataset ({error})") from None
    return folder


def is_whole(folder: Path) -> bool:
    """Whether ``folder`` is a finished dataset: the description is written last."""
    return (folder / DESCRIPTION).is_file()


def _build(folder: Path, partial: Path, build: Callable[[Path], None]) -> None:
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _lock(path: Path) -> FileLock:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
        lock.release()
    except Timeout:
        console.print(f"waiting for another run that simulates this dataset ({path.name[1:-5]})")
    return lock
