"""Reconstruction from known views: insertion against conjugate gradients, side by side.

    python scripts/bench/reconstruct.py [images=1650] [box=64] [snr=inf,0.0625] [ctf=true] [shift=2] [threads=1]
        [methods=insertion,cg] [iterations=5] [structure=ribo2500] [device=cpu]

Projections of a complex of the zoo, with white noise where an SNR (over the box) is given. Printed by method: seconds
on the wall and of the processor, the error of the map (norm of the difference over the norm of the truth), its scale
against the truth, its FSC with the truth behind a soft sphere at a quarter, half and three quarters of Nyquist, and its
resolution at 0.5. astra_cgls and astra_sirt run with a CUDA device only.
"""

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor

from cryoexp.errors import CryoexpError
from cryoexp.physics.fsc import fourier_shell_correlation, resolution
from cryoexp.physics.noise import variance
from cryoexp.physics.reconstruction import check_method, reconstruct
from cryoexp.simulate.projections import ImageOptics, ProjectionSimulator, sample
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.views import ViewDistribution, Views
from cryoexp.tasks.pose.maps import soft_sphere, transfer_of

EXTENT = 352.0  # Å, edge of the box: 64 pixels of 5.5 Å
RESOLUTION = 2.75  # pixels, where the low-pass of the truth begins


def simulate(options: dict[str, str], pixel: float) -> tuple[Tensor, Tensor, Views, ImageOptics]:
    """Make a map, its noise-free images by the voxel, and their views."""
    (structure,) = load(resolve([options["structure"]], Path(), allow_download=False), pixel)
    truth = sample(structure, int(options["box"]), pixel, RESOLUTION * pixel)
    optics = ImageOptics(
        ctf=options["ctf"] == "true", defocus=[1.0, 2.5], voltage=300.0, cs=2.7, amplitude_contrast=0.1
    )
    drawn = ViewDistribution(
        rotations="haar",
        angle_shift=[0, 0, 0],
        angle_coverage=[2, 1, 2],
        shift=float(options["shift"]),
        shift_distribution="uniform",
        defocus=optics.defocus,
    )
    views = drawn.draw(int(options["images"]), torch.Generator().manual_seed(0))
    simulator = ProjectionSimulator(truth, pixel, optics, "bright", "fourier")
    images = torch.cat([simulator.image(views[rows]) for rows in torch.arange(len(views)).split(64)])
    return truth, images / pixel, views, optics


def measure(name: str, images: Tensor, truth: Tensor, pixel: float, arguments: dict[str, Any]) -> None:
    """Reconstruct by one method and print a row."""
    start, work = time.perf_counter(), time.process_time()
    found = reconstruct(images, method=name, **arguments).cpu()  # type: ignore[arg-type]
    wall, work = time.perf_counter() - start, time.process_time() - work
    mask = soft_sphere(len(truth))
    frequency, fsc = fourier_shell_correlation(found * mask, truth * mask, pixel)
    error, scale = (found - truth).norm() / truth.norm(), (found * truth).sum() / (truth * truth).sum()
    shells = " | ".join(f"{float(fsc[len(truth) * i // 8]):.4f}" for i in (1, 2, 3))
    at_half = resolution(frequency, fsc, 0.5)
    print(f"| {name} | {wall:.1f} | {work:.1f} | {error:.4f} | {scale:.4f} | {shells} | {at_half:.1f} |", flush=True)


def main(options: dict[str, str]) -> None:
    """Reconstruct from the same images by every method, for every SNR."""
    torch.set_num_threads(int(options["threads"]))
    methods = options["methods"].split(",")
    for name in methods:
        check_method(name)
    box = int(options["box"])
    pixel = EXTENT / box
    truth, clean, views, optics = simulate(options, pixel)
    transfer = transfer_of(optics, views.defocus, box, pixel, "bright") if optics.ctf else None
    generator = torch.Generator().manual_seed(1)
    for snr in (float(value) for value in options["snr"].split(",")):
        sigma = 0.0 if math.isinf(snr) else float((variance(clean).mean() / snr).sqrt())
        images = clean + sigma * torch.randn(clean.shape, generator=generator)
        print(f"\n{len(images)} images of {box}² pixels of {pixel:g} Å, SNR {snr:g}, CTF {options['ctf']}\n")
        print("| method | s | processor s | error | scale | FSC at 1/4 | 1/2 | 3/4 of Nyquist | resolution, Å |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for name in methods:
            shared = {"rotations": views.rotations, "shifts": views.shifts, "transfer": transfer}
            steps = int(options["iterations"]) if name == "cg" else None
            measure(name, images, truth, pixel, {**shared, "iterations": steps, "device": options["device"]})


if __name__ == "__main__":
    defaults = {
        **{"images": "1650", "box": "64", "snr": "inf,0.0625", "ctf": "true", "shift": "2", "threads": "1"},
        **{"methods": "insertion,cg", "iterations": "5", "structure": "ribo2500", "device": "cpu"},
    }
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if unknown := given.keys() - defaults.keys():
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(defaults)}")
    try:
        main({**defaults, **given})
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
