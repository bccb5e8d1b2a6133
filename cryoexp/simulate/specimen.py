"""Putting a specimen together: what stands first (film, filaments, membranes, gold), then particles by size."""

from collections.abc import Sequence

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.simulate.bound import place_bound
from cryoexp.simulate.landscape import build_landscape
from cryoexp.simulate.packing import Packing, Placed, pack
from cryoexp.simulate.recipe import SceneRecipe
from cryoexp.simulate.scene import Scene
from cryoexp.simulate.templates import Template
from cryoexp.simulate.zoo import VOLUME_PER_DALTON

SHORTFALL = 0.1  # of the mass asked for that may stay unplaced


def build_scene(
    recipe: SceneRecipe,
    templates: Sequence[Template],
    shape: tuple[int, int, int],
    voxel_size: float,
    rng: np.random.Generator,
) -> Scene:
    """Put a specimen together.

    Args:
        recipe: what it holds.
        templates: one per class of particle.
        shape: (z, y, x) voxels.
        voxel_size: Å.
        rng: draws everything.

    Raises:
        ConfigError: something does not fit.
    """
    _check_sizes(templates, shape, voxel_size)
    quotas = _quotas(recipe, templates, float(np.prod(shape)) * voxel_size**3, rng)
    packing = Packing(shape, rng)
    stands = build_landscape(packing, recipe, voxel_size)
    on_membranes = [round(recipe.membrane_bound * q) for q in quotas]
    bound, home = place_bound(packing, templates, on_membranes, stands.membranes, voxel_size)
    free = [q - int((bound.classes == i).sum()) for i, q in enumerate(quotas)]
    loose = pack(packing, templates, free, recipe.gap, recipe.touching, first=len(bound.classes) + 1)
    placed = Placed(*(np.concatenate(pair) for pair in zip(bound.columns(), loose.columns(), strict=True)))
    check_shortfall(quotas, placed, templates)
    return Scene(
        shape=shape,
        voxel_size=voxel_size,
        templates=templates,
        particles=placed,
        bound_to=np.concatenate([home, np.full(len(loose.classes), -1)]),
        instances=packing.instances,
        membranes=stands.membranes,
        filaments=stands.filaments,
        beads=stands.beads,
        carbon=stands.carbon,
    )


def _quotas(recipe: SceneRecipe, templates: Sequence[Template], volume: float, rng: np.random.Generator) -> list[int]:
    """How many particles of each class; fractions are rounded up or down at random, so that the mean is right."""
    numbers = recipe.numbers or {t.name: 1.0 for t in templates}
    unknown = sorted(set(numbers) - {t.name for t in templates})
    if unknown:
        known = ", ".join(t.name for t in templates)
        raise ConfigError(f"dataset.scene.numbers names {', '.join(unknown)}; dataset.structures has {known}")
    weights = np.array([float(numbers.get(t.name, 0)) for t in templates])
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ConfigError(f"dataset.scene.numbers={dict(numbers)}: numbers of particles must be 0 or more, and finite")
    if recipe.mass_fraction is None:
        if (weights != weights.round()).any():
            raise ConfigError(f"dataset.scene.numbers={dict(numbers)}: without mass_fraction these are counts")
        return [int(w) for w in weights]
    mass = sum(w * t.mass for w, t in zip(weights, templates, strict=True)) * 1000 * VOLUME_PER_DALTON
    expected = weights * (recipe.mass_fraction * volume / mass if mass else 0)
    return [int(n) for n in np.floor(expected + rng.random(len(weights)))]


def _check_sizes(templates: Sequence[Template], shape: tuple[int, int, int], voxel_size: float) -> None:
    for t in templates:
        if 2 * t.radius > min(shape):
            raise ConfigError(
                f"dataset.shape={list(shape)}: {t.name} is {2 * t.radius:.0f} voxels of {voxel_size:g} Å across. "
                "Use a larger shape or coarser voxels, or leave it out"
            )


def check_shortfall(quotas: Sequence[int], placed: Placed, templates: Sequence[Template]) -> None:
    """Refuse a packing in which much of the mass asked for found no room.

    Raises:
        ConfigError: with what is missing.
    """
    wanted = sum(q * t.mass for q, t in zip(quotas, templates, strict=True))
    found = sum(templates[i].mass for i in placed.classes)
    if found < (1 - SHORTFALL) * wanted:
        missing = {
            t.name: q - int((placed.classes == i).sum())
            for i, (q, t) in enumerate(zip(quotas, templates, strict=True))
            if q > (placed.classes == i).sum()
        }
        raise ConfigError(
            f"dataset: only {found / wanted:.0%} of the particles' mass found room (missing: {missing}). "
            "Ask for less (mass_fraction or numbers), or leave a smaller gap"
        )
