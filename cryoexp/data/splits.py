"""How datasets are split into train, val and test."""

import numpy as np

from cryoexp.data.datamodule import SPLITS
from cryoexp.errors import ConfigError
from cryoexp.seeds import numpy_generator


def check_split(shares: tuple[float, ...]) -> None:
    """Refuse shares that are not three, or do not add up to one.

    Raises:
        ConfigError: with the key.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"dataset.split={list(shares)}: give three shares that add up to 1")


def are_counts(shares: tuple[float, ...]) -> bool:
    """Whether a split is given by whole numbers of items, not by shares."""
    return all(isinstance(share, int) and not isinstance(share, bool) for share in shares)


def check_split_of(shares: tuple[float, ...], items: int) -> None:
    """Refuse what is neither three shares that add up to one nor three numbers that add up to the items.

    Raises:
        ConfigError: with the key.
    """
    if not are_counts(shares):
        check_split(shares)
    elif len(shares) != 3 or min(shares) < 1 or sum(shares) != items:
        raise ConfigError(
            f"dataset.split={list(shares)}: give three shares that add up to 1, or three numbers of images that add up "
            f"to the {items:,} there are"
        )


def split_counts(counts: tuple[float, ...], seed: int) -> np.ndarray:
    """Assign train, val or test to as many items as ``counts`` says, at random."""
    names = np.repeat(np.array(SPLITS, dtype=object), [int(count) for count in counts])
    return numpy_generator(seed, "split").permutation(names)


def split(labels: np.ndarray, shares: tuple[float, ...], seed: int) -> np.ndarray:
    """Assign train, val or test to each item, the same shares within every class."""
    out = np.empty(len(labels), dtype=object)
    rng = numpy_generator(seed, "split")
    for label in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == label))
        held_out = [max(1, round(share * len(mine))) for share in shares[1:]]
        bounds = np.cumsum([len(mine) - sum(held_out), *held_out])[:-1]
        for name, part in zip(SPLITS, np.split(mine, bounds), strict=True):
            out[part] = name
    return out


def first_of(labels: np.ndarray, count: int) -> np.ndarray:
    """Choose ``count`` items with the same share of every class, and of a smaller count always a part of these.

    Args:
        labels: `(n,)`.
        count: at most n.

    Returns:
        `(count,)` positions in ascending order.
    """
    place = np.empty(len(labels))  # of an item within its class, 0 to 1
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.sort(np.argsort(place, kind="stable")[:count])


def check_counts(counts: tuple[int, ...]) -> None:
    """Refuse numbers of tomograms that are not three, or leave a split empty.

    Raises:
        ConfigError: with the key.
    """
    if len(counts) != 3 or not all(isinstance(n, int) and n > 0 for n in counts):
        raise ConfigError(f"dataset.split={list(counts)}: give the numbers of tomograms for train, val and test")


def splits_of(counts: tuple[int, ...]) -> list[str]:
    """Name the split of each tomogram, in order."""
    return [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
