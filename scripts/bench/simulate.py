"""How fast subtomograms are simulated, a second and core.

    python scripts/bench/simulate.py [structures=zoo10] [items=512]

Prints both kinds of crowding, the noise, and their ratios, measured side by side in one process on one thread.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from cryoexp.cli import CONF
from cryoexp.physics.noise import FilteredNoise
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.subtomograms import SubtomogramSimulator
from cryoexp.simulate.templates import make_templates


def main(structures: str = "zoo10", items: int = 512) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config").dataset
    optics = instantiate(cfg.optics)
    start = time.perf_counter()
    found = load(resolve(structures, Path(), allow_download=False), cfg.voxel_size)
    templates = make_templates(found, cfg.voxel_size)
    print(f"{len(templates)} structures of {structures} prepared in {time.perf_counter() - start:.2f} s")
    keys = ("voxel_size", "box", "neighbours", "jitter", "nearest_target", "contrast")
    rates = {}
    labels = torch.arange(32) % len(templates)
    for crowding in ("spheres", "contact"):
        simulator = SubtomogramSimulator(templates, crowding=crowding, optics=optics, **{key: cfg[key] for key in keys})
        generator = torch.Generator().manual_seed(0)
        rates[crowding] = rate(lambda s=simulator, g=generator: s(labels, g), items)  # type: ignore[misc]
    noise = FilteredNoise(optics.noise_transfer(cfg.box, cfg.voxel_size))
    draws = torch.randn(32, noise.degrees)
    rates["noise alone"] = rate(lambda: noise.volumes(draws), items)
    for name, value in rates.items():
        print(f"{name:12s} {value:6.0f} a second and core, {value / rates['spheres']:5.2f} of spheres")


def rate(work: Callable[[], object], items: int) -> float:
    """Items a second, 32 at a time, after one warm-up."""
    work()
    start = time.perf_counter()
    for _ in range(max(1, items // 32)):
        work()
    return max(1, items // 32) * 32 / (time.perf_counter() - start)


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    main(given.get("structures", "zoo10"), int(given.get("items", 512)))
