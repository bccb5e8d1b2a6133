"""Crowding without overlap: the map of all legal places against rejection sampling, side by side.

    python scripts/bench/packing.py [seconds=20] [edge=96] [gap=0]

Both fill a cube of 10 Å voxels with the twelve complexes of the zoo, drawn one after another at random. Rejection
tries 50 random places of each particle and then leaves it out, as most simulators do. The times are of one core.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from cryoexp.simulate import packing as module
from cryoexp.simulate.packing import Packing, pack
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.templates import make_templates
from cryoexp.simulate.zoo import VOLUME_PER_DALTON


class Rejection(Packing):
    """Give up after the blind tries."""

    def find(self, shape: np.ndarray) -> tuple[int, int, int] | None:
        """Draw places until one fits, 50 times at most."""
        extent = [n - s + 1 for n, s in zip(self.shape, shape.shape, strict=True)]
        for _ in range(50):
            z, y, x = (int(self.rng.integers(n)) for n in extent)
            if self.fits(shape, (z, y, x)):
                return z, y, x
        return None


def main(seconds: int = 20, edge: int = 96, gap: int = 0) -> None:
    """Fill for the same time, and print."""
    torch.set_num_threads(1)
    module.TURNS = 1
    templates = make_templates(load(resolve("zoo", Path(), allow_download=False), 10.0), 10.0)
    results = {}
    for name, kind in (("rejection", Rejection), ("map of legal places", Packing)):
        packing = kind((edge,) * 3, np.random.default_rng(0))
        order = np.random.default_rng(1)
        start, mass, count = time.perf_counter(), 0.0, 0
        while time.perf_counter() - start < seconds:
            label = int(order.integers(len(templates)))
            quotas = [int(i == label) for i in range(len(templates))]
            if len(pack(packing, templates, quotas, gap, 0.0, first=count + 1).classes):
                mass, count = mass + templates[label].mass, count + 1
        results[name] = mass * 1000 * VOLUME_PER_DALTON / (edge * 10.0) ** 3
        print(f"{name:20s} {count:5d} particles, mass fraction {results[name]:.3f} in {seconds} s")
    print(f"ratio of the mass fractions: {results['map of legal places'] / results['rejection']:.2f}")


if __name__ == "__main__":
    main(**{key: int(value) for key, value in (argument.split("=", 1) for argument in sys.argv[1:])})
