"""The volumes that segment writes of one tomogram: labels, a probability per class and the entropy, slab by slab."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from scipy.special import entr

from cryoexp.data.volume_files import stem
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import Volume, create_volume

APART = "__"  # between a tomogram's name and what the file holds
LABELS, ENTROPY, COMPONENTS, SKELETON = "labels", "entropy", "components", "_skeleton"
KINDS = ("float16", "percent", "none")
PERCENT = 100
MOST = 254  # classes: 255 is what is ignored


class VolumeFiles:
    """Files of one tomogram, to be filled from top to bottom.

    In a block: ``with VolumeFiles(…) as files: files.write(first, probability, labels)``. The files get their
    names when the block ends well; none of them is there when it does not. `labels` may be changed until then.

    Args:
        folder: that exists.
        name: of the tomogram, see `file_names`.
        classes: their names, background first.
        like: the tomogram: its shape, voxel size and origin are those of the files.
        kind: float16, percent (whole numbers 0..100 in a byte) or none, of probabilities and entropy.
        entropy: whether it is written.

    Attributes:
        labels: `(z, y, x)` mapped class numbers, int8 up to 128 classes and else uint16: MRC has no uint8.
        paths: of the files, by ``labels``, ``entropy`` and class name.

    Raises:
        ConfigError: another kind, or names that would give two files one name.
        DataError: on leaving, if not every slice was written.
    """

    def __init__(
        self, folder: Path, name: str, classes: Sequence[str], like: Volume, kind: str = "float16", entropy: bool = True
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"task.probabilities={kind}: choose one of {', '.join(KINDS)}")
        if not 2 <= len(classes) <= MOST:
            raise ConfigError(f"{len(classes)} classes: labels take 2 to {MOST}, background among them")
        file_names([name], classes)
        self.name, self.classes, self.like, self.kind = name, list(classes), like, kind
        self.paths = {LABELS: folder / file_name(name, LABELS)}
        if kind != "none":
            self.paths |= {ENTROPY: folder / file_name(name, ENTROPY)} if entropy else {}
            self.paths |= {cls: folder / file_name(name, cls) for cls in classes[1:]}
        self.labels = np.zeros(0)
        self._maps: dict[str, np.ndarray] = {}
        self._finished: list[Path] = []
        self._stack = ExitStack()
        self._next = 0

    def __enter__(self) -> "VolumeFiles":
        shape, scale = self.like.data.shape, (self.like.voxel_size, self.like.origin)
        dtype = np.float16 if self.kind == "float16" else np.int8
        with ExitStack() as stack:
            for what, path in self.paths.items():
                stack.push(self._note(path))  # below the file on the stack: called once it is closed
                kind = label_type(len(self.classes)) if what == LABELS else np.dtype(dtype)
                self._maps[what] = stack.enter_context(create_volume(path, shape, kind, *scale))
            self._stack = stack.pop_all()
        self.labels = self._maps[LABELS]
        return self

    def write(self, first: int, probability: np.ndarray, labels: np.ndarray) -> None:
        """Write one slab; slabs come from top to bottom without gaps.

        Args:
            first: its first slice.
            probability: `(k, dz, y, x)` of each class, background first.
            labels: `(dz, y, x)` class numbers.

        Raises:
            DataError: a slab of another shape, out of order, with NaN, or with numbers that are no class.
        """
        self._check(first, probability, labels)
        span = slice(first, first + len(labels))
        self._maps[LABELS][span] = labels
        for number, name in enumerate(self.classes):
            if name in self._maps:
                self._fill(name, span, probability[number])
        if ENTROPY in self._maps:
            # slice by slice: a slab of all classes once more would double the memory
            for i in range(len(labels)):
                self._fill(ENTROPY, slice(first + i, first + i + 1), normalised_entropy(probability[:, i])[None])
        self._next = span.stop

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._next != len(self.labels):
                raise DataError(f"{self.name}: not written, only {self._next} of {len(self.labels)} slices came")
        except DataError as missing:
            self._close(missing)
            raise
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        self._maps.clear()
        self.labels = np.zeros(0)
        try:
            self._stack.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except BaseException:
            for path in self._finished:  # one of them could not be finished: none of them stays
                path.unlink(missing_ok=True)
            raise

    def _note(self, path: Path) -> Callable[[object, object, object], None]:
        def finished(kind: object, error: object, trace: object) -> None:
            if error is None:
                self._finished.append(path)

        return finished

    def _fill(self, what: str, span: slice, values: np.ndarray) -> None:
        sink = self._maps[what]
        sink[span] = np.rint(values * PERCENT) if sink.dtype == np.int8 else values

    def _check(self, first: int, probability: np.ndarray, labels: np.ndarray) -> None:
        plane, k = self.labels.shape[1:], len(self.classes)
        if labels.shape[1:] != plane or probability.shape != (k, *labels.shape):
            raise DataError(
                f"{self.name}: probabilities {probability.shape} and labels {labels.shape} do not fit "
                f"{k} classes and slices of {plane}"
            )
        if first != self._next or first + len(labels) > len(self.labels):
            raise DataError(
                f"{self.name}: slices {first} to {first + len(labels) - 1} came, "
                f"{self._next} of {len(self.labels)} is next"
            )
        if labels.size and int(labels.max()) >= k:
            raise DataError(f"{self.name}: label {int(labels.max())} is no class (0 to {k - 1})")
        low, high = (probability.min(), probability.max()) if probability.size else (0.0, 0.0)
        if not -1e-3 <= low <= high <= 1 + 1e-3:  # NaN, too
            raise DataError(f"{self.name}: probabilities from {low:g} to {high:g}, expected 0 to 1")


def label_type(classes: int) -> np.dtype:
    """Return int8 if the numbers of so many classes (with background) fit, else uint16, as `io.mrc.write_volume`."""
    return np.dtype(np.int8 if classes <= 128 else np.uint16)


def normalised_entropy(probability: np.ndarray) -> np.ndarray:
    """Return -Σ p log p / log k of `(k, …)` probabilities: 0 where the network is sure, 1 where all are alike."""
    return entr(probability.clip(0, 1)).sum(0) / np.log(len(probability))


def share_of(values: np.ndarray) -> np.ndarray:
    """Turn what a probability file holds, per cent if whole numbers, into float32 shares of 0 to 1."""
    scale = PERCENT if np.issubdtype(values.dtype, np.integer) else 1
    return values.astype(np.float32) / np.float32(scale)


def file_name(tomogram: str, what: str, ending: str = ".mrc") -> str:
    """Return ``<tomogram>__<what>.mrc``, with ``_`` for what file names cannot hold everywhere."""
    return f"{_safe(tomogram)}{APART}{_safe(what)}{ending}"


def file_names(tomograms: Sequence[str | Path], classes: Sequence[str]) -> list[str]:
    """Return the names by which the files of tomograms are called; call it before any work.

    Args:
        tomograms: paths, or names.
        classes: their names, background first.

    Raises:
        ConfigError: two files of the run would have one name, on a file system that ignores case too.
    """
    names = [stem(t) if isinstance(t, Path) else t for t in tomograms]
    made: dict[str, list[str]] = defaultdict(list)
    own = (LABELS, ENTROPY, COMPONENTS)
    for given, name in zip(tomograms, names, strict=True):
        for what in (*own, *classes[1:], *(cls + SKELETON for cls in classes[1:])):
            made[file_name(name, what).casefold()].append(f"{what} of {given}")
    for file, sources in made.items():
        if len(sources) > 1:
            raise ConfigError(
                f"{sources[0]} and {sources[1]} would both be written to {file}: "
                "rename one of them, or predict them into different folders"
            )
    return [_safe(name) for name in names]


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name)
