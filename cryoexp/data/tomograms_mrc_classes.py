"""Which number in a label file is which class."""

from collections.abc import Mapping, Sequence

from cryoexp.data.label_grey import GreyMask
from cryoexp.data.label_sources import ClassMasks
from cryoexp.data.placed_labels import PlacedLabels
from cryoexp.data.places import IGNORE
from cryoexp.data.real_files import natural
from cryoexp.data.real_problems import Problems
from cryoexp.data.tomograms_mrc_pairs import Pair
from cryoexp.data.tomograms_mrc_scan import Scanned
from cryoexp.errors import ConfigError

BACKGROUND, IGNORED = "background", "ignore"
MOST = 254  # classes: 255 is what is ignored

Remap = Mapping[int, str | int]


def tidy(classes: Sequence[str] | None) -> list[str] | None:
    """Return class names without blanks, background first; None stays None.

    Raises:
        ConfigError: a name twice, none at all, or one that means something else.
    """
    if classes is None:
        return None
    names = ["_".join(str(name).split()) for name in classes]
    names = names if names[:1] == [BACKGROUND] else [BACKGROUND, *names]
    if len(set(names)) < len(names) or IGNORED in names or not 1 < len(names) <= MOST:
        raise ConfigError(
            f"dataset.classes={list(classes)}: give different names of one class or more, in the order of their "
            f"numbers from 1; {BACKGROUND} is 0 anyway, and {IGNORED} means something else"
        )
    return names


def check_remap(remap: Remap | None, classes: Sequence[str] | None) -> dict[int, int | str] | None:
    """Return a remap by whole numbers.

    Raises:
        ConfigError: a number or a class that cannot be meant.
    """
    if remap is None:
        return None
    out: dict[int, int | str] = {}
    for old, new in remap.items():
        name = new if isinstance(new, int) else "_".join(str(new).split())
        known = classes is None or name in (BACKGROUND, IGNORED, *classes)
        fits = (isinstance(name, str) and known) or (classes is not None and name in (*range(len(classes)), IGNORE))
        if not str(old).lstrip("-").isdigit() or not fits:
            raise ConfigError(
                f"dataset.remap={{{old}: {new}}}: maps numbers in the files to names in dataset.classes, to "
                f"{BACKGROUND} or to {IGNORED}"
            )
        out[int(old)] = name
    return out


def names_known(
    classes: list[str] | None,
    remap: Mapping[int, int | str] | None,
    described: list[str] | None,
    pairs: Sequence[Pair],
) -> list[str] | None:
    """Return the classes, background first, as far as they are known before labels are read; None: by their numbers.

    In this order: as given; those that the remap names; those of a dataset of ours; those of the masks.
    """
    if classes:
        return classes
    if remap:
        named = [n for n in dict.fromkeys(map(str, remap.values())) if n not in (BACKGROUND, IGNORED)]
        return [BACKGROUND, *named]
    if described:
        return described
    masks = sorted({name for pair in pairs for name in pair.masks}, key=natural)
    return [BACKGROUND, *masks] if masks else None


def settle(
    names: list[str] | None,
    remap: Mapping[int, int | str] | None,
    scanned: Sequence[Scanned],
    problems: Problems,
) -> tuple[list[str], list[dict[int, int]]]:
    """Say what each number stands for.

    Args:
        names: classes, background first, see `names_known`; None: each number that is found is a class.
        remap: number in the files to class.
        scanned: tomograms with their labels.
        problems: to which numbers that are no class are added.

    Returns:
        Names of the classes, and for each tomogram what its numbers mean, 255 for what is ignored.
    """
    always = {0: 0, IGNORE: IGNORE}
    if names is None:
        numbers = sorted({int(n) for s in scanned for n in s.found.numbers} - set(always))
        names = [BACKGROUND, *(f"class_{n}" for n in numbers)]
        known = always | {n: i for i, n in enumerate(numbers, start=1)}
        if scanned and not 0 < len(numbers) <= MOST:
            text = (
                f"{len(numbers):,} different numbers in the labels; name the classes: dataset.classes or dataset.remap"
            )
            problems.add("no classes", text)
            known = always
    elif remap:
        ids = {name: i for i, name in enumerate(names)} | {IGNORED: IGNORE}
        known = always | {old: new if isinstance(new, int) else ids[new] for old, new in remap.items()}
    else:
        known = always | {i: i for i in range(len(names))}
    masks = always | {i: i for i in range(len(names))}
    meaning = [masks if isinstance(s.labels, ClassMasks | GreyMask | PlacedLabels) else known for s in scanned]
    for one, mine in zip(scanned, meaning, strict=True):
        totals = one.found.counts.sum(0).tolist()
        for number, count in zip(one.found.numbers.tolist(), totals, strict=True):
            if number not in mine and count and len(names) > 1:
                listed = ", ".join(f"{i} {name}" for i, name in enumerate(names[:8])) + (" …" if len(names) > 8 else "")
                text = f"{one.pair.labels}: {number} in {count:,} voxels is no class ({listed})"
                problems.add("unknown labels", f"{text}; say what it is: dataset.remap={{{number}: <class>, …}}")
    return names, meaning
