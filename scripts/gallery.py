"""Draw the pictures of docs/simulator.md, and a real microtubule beside a simulated one.

    python scripts/gallery.py [output=docs/images] [only=tomograms,tilts,projections,sxt,scene,subtomograms,microtubule]

The real crop is read from the folder that CRYOEXP_TEST_DATA names; that picture goes to outputs/gallery.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from matplotlib.figure import Figure
from skimage.measure import marching_cubes

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.plotting import figure, plt, show_slice
from cryoexp.simulate.cell import COMPARTMENTS, make_cell
from cryoexp.simulate.filaments import microtubule
from cryoexp.simulate.packing import Placed
from cryoexp.simulate.projections import sample
from cryoexp.simulate.scene import Scene
from cryoexp.simulate.specimen import build_scene
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.subtomograms import SubtomogramSimulator
from cryoexp.simulate.sxt import image_cell
from cryoexp.simulate.templates import Template, make_templates
from cryoexp.simulate.tilt import TiltSeries, take_tilt_series

PRESETS = ("tomograms_shrec", "tomograms_cellular", "tomograms_crowded", "tomograms_cytoplasm")
REAL_VOXEL = 10.52  # Å, of the real microtubule crop


def main(output: str = "docs/images", only: str = "") -> None:
    """Draw all pictures, or those that ``only`` names."""
    wanted = only.split(",") if only else list(PICTURES)
    for name in wanted:
        print(f"drawing {name} …", flush=True)
        PICTURES[name](Path(output))


def tomograms(folder: Path) -> None:
    """Every preset: specimen, noise-free tomogram, tomogram at its dose and at SNR 0.1, labels."""
    fig, axes = figure(len(PRESETS), 5, 13, 2.7 * len(PRESETS))
    for row, name in zip(axes, PRESETS, strict=True):
        cfg, scene, potential, series = _specimen(name)
        z = scene.shape[0] // 2
        clean, noise = series.signal.numpy(), _noise(series)
        factor = np.sqrt(clean.var() / (0.1 * noise.var()))
        labels = scene.semantic(cfg.labels or {n: [n] for n in [*(t.name for t in scene.templates), "single_membrane"]})
        show_slice(row[0], potential[z], f"{name}: specimen")
        show_slice(row[1], clean[z], "tomogram, no noise")
        show_slice(row[2], (clean + noise)[z], f"dose of {cfg.optics.dose:g} e/Å²")
        show_slice(row[3], (clean + factor * noise)[z], "SNR 0.1")
        _show_labels(row[4], labels[z])
    _save(fig, folder / "tomograms.jpg")


def tilts(folder: Path) -> None:
    """Tilted images, the power spectrum of one with Thon rings, and the missing wedge of the tomogram."""
    overrides = ["dataset.optics.defocus=8", "dataset.optics.dose=240", "dataset.shape=[40,256,256]"]
    _, scene, _, series = _specimen("tomograms_cellular", *overrides, "dataset.scene.numbers.ribo2500=60")
    fig, axes = figure(1, 5, 15, 3.2)
    observed = series.images + (series.noise[0] + series.noise[1]) / 2
    for ax, angle in zip(axes[0], (-60, 0, 45), strict=False):
        show_slice(ax, observed[int(np.flatnonzero(series.angles == angle)[0])].numpy(), f"tilt {angle}°")
    power = (torch.fft.fftshift(torch.fft.fft2(series.images), dim=(1, 2)).abs() ** 2).mean(0).log10()
    show_slice(axes[0, 3], power.numpy(), "power of the images: Thon rings")
    volume = (series.signal + torch.from_numpy(_noise(series))).numpy()
    wedge = np.log10((abs(np.fft.fftshift(np.fft.fftn(volume))) ** 2).mean(axis=1))
    axes[0, 4].set_aspect(wedge.shape[1] / wedge.shape[0])
    show_slice(axes[0, 4], wedge, "power of the tomogram: wedge")
    axes[0, 4].set_aspect(scene.shape[2] / scene.shape[0])
    _save(fig, folder / "tilts.jpg")


def projections(folder: Path) -> None:
    """Single-particle views without and with noise."""
    cfg = _config("projections")
    structure = load(resolve([cfg.structure], Path(), allow_download=False), cfg.voxel_size)[0]
    density = sample(structure, cfg.box, cfg.voxel_size, cfg.resolution)
    recipe = build(cfg).recipe
    generator = torch.Generator().manual_seed(0)
    images = recipe.simulator(density).image(recipe.distribution().draw(8, generator))
    fig, axes = figure(3, 8, 13, 5)
    for i, image in enumerate(images):
        for row, snr in enumerate((np.inf, 1.0, 0.1)):
            noisy = image + torch.randn(image.shape, generator=generator) * float((images.var() / snr) ** 0.5)
            show_slice(axes[row, i], noisy.numpy(), f"SNR {snr:g}" if i == 0 else "")
    _save(fig, folder / "projections.jpg")


def subtomograms(folder: Path) -> None:
    """One target with three kinds of crowding around it."""
    cfg = _config("subtomograms")
    templates = _templates(["ring240", "barrel700", "ribo2500"], cfg.voxel_size)
    fig, axes = figure(2, 6, 11, 3.9)
    keys = ("voxel_size", "box", "neighbours", "mass_fraction", "jitter", "nearest_target", "contrast")
    kinds: Any = ("spheres", "contact", "scene")
    for block, crowding in enumerate(kinds):
        simulator = SubtomogramSimulator(
            templates, crowding=crowding, optics=instantiate(cfg.optics), **{k: cfg[k] for k in keys}
        )
        made = simulator(torch.tensor([0, 1, 2, 1]), torch.Generator().manual_seed(1))
        for i in range(4):
            ax = axes[i // 2, 2 * block + i % 2]
            show_slice(ax, made.signal[i, 16].numpy(), crowding if i == 0 else "")
    _save(fig, folder / "subtomograms.jpg")


def sxt(folder: Path) -> None:
    """A cell: absorption, projection, reconstruction, labels."""
    cfg = _config("sxt")
    cell = make_cell(instantiate(cfg.cell, _convert_="all"), np.random.default_rng(1))
    optics = instantiate(cfg.optics, _convert_="all")
    image = image_cell(cell.absorption, cfg.cell.voxel_size, optics, np.random.default_rng(2))
    z = cell.labels.shape[0] // 2
    fig, axes = figure(1, 5, 14, 3)
    show_slice(axes[0, 0], cell.absorption[z], "absorption, 1/µm")
    show_slice(axes[0, 1], image.counts[len(image.counts) // 2], "photons at tilt 0°")
    show_slice(axes[0, 2], image.signal[z], "reconstruction, no noise")
    show_slice(axes[0, 3], image.observed[z], f"{optics.photons:g} photons a pixel")
    _show_labels(axes[0, 4], np.where(cell.labels[z] > 0, len(COMPARTMENTS), cell.compartments[z]))
    _save(fig, folder / "sxt.jpg")


def scene(folder: Path) -> None:
    """A specimen in three dimensions: membranes and particles by class."""
    _, specimen, _, _ = _specimen("tomograms_crowded", image=False)
    fig = plt.figure(figsize=(8, 5.4), layout="constrained")
    ax: Any = fig.add_subplot(projection="3d")
    for membrane in specimen.membranes:
        z, y, x = (n // 2 for n in specimen.shape)
        mesh = membrane.mesh((z, y, x), 2 * specimen.voxel_size)
        ax.plot_trisurf(*mesh.vertices.T / 10, triangles=mesh.faces, color="#c9b458")
    colours = plt.get_cmap("tab10")
    for label, template in enumerate(specimen.templates):
        mine = np.isin(specimen.instances, 1 + np.flatnonzero(specimen.particles.classes == label))
        vertices, faces, _, _ = marching_cubes(np.pad(mine, 1).astype(np.float32), 0.5, step_size=2)
        ax.plot_trisurf(*(vertices[:, ::-1] - 1).T * specimen.voxel_size / 10, triangles=faces, color=colours(label))
        ax.plot([], [], "s", color=colours(label), label=template.name)
    ax.set_box_aspect(specimen.shape[::-1])
    ax.set_xlabel("x, nm")
    ax.set_ylabel("y, nm")
    ax.set_zlabel("z, nm")
    ax.legend(loc="upper left", frameon=False)
    ax.view_init(60, -70)
    _save(fig, folder / "scene.jpg")


def microtubule_beside(folder: Path) -> None:
    """A simulated microtubule, and, where the real crop is at hand, both side by side in outputs/gallery."""
    images = {"simulated": _simulated_microtubule()}
    fig, axes = figure(1, 2, 9, 2.3)
    _show_tube(axes[0], images["simulated"], "simulated")
    _save(fig, folder / "microtubule.jpg")
    real = Path(os.environ.get("CRYOEXP_TEST_DATA", "")) / "tomograms" / "13pf_MT.tif"
    if not real.is_file():
        print("CRYOEXP_TEST_DATA names no folder with tomograms/13pf_MT.tif: no real crop beside it")
        return
    import tifffile

    fig, axes = figure(2, 2, 9, 4.4)
    _show_tube(axes[0], -tifffile.imread(real).astype(np.float32), "real, 13 protofilaments")
    _show_tube(axes[1], images["simulated"], "simulated")
    path = Path("outputs/gallery/microtubule_real_and_simulated.png")
    _save(fig, path)
    print(path)


def _simulated_microtubule() -> np.ndarray:
    """A tomogram of the real crop's size and axis, cut out of a larger one; `(36, 206, 94)`."""
    cfg = _config("tomograms")
    shape, corner = (72, 256, 192), np.array([40, 25, 18])  # the crop's first voxel, x, y, z
    ends = np.array([[29.39, 186.87, 18.53], [71.93, 52.73, 18.20]]) * 10  # x, y, z of the real axis in Å
    along = ends[1] - ends[0]
    steps = np.linspace(-0.8, 1.8, 60)[:, None]
    tube = microtubule(ends[0] + steps * along + corner * REAL_VOXEL)
    nothing = Placed(np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 4)))
    empty = np.zeros(shape, np.uint16)
    specimen = Scene(shape, REAL_VOXEL, [], nothing, np.zeros(0, int), empty, [], [tube], [], None)
    optics = instantiate(cfg.optics, _convert_="all", resolution=32.0, dose=60.0, thickness=1500.0)
    series = take_tilt_series(torch.from_numpy(specimen.potential()), REAL_VOXEL, optics, np.random.default_rng(0))
    x, y, z = corner
    return (series.signal.numpy() + _noise(series))[z : z + 36, y : y + 206, x : x + 94]


