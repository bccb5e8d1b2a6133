"""Templates for matching: known structures in many orientations, as the microscope and the reconstruction show them.

Imaging is linear as long as the specimen is thin, so that what becomes of a single point tells all: the missing wedge,
the CTF in the middle of the specimen, the fading with dose and the filter of the reconstruction.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cryoexp.data.tomogram_recipe import TomogramRecipe
from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import even_rotations, rotation_count
from cryoexp.simulate.structures import load
from cryoexp.simulate.templates import Template, make_templates, render
from cryoexp.simulate.tilt import take_tilt_series
from cryoexp.simulate.tilt_optics import TiltOptics
from cryoexp.tasks.detect.finding import Found
from cryoexp.tasks.detect.peers.blobs import normalised
from cryoexp.tasks.detect.peers.correlate import ball, match, unit
from cryoexp.tasks.detect.peers.tuning import Peer, picks_of, processor_seconds

WEAK = 1e-3  # V of the point: far from where imaging is no longer linear
SPREAD = 2  # voxels by which the images of particles are larger than the particles
DISTANCES = (1.0, 0.7, 1.3, 1.6, 1.9)  # of the smallest radius


class Setting(NamedTuple):
    """Free choices, to be made on validation.

    Args:
        distance: of two picks at least, as a share of the smallest radius.
        scaled: whether the scores of a class are in standard deviations over the tomogram, rather than correlations:
            those of large particles vary less, so that the class with the highest is easily a small one.
    """

    distance: float
    scaled: bool

    def __str__(self) -> str:
        unit = "standard deviations" if self.scaled else "correlations"
        return f"{self.distance:g} r apart, {unit} compared"


class Bank(NamedTuple):
    """Templates of one class.

    Args:
        templates: `(n, e, e, e)` float32, particles bright.
        mask: `(e, e, e)` bool, a ball.
    """

    templates: Tensor
    mask: Tensor


class Maps(NamedTuple):
    """The best template of each class at every voxel.

    Args:
        scores: `(k, z, y, x)` correlation.
        deviations: `(k,)` standard deviation of each.
    """

    scores: np.ndarray
    deviations: np.ndarray


def template_matching(recipe: TomogramRecipe, radii: np.ndarray, step: float, alike: float) -> Peer:
    """Return the method.

    Args:
        recipe: of the tomograms: structures, labels and optics.
        radii: `(k,)` voxels of the classes.
        step: degrees between neighbouring rotations.
        alike: templates of a class that correlate more than this are one, as symmetry makes them.

    Raises:
        ConfigError: a class is not one of structures, or a step that is not between 1 and 180 degrees.
    """
    start = processor_seconds()
    if not 1 <= step <= 180:
        raise ConfigError(f"step={step:g}: give degrees from 1 to 180")
    rotations = even_rotations(rotation_count(step))
    banks = make_banks(recipe, rotations, alike)
    counts = ", ".join(str(len(bank.templates)) for bank in banks)
    dark = recipe.contrast == "dark"
    return Peer(
        name="template matching",
        knows=f"structures, tilts and CTF of the particles; {len(rotations)} rotations {step:g}° apart, of which "
        f"{counts} of the classes' templates differ (correlation below {alike:g})",
        prepare=lambda tomogram: match_all(torch.from_numpy(normalised(tomogram, dark)), banks),
        find=lambda maps, setting: find_matches(maps, radii, setting),
        settings=[Setting(*pair) for pair in product(DISTANCES, (True, False))],
        before=processor_seconds() - start,
    )


def match_all(volume: Tensor, banks: Sequence[Bank]) -> Maps:
    """Match a volume `(z, y, x)` of mean 0 with the templates of all classes."""
    scores = torch.stack([match(volume, bank.templates, bank.mask).scores for bank in banks]).numpy()
    return Maps(scores, scores.std(axis=(1, 2, 3)))


def find_matches(maps: Maps, radii: np.ndarray, setting: Setting) -> Found:
    """Make picks of the maxima over all classes; `(k,)` radii in voxels."""
    scores = maps.scores
    if setting.scaled:
        scores = scores / np.maximum(maps.deviations, 1e-9)[:, None, None, None]
    return picks_of(scores.max(0), setting.distance * float(radii.min()), radii, scores.argmax(0) + 1)


def make_banks(recipe: TomogramRecipe, rotations: Tensor, alike: float) -> list[Bank]:
    """Turn the structures of every class.

    Args:
        recipe: see `template_matching`.
        rotations: `(n, 3, 3)`.
        alike: see `template_matching`.

    Raises:
        ConfigError: a class is not one of structures.
    """
    templates = {t.name: t for t in make_templates(load(recipe.structures, recipe.voxel_size), recipe.voxel_size)}
    labels = recipe.classes(list(templates))
    other = sorted({part for parts in labels.values() for part in parts} - set(templates))
    if other:
        raise ConfigError(f"template matching is for classes of structures; {', '.join(other)} has none")
    largest = max(templates[part].radius for parts in labels.values() for part in parts)
    response = point_response(recipe.optics, recipe.voxel_size, 2 * math.ceil(largest) + 1)
    banks = []
    for parts in labels.values():
        mine = [templates[part] for part in parts]
        radius = max(t.radius for t in mine) + SPREAD
        mask = ball(2 * math.ceil(radius) + 1, radius)
        views = torch.cat([_unlike(turned(t, rotations, len(mask)), mask, alike) for t in mine])
        banks.append(Bank(_unlike(seen(views, response), mask, alike), mask))
    return banks


def point_response(optics: TiltOptics, voxel_size: float, edge: int) -> Tensor:
    """Image and reconstruct a single voxel of matter, brightness for matter: `(edge, edge, edge)`, edge odd.

    Args:
        optics: of the tomograms. Errors of alignment are not known to who looks for particles.
        voxel_size: Å.
        edge: voxels.
    """
    known = replace(optics, shift_error=0.0, angle_error=0.0, surroundings="none")
    point = torch.zeros(edge, edge, edge)
    point[(edge // 2,) * 3] = WEAK
    return -take_tilt_series(point, voxel_size, known, np.random.default_rng(0)).signal / WEAK


def turned(template: Template, rotations: Tensor, edge: int) -> Tensor:
    """Turn a structure about the middle of a box, by `(n, 3, 3)`: `(n, edge, edge, edge)` float32, edge odd."""
    boxes, count = torch.zeros(len(rotations), edge, edge, edge), len(rotations)
    middle = torch.full((count, 3), edge // 2, dtype=torch.float32)
    render(template.density, template.reach, middle, rotations.float(), torch.arange(count), boxes)
    return boxes


def seen(matter: Tensor, response: Tensor) -> Tensor:
    """Image and reconstruct particles.

    Args:
        matter: `(n, e, e, e)`.
        response: `(r, r, r)`, see `point_response`.

    Returns:
        `(n, e, e, e)` float32.
    """
    edge, first = matter.shape[-1], response.shape[-1] // 2
    size = (next_fast_len(edge + response.shape[-1] - 1, real=True),) * 3
    transfer = torch.fft.rfftn(response, s=size)
    out = torch.empty_like(matter)
    for box, image in zip(matter, out, strict=True):
        image.copy_(
            torch.fft.irfftn(torch.fft.rfftn(box, s=size) * transfer, s=size)[(slice(first, first + edge),) * 3]
        )
    return out


def distinct(vectors: Tensor, alike: float) -> list[int]:
    """Choose templates so that no two correlate more than so much: the first, and each unlike those before.

    Args:
        vectors: `(n, k)` of unit length.
        alike: 1: all.
    """
    chosen: list[int] = []
    same: Any = vectors @ vectors.T > alike
    for number in range(len(vectors)):
        if not same[number, chosen].any() or alike >= 1:
            chosen.append(number)
    return chosen


def _unlike(templates: Tensor, mask: Tensor, alike: float) -> Tensor:
    """Leave out templates that are like others under the mask."""
    return templates[distinct(unit(templates, mask)[:, mask], alike)]
