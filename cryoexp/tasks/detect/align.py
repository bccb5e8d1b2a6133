"""Picks, moved to where averages of their classes fit best.

A network says where a particle is to about half a voxel: it answers for every place alike, and noise moves it. Laid on
a pick in many rotations, the average of its class tells better. With Gaussian noise of power P the logarithm of the
likelihood of a box d, given the average T turned by R and moved by t, is

    sum over k of [Re d(k)* (R T)(k) exp(-2πi k t) - |(R T)(k)|² / 2] / P(k)

over the frequencies that were measured. The place is the maximum over t of the mean over all rotations (none is
chosen), with a Gaussian prior around the pick: the likelihood of Sigworth (J. Struct. Biol. 1998), for volumes of
coloured noise.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cryoexp.inference.whole import Tomogram
from cryoexp.physics.rotations import even_rotations, rotation_count
from cryoexp.tasks.detect.boxes import REACH, ball, band, cut, power_spectrum, source_of, turned
from cryoexp.tasks.detect.finding import PLACES, Found
from cryoexp.tasks.detect.peaks import parabolic

SPREAD = 1 / 6  # of the radius: standard deviation of the prior; the network's own error is a tenth or less
RANGE = 0.5  # of the radius: how far a pick may move
BOXES, VIEWS = 128, 64  # at once


def align(found: Found, tomogram: Tomogram, references: Tensor, radii: np.ndarray, step: float, least: float) -> Found:
    """Move picks to where the average of their class fits best.

    Args:
        found: picks.
        tomogram: in which they were found.
        references: `(k, e, e, e)`, see `cryoexp.tasks.detect.references`; on the device that is to work.
        radii: `(k,)` voxels of the classes, on the grid of the training.
        step: degrees between neighbouring rotations.
        least: score, below which a pick stays where it is.

    Returns:
        The same picks; those of a class without an average, or whose best place is at the end of the range, stay.
    """
    table, shape = found.table.copy(), np.array(tomogram.volume.data.shape)
    middles = (shape - 1) / 2, (np.array(source_of(tomogram).shape) - 1) / 2  # of the two grids, see `Rescaled`
    places = (found.centres - middles[0]) / tomogram.step + middles[1]
    good = (table["score"] >= least).to_numpy()
    known = {n: r for n, r in enumerate(references, start=1) if bool(r.any())}
    picked = [np.flatnonzero(good & (table["class_number"] == number)) for number in known]
    if not sum(map(len, picked)):
        return found
    power = power_spectrum(tomogram, references.shape[-1])
    whitened = torch.where(band(power), 1 / power, 0)[..., : references.shape[-1] // 2 + 1].to(references)
    rotations = even_rotations(rotation_count(step)).to(references)
    for (number, reference), mine in zip(known.items(), picked, strict=True):
        radius = float(radii[number - 1])
        views = Views(reference, whitened, ball(references.shape[-1], REACH * radius).to(references), rotations)
        for some in np.array_split(mine, -(-len(mine) // BOXES)) if len(mine) else ():
            boxes = cut(tomogram, places[some], references.shape[-1]).to(references)
            places[some] += best_moves(views.likelihood(boxes, round(RANGE * radius)), SPREAD * radius)
            table.loc[some, PLACES] = (places[some] - middles[1]) * tomogram.step + middles[0]
    return Found(table, found.numbers)


class Views:
    """A reference in many rotations.

    Args:
        reference: `(e, e, e)`.
        whitened: `(e, e, e // 2 + 1)` one over the power of the noise, 0 where nothing was measured.
        mask: `(e, e, e)` within which boxes count.
        rotations: `(n, 3, 3)` reference to tomogram.
    """

    def __init__(self, reference: Tensor, whitened: Tensor, mask: Tensor, rotations: Tensor) -> None:
        self.reference, self.whitened, self.mask, self.rotations = reference, whitened, mask, rotations

    def likelihood(self, boxes: Tensor, reach: int) -> Tensor:
        """Return the logarithm of the likelihood of each move, summed over all rotations.

        Args:
            boxes: `(n, e, e, e)`.
            reach: voxels.

        Returns:
            `(n, 2 reach + 1, …)`, up to a constant of each box; in the middle that of no move.
        """
        edge, span = boxes.shape[-1], slice(boxes.shape[-1] // 2 - reach, boxes.shape[-1] // 2 + reach + 1)
        spectra = torch.fft.rfftn(boxes * self.mask, dim=(1, 2, 3))
        total = torch.full((len(boxes), *(2 * reach + 1,) * 3), -torch.inf, device=boxes.device)
        for view, power in self._spectra():
            fit = torch.fft.irfftn(spectra * view, s=(edge,) * 3, dim=(1, 2, 3))[:, span, span, span]
            torch.logaddexp(total, fit - power / 2, out=total)
        return total

    def _spectra(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each view: its conjugate spectrum, whitened, and its whitened power."""
        edge = self.reference.shape[-1]
        twice = torch.full((edge // 2 + 1,), 2.0, device=self.reference.device)  # of k and -k one is stored
        twice[[0, -1]] = 1.0
        for some in self.rotations.split(VIEWS):
            views = turned(self.reference[None], some.transpose(1, 2)) * self.mask
            spectra = torch.fft.rfftn(torch.fft.ifftshift(views, dim=(1, 2, 3)), dim=(1, 2, 3))
            powers = (spectra.abs().square() * self.whitened * twice).sum((1, 2, 3)) / edge**3
            yield from zip(spectra.conj() * self.whitened, powers, strict=True)


def best_moves(likelihood: Tensor, spread: float) -> np.ndarray:
    """Return the likeliest moves `(n, 3)` (z, y, x), between voxels by a parabola; 0 where that is at the border.

    Args:
        likelihood: `(n, m, m, m)` logarithm, m odd.
        spread: voxels, standard deviation of the prior.
    """
    reach = likelihood.shape[-1] // 2
    r = torch.arange(-reach, reach + 1, device=likelihood.device)
    squares = r[:, None, None] ** 2 + r[:, None] ** 2 + r**2
    maps = (likelihood - squares / (2 * spread**2)).cpu().double().numpy()
    best = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(1), maps.shape[1:]), axis=1)
    moves = [parabolic(values - values.min(), place[None])[0] - reach for values, place in zip(maps, best, strict=True)]
    inside = ((best > 0) & (best < 2 * reach)).all(1, keepdims=True)
    return np.where(inside, np.array(moves), 0.0)
