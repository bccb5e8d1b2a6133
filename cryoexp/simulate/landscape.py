"""What stands in a specimen before particles come: carbon film, filaments, membranes, gold beads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.simulate.filaments import Filament, random_filament, within
from cryoexp.simulate.film import Bead, Carbon, random_edge
from cryoexp.simulate.membranes import Membrane
from cryoexp.simulate.packing import Packing
from cryoexp.simulate.random_membranes import random_membrane
from cryoexp.simulate.recipe import SceneRecipe

TRIES = 16  # of a place for one thing
LAYOUTS = 60  # of everything, when one thing finds no place


@dataclass(frozen=True)
class Landscape:
    """Everything but particles."""

    carbon: Carbon | None
    filaments: list[Filament]
    membranes: list[Membrane]
    beads: list[Bead]


class _NoRoom(Exception):
    """No place for one of the things in one layout; another layout may have it."""


def build_landscape(packing: Packing, recipe: SceneRecipe, voxel_size: float) -> Landscape:
    """Lay everything out without overlap, and block its voxels for particles.

    Raises:
        ConfigError: no layout was found in which everything has room.
    """
    for _ in range(LAYOUTS):
        packing.blocked[:] = False
        try:
            return _layout(packing, recipe, voxel_size)
        except _NoRoom as error:
            last = str(error)
    raise ConfigError(
        f"dataset.scene: no room for {last} beside everything else in {LAYOUTS} layouts. Use fewer or smaller "
        "membranes, filaments or beads, or a larger dataset.shape"
    )


def _layout(packing: Packing, recipe: SceneRecipe, voxel_size: float) -> Landscape:
    # what is large and has the fewest places comes first
    filaments = [
        _filament(packing, kind, recipe.filament_lean, voxel_size)
        for kind, n in recipe.filaments.items()
        for _ in range(n)
    ]
    carbon = _carbon(packing, recipe, voxel_size) if recipe.carbon else None
    entries = sorted(recipe.membranes, key=lambda entry: -max(entry["radius"]))
    membranes = [_membrane(packing, entry, recipe, voxel_size) for entry in entries for _ in range(entry["count"])]
    beads = [_bead(packing, recipe.bead_radius, voxel_size) for _ in range(recipe.beads)]
    return Landscape(carbon, filaments, membranes, beads)


def _carbon(packing: Packing, recipe: SceneRecipe, voxel_size: float) -> Carbon:
    for _ in range(TRIES):
        carbon = random_edge(packing.shape, voxel_size, recipe.carbon_hole, recipe.carbon_thickness, packing.rng)
        if _take(packing, carbon.inside(packing.shape, voxel_size)):
            return carbon
    raise _NoRoom("a carbon film")


def _filament(packing: Packing, kind: str, lean: float, voxel_size: float) -> Filament:
    for _ in range(10 * TRIES):
        filament = random_filament(kind, packing.shape, voxel_size, packing.rng, lean)
        # a quick look at the monomers first: most tries end here
        if _meets(packing, filament.monomers / voxel_size):
            continue
        if _take(packing, within(filament, filament.radius, packing.shape, voxel_size)):
            return filament
    raise _NoRoom(f"a {kind}")


def _membrane(packing: Packing, entry: dict[str, Any], recipe: SceneRecipe, voxel_size: float) -> Membrane:
    for _ in range(5 * TRIES):
        membrane = random_membrane(
            entry["kind"],
            packing.shape,
            voxel_size,
            packing.rng,
            radius=entry["radius"],
            thickness=recipe.bilayer_thickness,
            sigma=recipe.leaflet_sigma,
            gap=recipe.bilayer_gap if entry["double"] else None,
        )
        if _take(packing, membrane.span(membrane.surface_distance(packing.shape, voxel_size))):
            return membrane
    raise _NoRoom(f"a {entry['kind']} of radius {list(entry['radius'])} Å")


def _bead(packing: Packing, radius: tuple[float, float], voxel_size: float) -> Bead:
    size = np.array(packing.shape[::-1]) * voxel_size
    for _ in range(TRIES):
        r = packing.rng.uniform(*radius)
        x, y, z = packing.rng.uniform(r, np.maximum(size - r, r))
        bead = Bead((float(x), float(y), float(z)), float(r))
        if _take(packing, bead.distance(packing.shape, voxel_size) <= 0):
            return bead
    raise _NoRoom(f"a bead of radius {list(radius)} Å")


def _meets(packing: Packing, points: np.ndarray) -> bool:
    """Whether one of the `(n, 3)` points x, y, z in voxels lies on a blocked voxel."""
    index = np.rint(points[:, ::-1]).astype(int)
    inside = ((index >= 0) & (index < packing.shape)).all(axis=1)
    return bool(packing.blocked[tuple(index[inside].T)].any())


def _take(packing: Packing, voxels: np.ndarray) -> bool:
    """Block voxels that are all free; false where some are taken, or none lies in the volume."""
    if not voxels.any() or (voxels & packing.blocked).any():
        return False
    packing.blocked |= voxels
    return True
