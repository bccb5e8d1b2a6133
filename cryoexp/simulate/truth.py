"""What a simulated tomogram says of itself: its contents in numbers, and checks of its physics in closed form."""

import math
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryoexp.simulate.membranes import Membrane
from cryoexp.simulate.scene import Scene
from cryoexp.simulate.tilt import TiltSeries
from cryoexp.simulate.tilt_optics import TiltOptics

NEAR = 2.0  # voxels between centres of voxels: a gap of one voxel or less


def describe(scene: Scene) -> dict[str, Any]:
    """Contents of a scene in plain values: fractions, composition, distances, membranes, filaments, beads, film."""
    centres = scene.particles.centres * scene.voxel_size
    return {
        "shape": list(scene.shape),
        "voxel_size": scene.voxel_size,
        "mass_fraction": scene.mass_fraction,
        "voxel_fraction": float((scene.instances > 0).mean()),
        "composition": {t.name: int((scene.particles.classes == i).sum()) for i, t in enumerate(scene.templates)},
        "on_membranes": int((scene.bound_to >= 0).sum()),
        "touching_share": touching_share(scene.instances),
        "nearest_neighbour_angstrom": _quantiles(centres),
        "membranes": [_membrane(m) for m in scene.membranes],
        "filaments": [{"kind": f.kind, "centreline_angstrom": f.centreline.round(2).tolist()} for f in scene.filaments],
        "fiducials": [{"centre_angstrom": list(b.centre), "radius_angstrom": b.radius} for b in scene.beads],
        "carbon": vars(scene.carbon) if scene.carbon else None,
    }


def touching_share(instances: np.ndarray) -> float:
    """Share of the particles of a `(z, y, x)` instance volume with another at a gap of one voxel or less."""
    boxes = ndimage.find_objects(instances)
    touching = 0
    for number, box in enumerate(boxes, start=1):
        if box is None:
            continue
        wide = tuple(slice(max(0, b.start - 2), b.stop + 2) for b in box)
        block = instances[wide]
        others = (block > 0) & (block != number)
        if others.any():
            touching += bool(ndimage.distance_transform_edt(~others)[block == number].min() <= NEAR)
    return touching / max(1, sum(box is not None for box in boxes))


def variances(series: TiltSeries, semantic: np.ndarray) -> dict[str, float]:
    """Variance of the signal over the box and over what is labelled, and of the noise of the dose."""
    inside = torch.from_numpy(semantic > 0)
    signal = series.signal.double()
    noise = ((series.noise_volumes[0] + series.noise_volumes[1]) / 2).double()
    return {
        "cryoexpMean": float(signal.mean()),
        "cryoexpVarianceBox": float(signal.var()),
        "cryoexpVarianceMask": float(signal[inside].var()) if inside.any() else 0.0,
        "cryoexpVarianceNoise": float(noise.var()),
    }


def checks(
    scene: Scene, potential: np.ndarray, series: TiltSeries, optics: TiltOptics, voxel_size: float
) -> dict[str, dict[str, float]]:
    """Compare one tomogram with closed forms: for each fact its value, what it should be, and the tolerance."""
    found = {"overlapping_voxels": check(scene.overlap(), 0, 0)}
    for name, voxels in scene.overlap_with_parts().items():
        found[f"overlap_with_{name}"] = check(voxels, 0, 0)
    mass = scene.density().sum(dtype=float) * voxel_size**3 / 1000
    if scene.mass:
        # tails of particles at the border are cut, and linear interpolation is not exact
        found["particle_mass_kda"] = check(mass, scene.mass, 0.02 * scene.mass)
    if len(scene.particles.classes):
        free = scene.bound_to < 0
        r33 = Rotation.from_quat(scene.particles.quaternions[free]).as_matrix()[:, 2, 2] if free.any() else np.zeros(0)
        if len(r33):
            # |R33| of Haar rotations is uniform on 0..1: mean 1/2, standard deviation 1/sqrt(12)
            found["haar_mean_abs_r33"] = check(abs(r33).mean(), 0.5, 4 / math.sqrt(12 * len(r33)))
    if optics.detector.ntf_nyquist == optics.detector.mtf_nyquist == 1:
        found["counting_variance"] = _counting(series, optics)
    halves = torch.stack([n.flatten() for n in series.noise]).double()
    found["correlation_of_half_noise"] = check(float(torch.corrcoef(halves)[0, 1]), 0, 5 / math.sqrt(halves.shape[1]))
    return found


def summary(per_tomogram: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """All checks of a dataset, with the verdict first."""
    failed = [
        f"{name}: {key}"
        for name, found in zip(names, per_tomogram, strict=True)
        for key, check in found.items()
        if abs(check["value"] - check["expected"]) > check["tolerance"]
    ]
    return {"passed": not failed, "failed": failed, "tomograms": dict(zip(names, per_tomogram, strict=True))}


def _counting(series: TiltSeries, optics: TiltOptics) -> dict[str, float]:
    """Poisson: the noise of contrast has variance (1 + contrast) / (DQE · counts), twice that in each half."""
    ideal = ((1 + series.images) / torch.from_numpy(series.counts)[:, None, None]).mean() * 2 / optics.detector.dqe
    noise = torch.stack(series.noise).double()
    # the variance of a sample of Poisson counts of mean m has a relative standard deviation of sqrt((2 + 1 / m) / n)
    least = optics.detector.dqe * float(series.counts.min()) / 2
    return check(float(noise.pow(2).mean() / ideal), 1, 5 * math.sqrt((2 + 1 / least) / noise.numel()))


def check(value: float, expected: float, tolerance: float) -> dict[str, float]:
    """One fact: what was found, what should be, and how far apart they may be."""
    return {"value": float(value), "expected": float(expected), "tolerance": float(tolerance)}


def _membrane(membrane: Membrane) -> dict[str, Any]:
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(membrane.surface).items()}
    return {
        "surface": type(membrane.surface).__name__.lower(),
        **{k: v for k, v in plain.items() if isinstance(v, int | float | list)},
        "thickness": membrane.thickness,
        "sigma": membrane.sigma,
        "gap": membrane.gap,
    }


def _quantiles(centres: np.ndarray) -> dict[str, float] | None:
    if len(centres) < 2:
        return None
    nearest = cKDTree(centres).query(centres, k=2)[0][:, 1]
    return {f"p{q}": round(float(np.percentile(nearest, q)), 2) for q in (0, 5, 50)}
