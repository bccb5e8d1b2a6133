"""What the best possible method could reach: a matched filter that knows every template.

    python scripts/bench/matched_filter.py [structures=zoo10] [snr=0.03] [items=100] [rotations=600]

For every box and class it sums the likelihood of the observation over many orientations and over shifts of up to two
voxels, with the strength of the noise known, and takes the likeliest class. Neighbours are in the boxes but not in the
model; more orientations would raise the figure a little.
"""

import math
import sys
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from cryoexp.cli import CONF
from cryoexp.physics.fourier import frequencies, multiplicity
from cryoexp.physics.noise import FilteredNoise, noise_sigma, variance
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.subtomograms import Scenes, SubtomogramSimulator
from cryoexp.simulate.templates import make_templates

KEYS = ("voxel_size", "box", "neighbours", "crowding", "mass_fraction", "jitter", "nearest_target", "contrast")


class Whitener:
    """The coefficients of a volume that the noise leaves, in units of its standard deviation."""

    def __init__(self, transfer: Tensor, voxel_size: float) -> None:
        self.noise = FilteredNoise(transfer)
        size = transfer.shape[0]
        flat = transfer.flatten()
        self.index = (flat > 0.3).nonzero()[:, 0]
        self.index = self.index[self.index > 0]
        count = multiplicity(size).expand(size, size, -1).flatten()[self.index]
        self.weight = (count * self.noise.mean_square / size**3).sqrt() / flat[self.index]
        kz, ky, kx = (k.flatten()[self.index] * voxel_size for k in frequencies(size, voxel_size))
        shifts = torch.cartesian_prod(*[torch.arange(-2.0, 3.0)] * 3)
        self.phases = torch.exp(2j * math.pi * (shifts @ torch.stack([kx, ky, kz])))

    def __call__(self, volumes: Tensor) -> Tensor:
        """Turn `(n, z, y, x)` into `(n, k)` complex numbers."""
        return torch.fft.rfftn(volumes, dim=(1, 2, 3)).flatten(1)[:, self.index] * self.weight


def main(structures: str, snr: float, items: int, rotations: int) -> None:
    """Classify ``items`` boxes and print the share of right answers."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config").dataset
    optics = instantiate(cfg.optics)
    found = load(resolve(structures, Path(), allow_download=False), cfg.voxel_size)
    simulator = SubtomogramSimulator(
        make_templates(found, cfg.voxel_size), optics=optics, **{key: cfg[key] for key in KEYS}
    )
    whiten = Whitener(optics.noise_transfer(cfg.box, cfg.voxel_size), cfg.voxel_size)
    generator = torch.Generator().manual_seed(99)
    labels = torch.arange(items) % len(found)
    signal = simulator.image(simulator.scenes(labels, generator))
    sigma = noise_sigma(variance(signal), snr).float()
    draws = torch.randn(items, whiten.noise.degrees, generator=generator)
    seen = whiten(signal + sigma.view(-1, 1, 1, 1) * whiten.noise.volumes(draws)) / sigma[:, None]
    evidence = torch.stack(
        [log_evidence(simulator, c, whiten, seen, sigma, rotations, generator) for c in range(len(found))], 1
    )
    right = evidence.argmax(1) == labels
    for c, structure in enumerate(found):
        print(f"{structure.name:12s} {float(right[labels == c].float().mean()):.2f}")
    share = float(right.float().mean())
    print(f"all          {share:.3f} +- {math.sqrt(share * (1 - share) / items):.3f} of {items} items at SNR {snr:g}")


def log_evidence(
    simulator: SubtomogramSimulator,
    label: int,
    whiten: Whitener,
    seen: Tensor,
    sigma: Tensor,
    rotations: int,
    generator: torch.Generator,
) -> Tensor:
    """Log of the likelihood of each observation under one class, summed over orientations and shifts: `(n,)`."""
    turned = quaternion_to_matrix(random_quaternions(rotations, generator)).float()[:, None]
    views = [Scenes(torch.full((len(r), 1), label), r, torch.zeros(len(r), 1, 3)) for r in turned.split(100)]
    templates = torch.cat([whiten(simulator.image(view)) for view in views])
    energy = templates.abs().square().sum(1)
    out = []
    for one, s in zip(seen, sigma, strict=True):
        product = ((templates.conj() * one) @ whiten.phases.T).real / s
        out.append(torch.logsumexp((product - energy[:, None] / (2 * s**2)).flatten(), 0))
    return torch.stack(out)


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    main(
        given.get("structures", "zoo10"),
        float(given.get("snr", "0.03")),
        int(given.get("items", "100")),
        int(given.get("rotations", "600")),
    )
