"""Train, val and test of real data: as the data say, else by tomogram, else at random within each class."""

import numpy as np
import pandas as pd

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.real_problems import Problems
from cryoexp.data.splits import split
from cryoexp.seeds import numpy_generator

TRIALS = 300  # ways to share out tomograms that are compared


def split_real(table: pd.DataFrame, shares: tuple[float, ...], seed: int, problems: Problems) -> str:
    """Fill the column ``split``, and say how it was done.

    Splits that the data name are kept; a val or test split that they lack is taken out of train. Three or more
    tomograms are shared out whole, so that each class has about its share everywhere.

    Args:
        table: with the columns class, split ("" where unknown), source (tomogram, or "").
        shares: of train, val, test.
        seed: of what is drawn.
        problems: to which unknown and empty splits are added.
    """
    if (table["split"] != "").any():
        how = _complete(table, shares, seed, problems)
    elif table["source"].nunique() >= 3 and (table["source"] != "").all():
        table["split"] = by_source(table, shares, seed)
        how = f"split by tomogram ({table['source'].nunique()})"
        _check_train(table, problems)
    else:
        table["split"] = _stratified(table, shares, seed, problems)
        how = "split at random within each class"
        if (table["source"] != "").any():
            count = table["source"].nunique()
            how += (
                f", across {count} tomogram{'s' if count > 1 else ''}: crops that overlap may lie in different splits"
            )
    for name in SPLITS:
        if not (table["split"] == name).any():
            problems.add("empty splits", f"the {name} split is empty")
    return how


def by_source(table: pd.DataFrame, shares: tuple[float, ...], seed: int) -> np.ndarray:
    """Share out whole tomograms: of many random ways the one that gives each class its shares best."""
    source, _ = pd.factorize(table["source"])
    label, _ = pd.factorize(table["class"])
    counts = np.zeros((source.max() + 1, label.max() + 1))
    np.add.at(counts, (source, label), 1)
    rng = numpy_generator(seed, "split")
    best, least = np.zeros(len(counts), dtype=int), np.inf
    for _ in range(TRIALS):
        order = rng.permutation(len(counts))
        part = np.empty(len(counts), dtype=int)
        part[order] = _cut(counts[order].sum(1), shares)
        given = np.stack([counts[part == i].sum(0) for i in range(3)]) / counts.sum(0)
        cost = np.abs(given - np.array(shares)[:, None]).sum() + 10 * (given[0] == 0).sum()
        if cost < least:
            best, least = part, cost
    return np.array(SPLITS, dtype=object)[best[source]]


def _cut(sizes: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Cut an order of tomograms in three, each part with one at least."""
    total, n = np.cumsum(sizes) / sizes.sum(), len(sizes)
    first = int(np.clip(np.searchsorted(total, shares[0] - 1e-9) + 1, 1, n - 2))
    second = int(np.clip(np.searchsorted(total, shares[0] + shares[1] - 1e-9) + 1, first + 1, n - 1))
    return np.repeat([0, 1, 2], [first, second - first, n - second])


def _complete(table: pd.DataFrame, shares: tuple[float, ...], seed: int, problems: Problems) -> str:
    """Keep the splits that the data name, and take those that they lack out of train."""
    for name in sorted(set(table["split"]) - set(SPLITS)):
        count = int((table["split"] == name).sum())
        said = f"{count:,} subtomograms have the split {name or '(none)'}, expected {', '.join(SPLITS)}"
        problems.add("unknown splits", said)
    lacking = [name for name in SPLITS[1:] if not (table["split"] == name).any()]
    train = table["split"] == "train"
    if not lacking or not train.any():
        return "split as the data say"
    held_out = [share if name in lacking else 0.0 for name, share in zip(SPLITS[1:], shares[1:], strict=True)]
    mine = table.loc[train, "class"]
    drawn = table.loc[train, "split"].copy()
    rng = numpy_generator(seed, "split")
    for label in sorted(mine.unique()):
        order = rng.permutation(mine.index[mine == label].to_numpy())
        for name, share in zip(SPLITS[1:], held_out, strict=True):
            count = max(1, round(share * len(order))) if share else 0
            drawn.loc[order[:count]], order = name, order[count:]
    table.loc[train, "split"] = drawn
    _check_train(table, problems)
    return f"split as the data say, {' and '.join(lacking)} taken out of train at random"


def _stratified(table: pd.DataFrame, shares: tuple[float, ...], seed: int, problems: Problems) -> np.ndarray:
    for name, count in table["class"].value_counts().items():
        if count < 3:
            problems.add("small classes", f"{name}: {count} subtomograms; three splits need 3 at least")
    return split(pd.factorize(table["class"], sort=True)[0], shares, seed)


def _check_train(table: pd.DataFrame, problems: Problems) -> None:
    trained = set(table.loc[table["split"] == "train", "class"])
    for name in sorted(set(table["class"]) - trained):
        problems.add("classes without training data", f"{name}: none of its subtomograms is in the train split")
