"""Which annotated slices training may see: so many in all, evenly spread, or a share of each tomogram, at random."""

from collections.abc import Sequence

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.seeds import numpy_generator


def check_choice(count: int | None, share: float | None) -> None:
    """Refuse what is no number or no share of slices, and both at once.

    Raises:
        ConfigError: with the key.
    """
    if count is not None and count < 1:
        raise ConfigError(f"dataset.train_slices={count}: give a number from 1 on, or null for all")
    if share is not None and not 0 < share <= 1:
        raise ConfigError(f"dataset.label_fraction={share}: give a share above 0, up to 1, or null for all")
    if count is not None and share is not None:
        raise ConfigError(
            f"dataset.train_slices={count} and dataset.label_fraction={share} both say which slices keep labels: "
            "give one"
        )


def spread(annotated: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Choose ``count`` of the slices marked in `(z,)` arrays, evenly over all of them in a row.

    Raises:
        ConfigError: there are fewer.
    """
    whole = np.concatenate(annotated)
    known = np.flatnonzero(whole)
    if count > len(known):
        raise ConfigError(f"dataset.train_slices={count}: the training tomograms have {len(known)} annotated slices")
    chosen = np.zeros(len(whole), bool)
    chosen[known[((np.arange(count) + 0.5) * len(known) / count).astype(int)]] = True
    return _apart(chosen, annotated)


def share_of(
    annotated: Sequence[np.ndarray], share: float, sources: Sequence[str], items: Sequence[int], seed: int
) -> list[np.ndarray]:
    """Choose a share of the marked slices of each tomogram at random, one at least.

    A smaller share is always a part of a larger one, so that more labels are never other labels.

    Args:
        annotated: `(z,)` marks of the slices of each file.
        share: of them, to the nearest whole number.
        sources: tomogram that each file is a part of, as images of single slices are.
        items: number of each file; the first of a tomogram decides its draw, beside the seed.
        seed: of the data.
    """
    whole = np.concatenate(annotated)
    owner = np.repeat(np.arange(len(annotated)), [len(mine) for mine in annotated])
    chosen = np.zeros(len(whole), bool)
    for source in dict.fromkeys(sources):
        files = [i for i, name in enumerate(sources) if name == source]
        known = np.flatnonzero(whole & np.isin(owner, files))
        order = numpy_generator(seed, "labels", items[files[0]]).permutation(known)
        chosen[order[: max(1, int(share * len(known) + 0.5))]] = True
    return _apart(chosen, annotated)


def _apart(chosen: np.ndarray, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    return np.split(chosen, np.cumsum([len(mine) for mine in like])[:-1])