def _show_tube(axes: np.ndarray, volume: np.ndarray, name: str) -> None:
    middle = volume.shape[0] // 2
    show_slice(axes[0], volume[middle - 1 : middle + 2].mean(0).T, f"{name}: along")
    show_slice(axes[1], volume[:, 90:120].mean(1), f"{name}: across, mean of 30 slices")


def _specimen(name: str, *overrides: str, image: bool = True) -> tuple[Any, Scene, np.ndarray, TiltSeries]:
    """Make one tomogram of a preset, with the whole truth."""
    cfg = _config(name, *overrides)
    made = build_scene(
        instantiate(cfg.scene, _convert_="all"),
        _templates(cfg.structures, cfg.voxel_size),
        (cfg.shape[0], cfg.shape[1], cfg.shape[2]),
        cfg.voxel_size,
        np.random.default_rng(3),
    )
    potential = made.potential()
    optics = instantiate(cfg.optics, _convert_="all")
    imaged = torch.from_numpy(potential if image else np.zeros((8, 8, 8), np.float32))
    return cfg, made, potential, take_tilt_series(imaged, cfg.voxel_size, optics, np.random.default_rng(4))


def _templates(structures: Any, voxel_size: float) -> list[Template]:
    names = structures if isinstance(structures, str) else list(structures)
    return make_templates(load(resolve(names, Path(), allow_download=False), voxel_size), voxel_size)


def _config(name: str, *overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[f"dataset={name}", *overrides]).dataset


def _noise(series: TiltSeries) -> np.ndarray:
    return ((series.noise_volumes[0] + series.noise_volumes[1]) / 2).numpy()


def _show_labels(ax: Any, labels: np.ndarray) -> None:
    colours = np.vstack([[1, 1, 1, 1], plt.get_cmap("tab20")(np.arange(20))])
    ax.imshow(colours[np.minimum(labels, 20)], origin="lower", interpolation="nearest")
    ax.set_title("labels")
    ax.axis("off")


def _save(fig: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100, pil_kwargs={"quality": 82} if path.suffix == ".jpg" else {})
    plt.close(fig)


PICTURES = {
    "tomograms": tomograms,
    "tilts": tilts,
    "projections": projections,
    "subtomograms": subtomograms,
    "sxt": sxt,
    "scene": scene,
    "microtubule": microtubule_beside,
}

if __name__ == "__main__":
    main(**dict(argument.split("=", 1) for argument in sys.argv[1:]))
