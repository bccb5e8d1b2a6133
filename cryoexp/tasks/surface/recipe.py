"""From labels to measured surfaces of one tomogram: what the task asks for, and the steps in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from cryoexp.errors import ConfigError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mesh import UNITS
from cryoexp.io.mesh_files import FORMATS
from cryoexp.progress import console
from cryoexp.tasks.segment.components import remove_small
from cryoexp.tasks.segment.volume_files import KINDS, share_of
from cryoexp.tasks.surface.filopodia import Filopodia, measure_filopodia
from cryoexp.tasks.surface.keys import FILOPODIA, check_mapping
from cryoexp.tasks.surface.mesh_products import Written, write_surfaces
from cryoexp.tasks.surface.protrusions import LARGEST
from cryoexp.tasks.surface.surfaces import Rule, Surface, Surfaces, make_surfaces
from cryoexp.tasks.surface.units import table_unit
from cryoexp.tasks.surface.volume import fill_cavities, fill_slices, smooth_z

ANGSTROM_PER_NM = 10.0
SOURCES = ("probability", "labels")
APART = 1e-3  # of a probability from the level of its surface, at least
BRIDGE = 2  # voxels: gaps of an outline up to twice this are closed before it is filled
STEADY = 0.7  # of the area of a filled cell that the next slice has at least
CELL = 1  # class that bounds a cell with filopodia


@dataclass(frozen=True)
class Recipe:
    """What is made of the answers of the network.

    Args:
        rule: of the volume step and of surfaces; its level is that of the learned threshold.
        source: probability or labels: what surfaces are laid through.
        formats: of mesh files; without any, no surfaces are made.
        unit: of mesh files and tables, nm or angstrom.
        filopodia: ``opening`` and ``least`` in nm, see `measure_filopodia`; None: not looked for.
        probabilities: float16, percent or none: how they are written.

    Raises:
        ConfigError: an impossible value.
    """

    rule: Rule
    source: str
    formats: Sequence[str]
    unit: str
    filopodia: Mapping[str, float] | None
    probabilities: str

    def __post_init__(self) -> None:
        names = (
            ("surface_from", [self.source], SOURCES), ("probabilities", [self.probabilities], KINDS),
            ("unit", [self.unit], UNITS), ("formats", [name.lower() for name in self.formats], FORMATS),
        )  # fmt: skip
        for key, given, known in names:
            for value in given:
                if value not in known:
                    raise ConfigError(f"task.{key}={value}: choose one of {', '.join(known)}")
        if self.source == "probability" and self.probabilities == "none":
            raise ConfigError("task.probabilities=none has nothing for task.surface_from=probability. Give =labels")
        if self.source == "probability" and self.rule.z_rule == "or":
            raise ConfigError("task.surface.z_rule=or is a rule for labels. Give task.surface_from=labels")
        if self.filopodia is not None:
            check_mapping("task.filopodia", self.filopodia, FILOPODIA, " in nm, or null")


def make_recipe(
    surface: Mapping[str, Any], source: str, formats: Any, unit: str, filopodia: Any, probabilities: str
) -> Recipe:
    """Make a recipe from the keys of the task; see `Recipe`.

    Raises:
        ConfigError: see `Recipe` and `cryoexp.tasks.surface.surfaces.Rule`; a key that is none of these.
    """
    known = [field.name for field in fields(Rule) if field.name != "level"]  # that is learned
    if not isinstance(surface, Mapping) or not set(surface) <= set(known):
        raise ConfigError(f"task.surface={surface}: give some of {', '.join(known)}")
    try:
        rule = Rule(**surface)
    except ConfigError as error:
        raise ConfigError(f"task.surface.{error}") from None
    names = [formats] if isinstance(formats, str) else [str(name) for name in formats or []]
    return Recipe(rule, source, names, unit, filopodia, probabilities)


def clean(labels: np.ndarray, rule: Rule, classes: int) -> None:
    """Smooth labels along z, fill holes and drop small components, in place.

    Args:
        labels: `(z, y, x)` class numbers, may be mapped.
        rule: how; voxels are those of the volume.
        classes: how many, background among them.
    """
    if rule.z_sigma or rule.z_rule != "half":
        labels[:] = smooth_z(labels, rule.z_sigma, rule.z_rule)
    fill_cavities(labels, rule.cavities)
    if rule.slice_holes:
        fill_slices(labels, rule.slice_holes)
    remove_small(labels, rule.minimum, classes, rule.connectivity)


def surfaces_of(
    labels: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    thresholds: Sequence[float],
    tomogram: Tomogram,
    classes: Sequence[str],
    recipe: Recipe,
) -> Surfaces:
    """Make the surfaces of all classes.

    Args:
        labels: `(z, y, x)` after `clean`.
        probabilities: as written, by class; not needed for surfaces of labels.
        thresholds: of the classes but the background.
        tomogram: its voxel size and origin.
        classes: their names, background first.
        recipe: how.
    """
    size, origin = tomogram.volume.voxel_size, tomogram.volume.origin
    done = replace(recipe.rule, z_sigma=0.0, z_rule="half", cavities=0, slice_holes=0)  # by `clean`
    if recipe.source == "labels":
        return make_surfaces(labels, size, origin, done, "labels", dict(enumerate(classes[1:], start=1)))
    components: list[Surface] = []
    facts: dict[str, Any] = {}
    for number, (name, level) in enumerate(zip(classes[1:], thresholds, strict=True), start=1):
        given, mine = share_of(np.asarray(probabilities[name])), labels == number
        # on the side of the surface where the label is, whatever smoothing, holes and other classes made of it
        given = level + np.where(mine, 1, -1) * np.maximum(np.abs(given - level), APART)
        made = make_surfaces(given, size, origin, replace(done, level=level), "probability", {1: name})
        components += made.components
        facts |= {f"{key}_{name}": value for key, value in made.facts.items()}
    return Surfaces(components, facts)


def write_measured(
    surfaces: Surfaces, labels: np.ndarray, tomogram: Tomogram, name: str, recipe: Recipe, folder: Path
) -> Written:
    """Write mesh files, measurements and filopodia of one tomogram.

    Args:
        surfaces: of `surfaces_of`.
        labels: `(z, y, x)` after `clean`.
        tomogram: its name, voxel size and origin.
        name: of the files.
        recipe: what.
        folder: that exists.
    """
    filopodia = _filopodia(labels, tomogram, recipe)
    return write_surfaces(
        surfaces, folder, name, recipe.formats, recipe.unit, source=tomogram.name, filopodia=filopodia
    )


def filled_cell(labels: np.ndarray) -> np.ndarray:
    """Fill the membranes of a cell, slice by slice: what they enclose, gaps of a few voxels aside, `(z, y, x)` bool."""
    return np.stack([_filled(np.asarray(plane) == CELL) for plane in labels])


def closed_slices(cell: np.ndarray) -> slice:
    """Return the slices around the fullest of a filled cell `(z, y, x)`, up to where its area drops at once.

    The missing wedge takes away what lies flat: towards the top and the bottom of a cell outlines are open, and what
    is left of them is thin without being a filopodium.
    """
    areas = cell.sum((1, 2))
    first = last = int(areas.argmax())
    while first > 0 and areas[first - 1] >= STEADY * areas[first]:
        first -= 1
    while last < len(areas) - 1 and areas[last + 1] >= STEADY * areas[last]:
        last += 1
    return slice(first, last + 1)


def _filopodia(labels: np.ndarray, tomogram: Tomogram, recipe: Recipe) -> Filopodia | None:
    if recipe.filopodia is None:
        return None
    size = tomogram.volume.voxel_size
    opening, least = (recipe.filopodia[key] * ANGSTROM_PER_NM for key in ("opening", "least"))
    if not 1 <= opening / size <= LARGEST:
        console.print(
            f"{tomogram.name}: filopodia not measured, task.filopodia.opening is {opening / size:g} voxels of "
            f"{size:g} Å and has to be 1 to {LARGEST}"
        )
        return None
    cell = filled_cell(labels)
    span = closed_slices(cell)
    x, y, z = tomogram.volume.origin
    return measure_filopodia(cell[span], size, opening, least, (x, y, z + span.start * size), table_unit(recipe.unit))


def _filled(plane: np.ndarray) -> np.ndarray:
    wide = np.pad(plane, BRIDGE + 1)
    near = ndimage.distance_transform_edt(~wide) <= BRIDGE if plane.any() else wide
    whole = ndimage.distance_transform_edt(ndimage.binary_fill_holes(near)) > BRIDGE
    inner = slice(BRIDGE + 1, -BRIDGE - 1)
    return np.asarray(whole[inner, inner] | plane)
