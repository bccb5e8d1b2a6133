"""The story of scripts/mesh.py: MRC files to meshes and tables."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from cryoexp.cli import CONF
from cryoexp.config.keys import read_keys, refuse_others
from cryoexp.data.places import IGNORE
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.files import find_files
from cryoexp.inference.output import whole_folder
from cryoexp.io.mesh import unit_length
from cryoexp.io.mesh_files import check_format
from cryoexp.io.mrc import MappedVolume, open_volume
from cryoexp.progress import console
from cryoexp.report.manifest import command, git_commit, versions, write_json
from cryoexp.tasks.surface.keys import Span, check_numbers, check_switches
from cryoexp.tasks.surface.mesh_products import write_surfaces
from cryoexp.tasks.surface.surfaces import KINDS, Rule, make_surfaces
from cryoexp.tasks.surface.volume import voxels_of

PERCENT = 100.0  # probabilities written as whole numbers
SLAB = 16  # slices looked at once
BEYOND = 0.01  # by which rounding may carry probabilities over their ends
SHOWN = 10  # numbers in one message
MANY = 40  # classes that nobody has
ENDINGS = (".gz", ".bz2", ".mrc", ".map", ".rec", ".st")


def make_meshes(arguments: Sequence[str]) -> None:
    """Make the meshes that ``key=value`` arguments ask for; see conf/mesh.yaml.

    Raises:
        CryoexpError: whatever is wrong with arguments or input; nothing is written then.
    """
    started = time.monotonic()
    keys, others = read_keys(arguments, CONF / "mesh.yaml")
    refuse_others(others, keys)
    classes = _checked(keys)
    files = find_files(keys.input)
    names = [_stem(file) for file in files]
    if len(set(names)) < len(names):
        raise ConfigError(f"input={keys.input}: two files of one name would give meshes of one name")
    with whole_folder(Path(keys.output).expanduser().resolve(), keys.overwrite) as folder:
        done = [_one(file, name, keys, classes, folder) for file, name in zip(files, names, strict=True)]
        facts = {"command": command(), "keys": OmegaConf.to_container(keys), "volumes": done}
        facts |= {"git_commit": git_commit(), "versions": versions()}
        write_json(folder / "manifest.json", {**facts, "wall_s": round(time.monotonic() - started, 1)})
    console.print(str(Path(keys.output).expanduser().resolve()))


def _checked(keys: DictConfig) -> dict[int, str] | None:
    """Check what `Rule` does not, before any file is read; return the names of the classes."""
    unit_length(keys.unit)
    given = [keys.formats] if isinstance(keys.formats, str) else keys.formats
    keys.formats = [check_format(str(name)) for name in given or []]
    if keys.kind not in ("auto", *KINDS):
        raise ConfigError(f"kind={keys.kind}: choose one of auto, {', '.join(KINDS)}")
    check_switches("", keys, ["overwrite"])
    for name in ("voxel_size", "minimum_nm3"):
        if keys[name] is not None:
            check_numbers("", keys, {name: Span(above=True)})
    _rule(keys, 1.0)
    return _classes(OmegaConf.to_container(keys).get("classes"))  # type: ignore[union-attr]


def _rule(keys: DictConfig, voxel_size: float) -> Rule:
    values: dict[str, Any] = {f.name: keys[f.name] for f in fields(Rule)}
    if keys.minimum_nm3 is not None:
        values["minimum"] = voxels_of(keys.minimum_nm3, voxel_size)
    return Rule(**values)


def _classes(given: Any) -> dict[int, str] | None:
    """``{1: membrane}``, ``[1, 2]`` or ``1``, as names by number."""
    if given is None:
        return None
    try:
        if isinstance(given, Mapping):
            named = {int(number): str(name) for number, name in given.items()}
        else:
            named = {int(n): f"class_{int(n)}" for n in (given if isinstance(given, list) else [given])}
    except (TypeError, ValueError):
        raise ConfigError(f"classes={given}: numbers, or names by number, as {{1: membrane}}") from None
    if not named or min(named) < 1 or len(set(named.values())) < len(named):
        raise ConfigError(f"classes={given}: whole numbers from 1 (0 is background), each with a name of its own")
    return named


def _one(path: Path, name: str, keys: DictConfig, classes: dict[int, str] | None, folder: Path) -> dict[str, Any]:
    """Make and write the surfaces of one file."""
    volume = open_volume(path, keys.voxel_size)
    rule = _rule(keys, volume.voxel_size)
    try:
        kind = keys.kind if keys.kind != "auto" else _kind(volume.data)
        values = _values(volume, kind)
        made = make_surfaces(values, volume.voxel_size, volume.origin, rule, kind, classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if not made.components:
        raise DataError(f"{path}: {_nothing(values, kind, rule, classes)}")
    for cls in sorted(set((classes or {}).values()) - {surface.cls for surface in made.components}):
        if kind == "labels":
            console.print(f"{name}: no component of {cls} with {rule.minimum} voxels or more")
    written = write_surfaces(made, folder, name, keys.formats, keys.unit, source=str(path.resolve())).paths
    faces = sum(len(mesh.faces) for mesh in made.meshes)
    console.print(f"{name}: {len(made.components)} components, {faces} triangles ({kind})")
    return {
        "input": str(path.resolve()),
        "kind": kind,
        "voxel_size": volume.voxel_size,
        "origin": list(volume.origin),
        "components": len(made.components),
        "triangles": faces,
        "files": [file.name for file in written],
        **made.facts,
    }


def _kind(data: np.ndarray) -> str:
    """Labels if all are whole numbers, otherwise a probability.

    Raises:
        DataError: bytes that may be either.
    """
    if data.dtype.kind in "iub":
        there = {int(n) for i in range(0, len(data), SLAB) for n in np.unique(data[i : i + SLAB])}
        if data.dtype.itemsize == 1 and len(there) > MANY and min(there) >= 0 and max(there) <= PERCENT:
            raise DataError(
                f"{len(there)} different numbers from 0 to {PERCENT}: are they probabilities in per cent, as predict "
                "writes them, or labels? Give kind=probability, kind=labels or kind=instances"
            )
        return "labels"
    whole = all(bool((np.rint(s) == s).all()) for s in (data[i : i + SLAB] for i in range(0, len(data), SLAB)))
    return "labels" if whole else "probability"


def _values(volume: MappedVolume, kind: str) -> np.ndarray:
    """Whole numbers of labels, 0 where they are ignored (255); shares of probabilities written in per cent."""
    data = volume.data
    integers = data.dtype.kind in "iub"
    if kind == "probability":
        _check_shares(data, PERCENT if integers else 1.0)
        if not integers:
            return data
        return np.asarray(data, dtype=np.float32) / np.float32(PERCENT)
    if integers and (kind == "instances" or not any((plane == IGNORE).any() for plane in data)):
        return data
    out = np.empty(data.shape, np.int32)
    for i in range(0, len(data), SLAB):
        slab = np.asarray(data[i : i + SLAB])
        if not (np.rint(slab) == slab).all():
            raise DataError(f"kind={kind}: labels are whole numbers, but the file holds others. Give kind=probability")
        out[i : i + SLAB] = slab
        if kind == "labels":
            out[i : i + SLAB][slab == IGNORE] = 0
    return out


def _check_shares(data: np.ndarray, most: float) -> None:
    """Refuse what is no probability, a tomogram for example."""
    ends = np.array([(slab.min(), slab.max()) for slab in (data[i : i + SLAB] for i in range(0, len(data), SLAB))])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if np.isnan(low + high):
        raise DataError("holds NaN; labels are whole numbers, and probabilities lie between 0 and 1")
    if not (low >= -BEYOND * most and high <= (1 + BEYOND) * most):
        raise DataError(
            f"probabilities lie between 0 and {most:g}, the file holds {low:g} to {high:g}. Labels are whole numbers; "
            "a tomogram has to be segmented first"
        )


def _nothing(values: np.ndarray, kind: str, rule: Rule, classes: dict[int, str] | None) -> str:
    """Why there is no component."""
    if kind == "probability":
        return (
            f"no component of {rule.minimum} voxels or more above a level of {rule.level:g}. Lower minimum= or level="
        )
    there = sorted({int(n) for plane in values for n in np.unique(plane)} - {0})
    if not there:
        return "no component: the volume is empty, all voxels are 0"
    if kind == "labels" and classes and not set(classes) & set(there):
        listed = ", ".join(map(str, there[:SHOWN])) + (" …" if len(there) > SHOWN else "")
        return f"no component of classes={sorted(classes)}: the volume holds {listed}"
    return f"no component of {rule.minimum} voxels or more ({kind}). Lower minimum="


def _stem(path: Path) -> str:
    name = path.name
    while name.endswith(ENDINGS):
        name = name.rpartition(".")[0]
    return name
