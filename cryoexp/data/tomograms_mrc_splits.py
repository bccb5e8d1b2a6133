"""Train, val and test of real tomograms: whole tomograms, or, where that is allowed, slabs of one along z."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.real_problems import Problems
from cryoexp.data.splits import are_counts, check_split
from cryoexp.errors import ConfigError
from cryoexp.seeds import numpy_generator

TRIALS = 300  # ways to share out tomograms that are compared
SLABS = "neighbouring slabs of one tomogram are alike, so scores of val and test are too good"

Split = Sequence[Any]  # three shares, three numbers, or three lists of names
Assigned = dict[str, list[str]]  # the splits of each source; several: it is cut into slabs


def check_split_option(split: Split) -> None:
    """Refuse what is neither three shares, nor three numbers, nor three lists of names.

    Raises:
        ConfigError: with the key.
    """
    if are_names(split):
        return
    if len(split) == 3 and are_counts(tuple(split)):
        if min(split) < 1:
            raise ConfigError(f"dataset.split={list(split)}: every split needs a tomogram")
    elif len(split) != 3 or any(isinstance(part, str | Sequence) for part in split):
        raise ConfigError(
            f"dataset.split={list(split)}: give three shares that add up to 1, three numbers of tomograms, or three "
            "lists of names"
        )
    else:
        check_split(tuple(split))


def are_names(split: Split) -> bool:
    """Whether a split names its tomograms."""
    return len(split) == 3 and all(isinstance(p, Sequence) and not isinstance(p, str) for p in split)


def assign(
    sources: Mapping[str, Sequence[str]],
    said: Mapping[str, str],
    counts: np.ndarray,
    split: Split,
    allow_slabs: bool,
    seed: int,
    problems: Problems,
) -> tuple[Assigned, str]:
    """Share out whole tomograms.

    Lists of names come first, then what the data say, then shares or numbers: of many random ways the one that gives
    each class its shares best. Where there are too few tomograms, the last ones are cut if slabs are allowed.

    Args:
        sources: names of the files of each tomogram.
        said: split of each tomogram as the data say, or "".
        counts: `(sources, classes)` voxels.
        split: as configured.
        allow_slabs: whether one tomogram may be in several splits.
        seed: of what is drawn.
        problems: to which what cannot be done is added.

    Returns:
        The splits of each tomogram, and how it was done.
    """
    if are_names(split):
        return _named(sources, split, allow_slabs, problems)
    size = dict(zip(sources, counts.sum(1), strict=True))
    if any(said.values()):
        out: Assigned = {name: [part] if part else ["train"] for name, part in said.items()}
        how = "split as the data say"
        lacking = [name for name in SPLITS if [name] not in out.values()]
        if lacking and not _take(out, lacking, size, allow_slabs, seed):
            problems.add("empty splits", f"the data leave {' and '.join(lacking)} empty; {_advice(len(sources))}")
        return out, how + (f", {' and '.join(lacking)} taken out of train" if lacking else "")
    if are_counts(tuple(split)) and sum(split) != len(sources) and len(sources) >= 3:
        raise ConfigError(f"dataset.split={list(split)}: there are {len(sources)} tomograms")
    if len(sources) >= 3:
        names = _shared_out(counts, split, seed)
        return {name: [part] for name, part in zip(sources, names, strict=True)}, "split by tomogram"
    out = {name: ["train"] for name in sources}
    if not _take(out, ["test", "val"], size, allow_slabs, seed):
        word = "tomogram" if len(sources) == 1 else "tomograms"
        text = f"train, val and test need three tomograms, {len(sources)} {word} found; {_advice(len(sources))}"
        problems.add("too few tomograms", text)
    return out, "split by tomogram and slab" if len(sources) > 1 else "split into slabs"


def cut(
    slices: Sequence[tuple[int, int]], splits: Sequence[str], split: Split
) -> dict[str, list[tuple[int, int]]] | None:
    """Cut a tomogram into slabs.

    Args:
        slices: (file, z) of its annotated slices in order.
        splits: to which slabs go, from the first slices to the last.
        split: shares or numbers; equal ones if tomograms are named.

    Returns:
        The annotated slices of each split, or None if there are too few.
    """
    if len(slices) < len(splits):
        return None
    whole = [1.0 if are_names(split) else float(split[SPLITS.index(name)]) for name in splits]
    ends = np.rint(np.cumsum(whole) / sum(whole) * len(slices)).astype(int)
    for i in range(len(ends)):  # every slab has a slice at least
        low = (ends[i - 1] if i else 0) + 1
        ends[i] = np.clip(ends[i], low, len(slices) - (len(ends) - 1 - i))
    return {name: list(slices[a:b]) for name, a, b in zip(splits, [0, *ends[:-1]], ends, strict=True)}


def _named(
    sources: Mapping[str, Sequence[str]], split: Split, allow_slabs: bool, problems: Problems
) -> tuple[Assigned, str]:
    """Read three lists of names, of tomograms or of files."""
    owner = {name: source for source, names in sources.items() for name in (source, *names)}
    out: Assigned = {}
    for part, names in zip(SPLITS, split, strict=True):
        for name in map(str, names):
            if name not in owner:
                known = ", ".join(list(sources)[:5]) + (" …" if len(sources) > 5 else "")
                problems.add("unknown names", f"dataset.split names {name}; there are {known}")
            elif part not in out.setdefault(owner[name], []):
                out[owner[name]].append(part)
        if not names:
            problems.add("empty splits", f"dataset.split: the {part} split is empty")
    for source, parts in out.items():
        if len(parts) > 1 and not allow_slabs:
            text = f"dataset.split: {source} is in {' and '.join(parts)}; dataset.allow_slabs=true cuts it along z"
            problems.add("tomograms in two splits", text)
    left = len(sources) - len(out)
    return out, "split by names" + (f", {left} tomograms in none" if left else "")


def _take(out: Assigned, lacking: Sequence[str], size: Mapping[str, int], allow_slabs: bool, seed: int) -> bool:
    """Give splits that have no tomogram one of train, or a slab of its largest; tell whether all have some then."""
    if ["train"] not in out.values():
        return False
    rng = numpy_generator(seed, "split")
    train = [name for name, parts in out.items() if parts == ["train"]]
    order = sorted(rng.permutation(np.array(train, dtype=object)).tolist(), key=lambda name: size[name])
    left = []
    for part in [p for p in ("test", "val") if p in lacking]:
        if len(order) > 1:
            out[order.pop(0)] = [part]
        else:
            left.append(part)
    if left and allow_slabs:
        out[order[-1]] = ["train", *(p for p in SPLITS[1:] if p in left)]
    return allow_slabs or not left


def _shared_out(counts: np.ndarray, split: Split, seed: int) -> list[str]:
    """Name the split of each of three or more tomograms."""
    n = len(counts)
    numbers = tuple(split) if are_counts(tuple(split)) else _numbers(split, n)
    names = np.repeat(np.array(SPLITS, dtype=object), numbers)
    totals = np.maximum(counts.sum(0), 1)
    wanted = np.array(numbers) / n
    rng = numpy_generator(seed, "split")
    best, least = names, np.inf
    for _ in range(TRIALS):
        drawn = rng.permutation(names)
        given = np.stack([counts[drawn == name].sum(0) for name in SPLITS]) / totals
        missing = ((given == 0) & (counts.sum(0) > 0)) * np.array([[10.0], [1.0], [1.0]])
        cost = float(np.abs(given - wanted[:, None]).sum() + missing.sum())
        if cost < least:
            best, least = drawn, cost
    return [str(name) for name in best]


def _numbers(shares: Split, n: int) -> tuple[int, int, int]:
    held = [max(1, round(share * n)) for share in shares[1:]]
    while sum(held) > n - 1:
        held[int(np.argmax(held))] -= 1
    return n - sum(held), held[0], held[1]


def _advice(count: int) -> str:
    slab = "dataset.allow_slabs=true cuts one along z instead"
    return f"{slab}, though {SLABS}" if count else "label more"
