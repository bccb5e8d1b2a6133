"""An output folder appears whole or not at all, and replaces nothing unasked."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryoexp.errors import ConfigError, DataError

FOREIGN = {"checkpoints": "a training run", "dataset.yaml": "a dataset"}  # never written into


@contextmanager
def whole_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a hidden folder to write into; its files move to ``output`` when all are there.

    Args:
        output: a new folder; with ``overwrite`` one that holds files, of which those of equal names are replaced.
        overwrite: whether files may be replaced.

    Raises:
        ConfigError: the folder is used and ``overwrite`` is false, or it holds a run or a dataset.
        DataError: it cannot be written.
    """
    _check(output, overwrite)
    new_parents = [parent for parent in output.parents if not parent.exists()]
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        _move(partial, output)
    except OSError as error:
        raise DataError(f"output={output}: cannot be written ({error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in new_parents:
            with suppress(OSError):  # not empty: all went well
                parent.rmdir()


def _check(output: Path, overwrite: bool) -> None:
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output={output} is a file. Give a folder")
    for name, what in FOREIGN.items():
        if (output / name).exists():
            raise ConfigError(f"output={output} holds {what}. Give another folder")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise ConfigError(
            f"output={output} is not empty. Replace its files with overwrite=true, or give another folder"
        )


def _move(partial: Path, output: Path) -> None:
    if not output.exists():
        partial.rename(output)
        return
    for file in [f for f in partial.rglob("*") if f.is_file()]:
        target = output / file.relative_to(partial)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
