"""A cell as soft X-ray tomography sees it: linear absorption, and the whole truth about its membranes and organelles.

A flattened adherent cell in vitreous ice with filopodia, nucleus, mitochondria, vesicles and lipid droplets.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from cryoexp.errors import ConfigError
from cryoexp.simulate.cell_absorption import paint
from cryoexp.simulate.cell_distance import Array
from cryoexp.simulate.cell_parts import OUTLINE, cell_body, nucleolus, nucleus, plasma_membrane
from cryoexp.simulate.cell_room import Organelle, Room, balls, mitochondria

COMPARTMENTS = (
    "outside", "cytoplasm", "nucleus", "nucleolus", "mitochondrion", "vesicle", "droplet", "fiducial",
)  # fmt: skip
MEMBRANED = ("nucleus", "mitochondrion", "vesicle")
TRUSTED = 12.0  # voxels: distances to the nearest membrane are clipped here
DIAMETER = {  # nm
    "filopodium": (100, 300),
    "mitochondrion": (250, 400),
    "vesicle": (120, 450),
    "droplet": (120, 400),
    "fiducial": (100, 200),
}
MITOCHONDRION_LENGTH = (500, 1800)  # nm


@dataclass(frozen=True, kw_only=True)
class CellRecipe:
    """What cells are drawn. Numbers of organelles are inclusive ranges: as many of those drawn as find room.

    Args:
        shape: z, y, x of the box in voxels.
        voxel_size: Å; organelles have their size in nanometres, the cell fills the box.
        body: mean radius of the cell from above as a share of half the box.
        edge: voxels of ice left around the cell and its filopodia.
        membrane: thickness of all membranes in voxels.
        filopodia: fewest and most.
        mitochondria: fewest and most.
        vesicles: fewest and most.
        droplets: fewest and most, of lipid, without membrane.
        fiducials: fewest and most gold beads, in the ice.

    Raises:
        ConfigError: a value is impossible, or the box is too small for the cell.
    """

    shape: tuple[int, int, int]
    voxel_size: float
    body: float
    edge: float
    membrane: float
    filopodia: tuple[int, int]
    mitochondria: tuple[int, int]
    vesicles: tuple[int, int]
    droplets: tuple[int, int]
    fiducials: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("voxel_size", "membrane"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"dataset.cell.{name}={getattr(self, name)} must be positive")
        for name in ("filopodia", "mitochondria", "vesicles", "droplets", "fiducials"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ConfigError(
                    f"dataset.cell.{name}=[{low}, {high}] must be a range [fewest, most] of numbers from 0 up"
                )
        if self.edge < self.membrane:
            raise ConfigError(
                f"dataset.cell.edge={self.edge} must be at least the membrane's thickness, {self.membrane}"
            )
        if self.shape[0] < 2 * self.edge + 4 * self.gap:
            least = int(np.ceil(2 * self.edge + 4 * self.gap))
            raise ConfigError(
                f"dataset.cell.shape={tuple(self.shape)} is too small: a nucleated cell takes {least} voxels in z"
            )
        most = (1 - 2 * self.edge / min(self.shape[1:])) / (1 + OUTLINE)
        if not 0 < self.body <= most:
            raise ConfigError(
                f"dataset.cell.body={self.body} must lie in 0..{most:.2f} for a box of {tuple(self.shape)}"
            )

    @property
    def gap(self) -> float:
        """Voxels between the middles of two membranes: two voxels stay free between their outlines."""
        return self.membrane + 2

    def voxels(self, nanometres: float) -> float:
        """A length in voxels."""
        return nanometres * 10 / self.voxel_size


@dataclass(frozen=True)
class Cell:
    """A cell and its truth; volumes are `(z, y, x)`, distances in voxels and negative inside.

    Attributes:
        absorption: float32, 1/µm.
        labels: uint8, 1 in the membranes with their thickness: plasma, nuclear, mitochondrial, of vesicles.
        compartments: uint8, index into `COMPARTMENTS`; membranes are divided at their middle.
        instances: uint16, 0 or the number of the organelle from 1; a nucleolus is apart from its nucleus.
        kinds: compartment of each instance, in order.
        distance: float32, to the middle of the nearest membrane, clipped to ±`TRUSTED`.
        plasma: float32, to the middle of the plasma membrane.
        vertices: `(n, 3)` float32 x, y, z in Å of the plasma membrane, voxel 0 at the origin.
        faces: `(m, 3)` int32, seen counter-clockwise from outside.
    """

    absorption: NDArray[np.float32]
    labels: NDArray[np.uint8]
    compartments: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    kinds: tuple[str, ...]
    distance: NDArray[np.float32]
    plasma: NDArray[np.float32]
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]


def make_cell(recipe: CellRecipe, generator: np.random.Generator) -> Cell:
    """Draw one cell.

    Raises:
        ConfigError: the cell has no room for its nucleus or for the fewest organelles asked for.
    """
    body = cell_body(recipe.shape, recipe.body, recipe.edge, generator)
    plasma = plasma_membrane(body, recipe.edge, _radii(recipe, "filopodium", recipe.filopodia, generator), generator)
    organelles = _fill(recipe, plasma, generator)
    distance = _nearest_membrane(plasma, organelles)
    compartments, instances = _assign(plasma, organelles)
    vertices, faces, _, _ = marching_cubes(plasma, 0.0, gradient_direction="ascent")
    return Cell(
        absorption=paint(plasma, distance, organelles, recipe.membrane, generator),
        labels=(np.abs(distance) <= recipe.membrane / 2).astype(np.uint8),
        compartments=compartments,
        instances=instances,
        kinds=tuple(o.kind for o in organelles),
        distance=distance,
        plasma=plasma,
        vertices=(vertices[:, ::-1] * recipe.voxel_size).astype(np.float32),
        faces=faces.astype(np.int32),
    )


def _radii(recipe: CellRecipe, kind: str, number: tuple[int, int], generator: np.random.Generator) -> Array:
    low, high = DIAMETER[kind]
    count = generator.integers(number[0], number[1] + 1)
    return recipe.voxels(1) * np.exp(generator.uniform(np.log(low), np.log(high), count)) / 2  # many small, few large


def _fill(recipe: CellRecipe, plasma: Array, generator: np.random.Generator) -> list[Organelle]:
    """Nucleus, nucleolus, mitochondria, vesicles and droplets in the cell, gold outside, none touching another."""
    largest = max(DIAMETER[kind][1] for kind in ("mitochondrion", "vesicle", "droplet", "fiducial")) / 2
    reach = max(recipe.voxels(largest) + recipe.gap + 1, TRUSTED)
    found = [nucleus(plasma, recipe.gap, reach, generator)]
    room = Room(-plasma, recipe.gap, reach)
    room.occupy(found[0])
    found += [part for part in [nucleolus(found[0], generator)] if part]
    radii = _radii(recipe, "mitochondrion", recipe.mitochondria, generator)
    lengths = recipe.voxels(1) * generator.uniform(*MITOCHONDRION_LENGTH, len(radii))
    found += _enough("mitochondria", recipe.mitochondria[0], list(mitochondria(radii, lengths, room, generator)))
    for kind, name in (("vesicle", "vesicles"), ("droplet", "droplets")):
        found += _balls(recipe, kind, name, room, generator)
    return found + _balls(recipe, "fiducial", "fiducials", Room(_to_faces(plasma), recipe.gap, reach), generator)


def _balls(recipe: CellRecipe, kind: str, name: str, room: Room, generator: np.random.Generator) -> list[Organelle]:
    number = getattr(recipe, name)
    radii = _radii(recipe, kind, number, generator)
    smallest = recipe.voxels(DIAMETER[kind][0]) / 2
    return _enough(name, number[0], list(balls(kind, radii, smallest, room, generator)))


def _enough(name: str, fewest: int, placed: list[Organelle]) -> list[Organelle]:
    if len(placed) < fewest:
        raise ConfigError(
            f"dataset.cell.{name}: only {len(placed)} of at least {fewest} find room; ask for fewer or a larger shape"
        )
    return placed


def _to_faces(plasma: Array) -> Array:
    """Free distance outside the cell: to the plasma membrane or the nearest face of the box."""
    free = plasma
    for axis, n in enumerate(plasma.shape):
        along = np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.float32)
        free = np.minimum(free, np.expand_dims(along, tuple({0, 1, 2} - {axis})))
    return free


def _nearest_membrane(plasma: Array, organelles: list[Organelle]) -> Array:
    nearest = np.clip(plasma, -TRUSTED, TRUSTED)
    for organelle in organelles:
        if organelle.kind in MEMBRANED:
            part = nearest[organelle.box]
            np.copyto(part, organelle.distance, where=np.abs(organelle.distance) < np.abs(part))
    return nearest


def _assign(plasma: Array, organelles: list[Organelle]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Compartment and instance of each voxel by its centre; a later organelle (a nucleolus) lies in an earlier one."""
    compartments = (plasma <= 0).astype(np.uint8)
    instances = np.zeros(plasma.shape, np.uint16)
    for number, organelle in enumerate(organelles, start=1):
        inside = organelle.distance <= 0
        compartments[organelle.box][inside] = COMPARTMENTS.index(organelle.kind)
        instances[organelle.box][inside] = number
    return compartments, instances
