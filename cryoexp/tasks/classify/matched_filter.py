"""The information limit: a matched filter that knows every template, the optics and the noise.

For every box and class it adds up the likelihood of the observation over orientations and over the shifts that the
crop offset allows, and takes the likeliest class:

    log p(y | class, R, t) = Σ_k Re(conj(ρ T_k) y_k exp(2πi k·t)) / N_k  -  f(t)/2 Σ_k |ρ T_k|² / N_k

with T the template turned by R, ρ how well (for the class, in a shell of k) the nearest template of the grids fits a
random view, f the share of its energy that lies in the box, and N the power of all that is not explained: the noise of
the observation; the neighbours, which are no part of the model and count as Gaussian noise of their mean spectrum; and
what the grids leave of the target, (1 - ρ²) of its power. Without noise the last two are all there is. So with
neighbours in the box the figure is what this filter reaches, not a bound that nothing can pass; alone in the box it
falls short of the bound only by the grids of orientations and shifts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cryoexp.data.sampler import Draw
from cryoexp.data.subtomogram_files import SubtomogramRecipe
from cryoexp.data.subtomograms import SubtomogramData
from cryoexp.errors import DataError
from cryoexp.physics.fourier import multiplicity
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.seeds import torch_generator
from cryoexp.simulate.structures import load
from cryoexp.simulate.subtomograms import Scenes, SubtomogramSimulator
from cryoexp.simulate.templates import make_templates

MARGIN = 4  # voxels added to the box of the templates, so that a shifted one does not come in again at the other side
LEAST = 0.3  # coefficients that the low-pass leaves less of are not used
SCENES = 96  # over which the spectrum of the neighbours is measured
VIEWS = 30  # of each class, from which the fit of the nearest template is learnt
RENDERED = 50  # templates that are made at once
PASSED = 250  # templates that are compared at once: what they give fits a processor's cache


@dataclass(frozen=True)
class Limit:
    """What the filter made of some boxes of a test split."""

    labels: Tensor  # `(n,)` the truth
    evidence: Tensor  # `(n, classes)` log likelihoods

    @property
    def right(self) -> Tensor:
        """Which boxes it got right, `(n,)` bool."""
        return self.evidence.argmax(1) == self.labels

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.right.float().mean())

    @property
    def error(self) -> float:
        """Binomial standard error of the accuracy."""
        share = self.accuracy
        return math.sqrt(share * (1 - share) / len(self.labels))


class Band:
    """The Fourier coefficients of a cubic box that the optics leave, ordered by kx.

    Args:
        transfer: `(n, n, n // 2 + 1)` filter of the noise in the layout of rfftn.
    """

    def __init__(self, transfer: Tensor) -> None:
        self.size = n = transfer.shape[0]
        kept = (transfer > LEAST).nonzero()  # kz, ky, kx as indices
        kept = kept[kept.any(1)]  # without the mean
        kept = kept[kept[:, 2].argsort(stable=True)]
        self.flat = (kept[:, 0] * n + kept[:, 1]) * (n // 2 + 1) + kept[:, 2]
        self.k = torch.where(kept > n // 2, kept - n, kept).float()
        self.blocks = torch.unique_consecutive(kept[:, 2], return_counts=True)[1].tolist()  # of one kx each
        self.count = multiplicity(n)[kept[:, 2]]
        self.shell = self.k.norm(dim=1).round().long()
        self.noise = self.per_shell(transfer.flatten()[self.flat] ** 2) / self._mean_square(transfer)

    def __call__(self, volumes: Tensor) -> Tensor:
        """Turn `(b, z, y, x)`, centred and at most as large as the box, into `(b, k)` complex numbers."""
        n, edge = self.size, volumes.shape[-1]
        before = n // 2 - edge // 2
        padded = torch.nn.functional.pad(volumes, (before, n - edge - before) * 3)
        return torch.fft.rfftn(padded, dim=(1, 2, 3)).flatten(1)[:, self.flat]

    def per_shell(self, values: Tensor) -> Tensor:
        """Mean of `(..., k)` real values over each shell: `(..., shells)`."""
        return self.sums(values * self.count) / self.sums(self.count).clamp(min=1)

    def sums(self, values: Tensor) -> Tensor:
        """Sum of `(..., k)` real values over each shell: `(..., shells)`."""
        empty = values.new_zeros(*values.shape[:-1], int(self.shell.max()) + 1)
        return empty.index_add(-1, self.shell, values)

    def power(self, volumes: Tensor) -> Tensor:
        """Mean power per voxel of `(b, z, y, x)` volumes in each shell: `(shells,)`."""
        return self.per_shell(self(volumes).abs().square().mean(0)) / volumes[0].numel()

    def phases(self, shifts: Tensor, axis: int) -> Tensor:
        """Factors exp(2πi k t) of shifts in voxels along z, y or x (0, 1, 2): `(k, shifts)`."""
        return torch.exp(2j * math.pi / self.size * self.k[:, axis, None] * shifts)

    @staticmethod
    def _mean_square(transfer: Tensor) -> float:
        h = transfer.clone()
        h[0, 0, 0] = 0
        return float((h**2 * multiplicity(len(h))).sum() / len(h) ** 3)


class Bank:
    """Every class in many orientations, as Fourier coefficients. Made once for a set of classes and an optics.

    Args:
        recipe: of the dataset; crowding, offset and noise do not count.
        orientations: Haar-random, of each class.
        step: voxels between the shifts at which the templates will be compared.
    """

    def __init__(self, recipe: SubtomogramRecipe, orientations: int, step: float) -> None:
        self.key, self.step = _key(recipe, orientations, step), step
        found = load(recipe.structures, recipe.voxel_size)
        self.names, self.orientations = [s.name for s in found], orientations
        self.templates = make_templates(found, recipe.voxel_size)
        size = recipe.box + MARGIN
        self.band = Band(recipe.optics.noise_transfer(size, recipe.voxel_size))
        simulator = recipe.simulator_of(self.templates, recipe.box + MARGIN)
        made = [_views(simulator, self.band, label, orientations) for label in range(len(found))]
        self.spread = [spread for _, spread in made]
        spectra = torch.stack([spectrum for spectrum, _ in made])
        self.energy = self.band.sums(spectra.abs().square() * self.band.count) / size**3  # (classes, turns, shells)
        self.fit = torch.stack([self._fit(simulator, label, mine) for label, mine in enumerate(spectra)])
        parts = spectra.split(self.band.blocks, dim=-1)
        self.blocks = [torch.cat([part.real, part.imag], -1) for part in parts]  # of one kx each
        unexplained = ((1 - self.fit**2) * self.energy.mean(1)).mean(0)
        density = self.band.sums(self.band.count).clamp(min=1) * recipe.box**3 / size**3
        self.unexplained = unexplained / density  # (shells,) power per voxel of the observed box

    def _fit(self, simulator: SubtomogramSimulator, label: int, templates: Tensor) -> Tensor:
        """Correlation with the nearest template in each shell, mean over random views off the grids: `(shells,)`."""
        generator = torch_generator(1, "structures", label)
        turns = quaternion_to_matrix(random_quaternions(VIEWS, generator)).float()[:, None]
        places = (torch.rand(VIEWS, 1, 3, generator=generator) - 0.5) * self.step
        views = (
            self.band(simulator.image(Scenes(torch.full((VIEWS, 1), label), turns, places))) * self.band.count.sqrt()
        )
        templates = templates * self.band.count.sqrt()
        match = (views @ templates.mH).real / templates.norm(dim=1)
        nearest = templates[match.argmax(1)]
        shared = self.band.sums((views * nearest.conj()).real).sum(0)
        power = self.band.sums(views.abs().square()).sum(0) * self.band.sums(nearest.abs().square()).sum(0)
        return (shared / power.sqrt().clamp(min=1e-30)).clamp(0, 1)

    def fits(self, recipe: SubtomogramRecipe, orientations: int, step: float) -> bool:
        """Whether this is the bank for a recipe."""
        return self.key == _key(recipe, orientations, step)


def _views(simulator: SubtomogramSimulator, band: Band, label: int, orientations: int) -> tuple[Tensor, Tensor]:
    """Coefficients of a class in many orientations, `(n, k)`, and where in the box its energy is, `(z, y, x)`."""
    turns = random_quaternions(orientations, torch_generator(0, "structures", label))
    square, spectra = torch.zeros(band.size, band.size, band.size), []
    for r in quaternion_to_matrix(turns).float()[:, None].split(RENDERED):
        images = simulator.image(Scenes(torch.full((len(r), 1), label), r, torch.zeros(len(r), 1, 3)))
        square += images.square().sum(0)
        spectra.append(band(images))
    return torch.cat(spectra), square / square.sum()


def measure(data: SubtomogramData, bank: Bank, items: int) -> Limit:
    """Classify the first test boxes of each class.

    Args:
        data: open.
        bank: for the recipe of ``data``.
        items: number of boxes, shared out over the classes; all if there are not so many.

    Raises:
        DataError: the dataset has other classes than the bank.
    """
    names = data.info.classes
    if names[: len(bank.names)] != bank.names:
        raise DataError(f"the dataset's classes are {', '.join(names)}, those of the templates {', '.join(bank.names)}")
    samples = data.splits["test"]
    rows = choose(samples.label, len(bank.names), items)
    batch = samples.__getitems__([Draw(-1, int(row)) for row in rows])
    observed = data.noisy(batch)[:, 0]
    sigma = batch.get("sigma", torch.zeros(len(rows)))
    clutter = neighbour_power(data.recipe, bank) + bank.unexplained
    shifts = shift_grid(data.recipe.jitter, bank.step)
    inside = [_inside(spread, shifts, data.recipe.box) for spread in bank.spread]
    evidence = [
        compare(bank, spectrum, s**2 * bank.band.noise + clutter, shifts, inside)
        for spectrum, s in zip(bank.band(observed), sigma, strict=True)
    ]
    return Limit(batch["label"], torch.stack(evidence))


def compare(bank: Bank, spectrum: Tensor, noise: Tensor, shifts: Tensor, inside: Sequence[Tensor]) -> Tensor:
    """Log likelihood of one observation under every class, up to a constant: `(classes,)`.

    Args:
        bank: templates.
        spectrum: `(k,)` of the observation.
        noise: `(shells,)` power per voxel of what is not the target.
        shifts: `(s,)` voxels, along each axis.
        inside: for each class `(s, s, s)`, the share of its energy that is in the box at a shift along x, z, y.
    """
    band, n = bank.band, len(shifts)
    data = spectrum * band.count / noise.clamp(min=1e-30)[band.shell] / band.size**3
    waves = torch.einsum("kz,ky->kzy", band.phases(shifts, 0), band.phases(shifts, 1)).flatten(1)
    along = 2 * math.pi / band.size * shifts[:, None] * band.k[:, 2].unique()
    wave = torch.cat([along.cos(), -along.sin()], 1)
    energy = (bank.energy * (bank.fit**2 / noise.clamp(min=1e-30))[:, None]).sum(2) / 2
    found = []
    for label in range(len(bank.names)):
        planes = ((data * bank.fit[label, band.shell])[:, None] * waves).split(band.blocks)
        moved = [(torch.cat([p.real, p.imag]), torch.cat([p.imag, -p.real])) for p in planes]
        parts = []
        for start in range(0, bank.orientations, PASSED):
            some = slice(start, start + PASSED)
            count = len(energy[label, some])
            columns = torch.empty(2, len(moved), count, n * n)
            for i, (block, (real, imag)) in enumerate(zip(bank.blocks, moved, strict=True)):
                torch.mm(block[label, some], real, out=columns[0, i])
                torch.mm(block[label, some], imag, out=columns[1, i])
            score = (wave @ columns.view(2 * len(moved), -1)).view(n, count, n * n)
            score -= energy[label, some, None] * inside[label].view(n, 1, n * n)
            parts.append(torch.logsumexp(score.flatten(), 0))
        found.append(torch.logsumexp(torch.stack(parts), 0))
    return torch.stack(found)


def choose(labels: Tensor, classes: int, items: int) -> Tensor:
    """Rows of the first items of each class, as evenly as the number allows; labels beyond the classes are left out."""
    mine = [(labels == label).nonzero()[:, 0] for label in range(classes)]
    turn = torch.cat([torch.arange(len(rows)) for rows in mine])  # the how-manieth of its class
    return torch.cat(mine)[turn.argsort(stable=True)[:items]]


def shift_grid(jitter: float, step: float) -> Tensor:
    """Shifts from -``jitter`` to ``jitter`` voxels, evenly, at most ``step`` apart."""
    if jitter == 0:
        return torch.zeros(1)
    return torch.linspace(-jitter, jitter, math.ceil(2 * jitter / step - 1e-6) + 1)


def neighbour_power(recipe: SubtomogramRecipe, bank: Bank) -> Tensor:
    """Mean power per voxel of the particles around the target, in each shell: `(shells,)`."""
    simulator = recipe.simulator_of(bank.templates, recipe.box + MARGIN)
    labels = torch.arange(SCENES) % len(bank.names)
    scenes = simulator.scenes(labels, torch_generator(0, "structures"))
    if scenes.classes.shape[1] == 1:
        return torch.zeros_like(bank.band.noise)
    around = Scenes(scenes.classes[:, 1:], scenes.rotations[:, 1:], scenes.centres[:, 1:])
    return bank.band.power(simulator.image(around))


def _inside(spread: Tensor, shifts: Tensor, box: int) -> Tensor:
    """Share of a particle in the box when it is shifted: `(s, s, s)` along x, z, y."""
    size = len(spread)
    place = torch.arange(size) - size // 2 + shifts[:, None]
    within = ((place + box // 2 + 1).clamp(0, 1) * (box // 2 - place).clamp(0, 1)).float()  # soft between two voxels
    return torch.einsum("zyx,az,by,cx->cab", spread, within, within, within)


def _key(recipe: SubtomogramRecipe, orientations: int, step: float) -> tuple[object, ...]:
    """What a bank depends on."""
    r = recipe
    return (tuple(map(str, r.structures)), r.box, r.voxel_size, r.optics, r.contrast, orientations, step)
