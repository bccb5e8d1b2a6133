"""How fast data are simulated: subtomograms, projections, one tomogram, and packing to the density of cytoplasm.

    python scripts/bench/simulate.py [items=512] [threads=2]

Everything is measured in one process: subtomograms, projections and packing on one thread, the tomogram on `threads`.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.physics.noise import FilteredNoise
from cryoexp.simulate.projections import sample
from cryoexp.simulate.specimen import build_scene
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.subtomograms import SubtomogramSimulator
from cryoexp.simulate.templates import Template, make_templates
from cryoexp.simulate.tilt import take_tilt_series


def main(items: int = 512, threads: int = 2) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    subtomograms(items)
    projections(items)
    cytoplasm()
    torch.set_num_threads(threads)
    tomogram(threads)


def subtomograms(items: int) -> None:
    """L0 with every kind of crowding, and the noise alone."""
    cfg = config("subtomograms")
    optics = instantiate(cfg.optics)
    templates = prepared(cfg)
    keys = ("voxel_size", "box", "neighbours", "mass_fraction", "jitter", "nearest_target", "contrast")
    rates = {}
    labels = torch.arange(32) % len(templates)
    for crowding in ("spheres", "contact", "scene"):
        simulator = SubtomogramSimulator(templates, crowding=crowding, optics=optics, **{key: cfg[key] for key in keys})
        generator = torch.Generator().manual_seed(0)
        count = items if crowding == "spheres" else max(32, items // 8)
        rates[crowding] = rate(lambda s=simulator, g=generator: s(labels, g), count)  # type: ignore[misc]
    noise = FilteredNoise(optics.noise_transfer(cfg.box, cfg.voxel_size))
    draws = torch.randn(32, noise.degrees)
    rates["noise alone"] = rate(lambda: noise.volumes(draws), items)
    for name, value in rates.items():
        print(f"subtomograms, {name:11s} {value:6.0f} a second and core, {value / rates['spheres']:5.2f} of spheres")


def projections(items: int) -> None:
    """64² views with CTF, shifts and noise."""
    cfg = config("projections")
    structure = load(resolve([cfg.structure], Path(), allow_download=False), cfg.voxel_size)[0]
    density = sample(structure, cfg.box, cfg.voxel_size, cfg.resolution)
    recipe = build(cfg).recipe
    simulator, distribution = recipe.simulator(density), recipe.distribution()
    generator = torch.Generator().manual_seed(0)

    def work() -> torch.Tensor:
        images = simulator.image(distribution.draw(32, generator))
        return images + torch.randn(images.shape, generator=generator)

    print(f"projections of {cfg.box}² pixels  {rate(work, 2 * items):6.0f} a second and core")


def cytoplasm() -> None:
    """Pack 96³ voxels of 10 Å to a mass fraction of 0.20."""
    cfg = config("tomograms_cytoplasm")
    templates = prepared(cfg)
    start = time.perf_counter()
    scene = build_scene(instantiate(cfg.scene, _convert_="all"), templates, *size(cfg), np.random.default_rng(0))
    print(
        f"packing {scene.shape[0]}³ voxels: {len(scene.particles.classes)} particles, mass fraction "
        f"{scene.mass_fraction:.3f}, {scene.overlap()} voxels overlap, {time.perf_counter() - start:.1f} s on one core"
    )


def tomogram(threads: int) -> None:
    """One whole tomogram at the density of SHREC: packing, tilt series, reconstruction, labels."""
    cfg = config("tomograms_shrec")
    templates = prepared(cfg)
    optics = instantiate(cfg.optics, _convert_="all")
    start = time.perf_counter()
    scene = build_scene(instantiate(cfg.scene, _convert_="all"), templates, *size(cfg), np.random.default_rng(0))
    potential = torch.from_numpy(scene.potential())
    middle = time.perf_counter()
    take_tilt_series(potential, cfg.voxel_size, optics, np.random.default_rng(1))
    end = time.perf_counter()
    shape = "×".join(str(n) for n in cfg.shape)
    print(
        f"tomogram {shape}, {len(optics.angles)} tilts, {len(scene.particles.classes)} particles: {end - start:.1f} s "
        f"on {threads} threads ({middle - start:.1f} specimen, {end - middle:.1f} tilt series and reconstruction)"
    )


def config(name: str) -> Any:
    """Return the config of a dataset."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[f"dataset={name}"]).dataset


def prepared(cfg: Any) -> list[Template]:
    """Return the templates of a dataset's structures."""
    return make_templates(load(resolve(cfg.structures, Path(), allow_download=False), cfg.voxel_size), cfg.voxel_size)


def size(cfg: Any) -> tuple[tuple[int, int, int], float]:
    """Return shape and voxel size of a dataset."""
    return (cfg.shape[0], cfg.shape[1], cfg.shape[2]), cfg.voxel_size


def rate(work: Callable[[], object], items: int) -> float:
    """Items a second, 32 at a time, after one warm-up."""
    work()
    start = time.perf_counter()
    for _ in range(max(1, items // 32)):
        work()
    return max(1, items // 32) * 32 / (time.perf_counter() - start)


if __name__ == "__main__":
    main(**{key: int(value) for key, value in (argument.split("=", 1) for argument in sys.argv[1:])})
