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
    text = json.dumps(_same_numbers(dict(recipe)), sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def cached(root: Path, key: str, build: Callable[[Path], None]) -> Path:
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
        raise DataError(f"paths.data_dir={root}: cannot write the dataset ({error})") from None
    return folder


def into_new_folder(folder: Path, build: Callable[[Path], None]) -> None:
    """Let ``build`` fill a folder that is new or empty; a failure leaves nothing, a kill only a hidden ``.partial``.

    Raises:
        DataError: the folder holds something, or cannot be written, or the disk is full.
    """
    partial = folder / ".partial"
    try:
        if folder.exists() and (not folder.is_dir() or any(f != partial for f in folder.iterdir())):
            raise DataError(f"output={folder}: exists and is not empty. Give a new folder")
        new = not folder.exists()
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            build(partial)
            # the description last: a folder without it is not a dataset
            for path in sorted(partial.iterdir(), key=lambda f: f.name == DESCRIPTION):
                path.rename(folder / path.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if new and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise DataError(f"output={folder}: cannot write the dataset ({error})") from None


def is_whole(folder: Path) -> bool:
    """Whether ``folder`` is a finished dataset: the description is written last."""
    return (folder / DESCRIPTION).is_file()


def _same_numbers(value: Any) -> Any:
    """Write 120 and 120.0 alike."""
    if isinstance(value, Mapping):
        return {key: _same_numbers(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_same_numbers(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


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
