"""Train, val and test of real images: as the table says, else by micrograph, else at random."""

from typing import Literal, get_args

import numpy as np
import pandas as pd

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.real_problems import Problems
from cryoexp.data.real_splits import by_source
from cryoexp.data.splits import are_counts, split, split_counts
from cryoexp.errors import ConfigError
from cryoexp.seeds import numpy_generator

SplitBy = Literal["auto", "column", "subset", "micrograph", "random"]
COLUMN, SUBSET, MICROGRAPH = "cryoexpSplit", "rlnRandomSubset", "rlnMicrographName"
NEEDS = {"column": COLUMN, "subset": SUBSET, "micrograph": MICROGRAPH}


def check_split_by(by: str) -> None:
    """Refuse an unknown way to split.

    Raises:
        ConfigError: with the key.
    """
    if by not in get_args(SplitBy):
        raise ConfigError(f"dataset.split_by={by}: choose one of {', '.join(get_args(SplitBy))}")


def split_images(
    rows: pd.DataFrame, shares: tuple[float, ...], by: SplitBy, seed: int, problems: Problems
) -> tuple[np.ndarray, str]:
    """Name the split of each image, `(n,)`, and say how it was done.

    ``column`` takes cryoexpSplit as it is; ``subset`` trains on RELION's half 1 and tests on half 2, validation being a
    part of half 1; ``micrograph`` shares out whole micrographs; ``auto`` is the first of these that the table allows
    (three micrographs at least), or else ``random``, as numbers of images always are.

    Args:
        rows: RELION's table.
        shares: of train, val and test, or their numbers of images.
        by: see above.
        seed: of what is drawn.
        problems: to which everything that cannot be is added.
    """
    by = _chosen(rows, shares, by)
    wrong = _why_not(rows, shares, by)
    if wrong:
        problems.add("bad splits", wrong)
        return np.full(len(rows), "train", dtype=object), ""
    if by == "column":
        names, how = rows[COLUMN].astype(str).to_numpy(dtype=object), f"split as {COLUMN} says"
        for name in sorted(set(names) - set(SPLITS)):
            count = int((names == name).sum())
            problems.add("unknown splits", f"{count:,} images have {COLUMN}={name}, expected {', '.join(SPLITS)}")
    elif by == "subset":
        names, how = _by_subset(rows[SUBSET], shares, seed, problems), f"split by {SUBSET}"
    elif by == "micrograph":
        table = pd.DataFrame({"source": rows[MICROGRAPH].astype(str), "class": ""})
        names, how = by_source(table, shares, seed), f"split by micrograph ({table['source'].nunique():,})"
    else:
        names, how = _at_random(len(rows), shares, seed), "split at random"
    for name in SPLITS:
        if not (names == name).any():
            problems.add("empty splits", f"the {name} split is empty ({how})")
    return names, how


def _chosen(rows: pd.DataFrame, shares: tuple[float, ...], by: SplitBy) -> SplitBy:
    if by != "auto":
        return by
    if COLUMN in rows:
        return "column"
    if are_counts(shares):
        return "random"
    if SUBSET in rows and set(rows[SUBSET]) == {1, 2}:
        return "subset"
    return "micrograph" if MICROGRAPH in rows and rows[MICROGRAPH].nunique() >= 3 else "random"


def _why_not(rows: pd.DataFrame, shares: tuple[float, ...], by: SplitBy) -> str:
    """Say why the images cannot be split in this way, or nothing."""
    if by in NEEDS and NEEDS[by] not in rows:
        return f"dataset.split_by={by}: the table has no column {NEEDS[by]}"
    if by == "micrograph" and rows[MICROGRAPH].nunique() < 3:
        few = f"{rows[MICROGRAPH].nunique()} micrographs cannot be shared out over three splits"
        return f"dataset.split_by=micrograph: {few}. Give dataset.split_by=random"
    if are_counts(shares) and by != "random":
        return f"dataset.split={list(shares)}: numbers of images need dataset.split_by=random"
    if are_counts(shares) and sum(shares) != len(rows):
        return f"dataset.split={list(shares)}: the numbers must add up to the {len(rows):,} images there are"
    return "" if len(rows) >= 3 else f"{len(rows)} images cannot be shared out over three splits"


def _by_subset(subset: pd.Series, shares: tuple[float, ...], seed: int, problems: Problems) -> np.ndarray:
    odd = sorted(set(subset) - {1, 2})
    if odd:
        problems.add("unknown splits", f"{SUBSET} is {odd[0]} in some rows, expected 1 and 2")
    names = np.where(subset == 2, "test", "train").astype(object)
    first = numpy_generator(seed, "split").permutation(np.flatnonzero(names == "train"))
    names[first[: max(1, round(len(first) * shares[1] / (shares[0] + shares[1])))]] = "val"
    return names


def _at_random(count: int, shares: tuple[float, ...], seed: int) -> np.ndarray:
    return split_counts(shares, seed) if are_counts(shares) else split(np.zeros(count), shares, seed)
