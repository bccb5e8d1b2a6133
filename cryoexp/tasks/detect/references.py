"""Averages of the particles of each class, turned alike: what they look like, learned from the training tomograms."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.detect.boxes import REACH, ball, band, box_edge, cut, power_spectrum, turned
from cryoexp.tasks.detect.truth import true_particles

ENOUGH = 2000  # particles of a class in its average
AT_ONCE = 64  # boxes
FEWEST = 8  # particles, below which there is no average
THIN = 0.1  # share of the particles that must have measured a frequency, or it is left out
REST = 1.3  # radii, beyond which an average is 0


class References(NamedTuple):
    """Averages.

    Args:
        averages: `(k, e, e, e)` in the units of normalised tomograms; 0 of a class that has none.
        counts: `(k,)` how many particles are in each.
    """

    averages: Tensor
    counts: np.ndarray


def average_classes(tomograms: Sequence[Tomogram], radii: np.ndarray) -> References:
    """Average the particles whose orientations are known, class by class.

    Turned into the frame of their reference, particles are added up, and at each frequency divided by how many of them
    were measured there: the missing wedges of some are filled by others.

    Args:
        tomograms: of the training, with truth and orientations.
        radii: `(k,)` voxels of the classes.
    """
    edge, classes = box_edge(float(radii.max())), len(radii)
    sums, weights = torch.zeros(2, classes, edge, edge, edge)
    counts = np.zeros(classes, int)
    for tomogram in tomograms:
        if tomogram.orientations is None or (counts >= ENOUGH).all():
            continue
        centres, numbers, matrices = oriented(tomogram)
        measured = torch.fft.fftshift(band(power_spectrum(tomogram, edge)).float())
        for number in range(classes):
            mine = np.flatnonzero(numbers == number + 1)[: ENOUGH - counts[number]]
            for some in np.array_split(mine, -(-len(mine) // AT_ONCE)) if len(mine) else ():
                turns = torch.from_numpy(matrices[some])
                boxes = cut(tomogram, centres[some], edge) * ball(edge, REACH * radii[number])
                sums[number] += turned(boxes, turns).sum(0)
                weights[number] += turned(measured[None], turns).sum(0)
            counts[number] += len(mine)
    counts[counts < FEWEST] = 0
    averages = [
        _restored(total / count, weight / count, radius) if count else torch.zeros_like(total)
        for total, weight, count, radius in zip(sums, weights, counts, radii, strict=True)
    ]
    return References(torch.stack(averages), counts)


def oriented(tomogram: Tomogram) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres `(n, 3)` (z, y, x), classes `(n,)` from 1 and matrices `(n, 3, 3)` of particles that have one."""
    known, instances = tomogram.orientations, np.asarray(tomogram.instances[:])
    assert known is not None
    truth = true_particles(np.asarray(tomogram.truth[:]), instances)
    given = np.zeros(len(truth.centres) + 1, instances.dtype)
    for plane, numbers in zip(instances, truth.numbers, strict=True):  # all voxels of a particle have one number
        given[numbers] = plane
    _, mine, theirs = np.intersect1d(given[1:], known.instances, return_indices=True)
    return truth.centres[mine], truth.classes[mine], known.matrices[theirs]


def _restored(average: Tensor, weight: Tensor, radius: float) -> Tensor:
    """Divide an average by what was measured of it, and leave the particle alone."""
    edge = average.shape[-1]
    spectrum, weight = torch.fft.fftn(torch.fft.ifftshift(average)), torch.fft.ifftshift(weight)
    spectrum = torch.where(weight > THIN, spectrum / weight.clamp(min=THIN), 0)
    whole = torch.fft.fftshift(torch.fft.ifftn(spectrum).real)
    inside = ball(edge, REST * radius)
    around = (ball(edge, REACH * radius) > 0) & (inside == 0)
    return (whole - (whole[around].mean() if around.any() else 0)) * inside
