"""The outside and the middle of a cell: plasma membrane with filopodia, nucleus and nucleolus, as signed distances."""

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.simulate.cell_distance import Array, axes, corner, redistance, smooth_union, tube_distance, window
from cryoexp.simulate.cell_room import Organelle, Room, ball

STEP = 3.0  # voxels between the corners of a filopodium
NEAR = 12.0  # voxels around the plasma membrane in which filopodia are joined to it
UNDERSIDE = 0.4  # share of the cell's height below its rim: flatter than the dome above
BLUNTNESS = 2.4  # exponent of the cell's profile; 2 is an ellipse
OUTLINE = 0.18  # largest share by which the outline leaves its mean radius
ROUGHNESS = 0.05  # the same for the nucleus


def cell_body(shape: tuple[int, int, int], body: float, edge: float, generator: np.random.Generator) -> Array:
    """Level set `(z, y, x)` of a flattened cell on a flat support, roundish from above.

    Args:
        shape: of the box.
        body: mean radius as a share of half the box, in y and x.
        edge: voxels of ice above and below.
        generator: draws the outline, cosines of order 2 to 5.
    """
    z, y, x = axes(shape)
    v, u = (y - shape[1] // 2) / (body * shape[1] / 2), (x - shape[2] // 2) / (body * shape[2] / 2)
    angle, orders = np.arctan2(v, u), np.arange(2, 6)
    size, phase = generator.normal(size=4) / orders, generator.uniform(0, 2 * np.pi, 4)
    wave = np.zeros_like(angle)
    for s, k, p in zip(size, orders, phase, strict=True):
        wave += s * np.cos(k * angle + p)
    radius = np.hypot(v, u) / (1 + OUTLINE * wave / np.abs(wave).max())
    height = shape[0] - 2 * edge
    rise = z - (edge + UNDERSIDE * height)
    half = np.where(rise < 0, UNDERSIDE, 1 - UNDERSIDE) * height
    level = (np.abs(rise / half) ** BLUNTNESS + radius**BLUNTNESS) ** (1 / BLUNTNESS) - 1
    return level.astype(np.float32)


def plasma_membrane(body: Array, edge: float, radii: Array, generator: np.random.Generator) -> Array:
    """Signed distance `(z, y, x)` of a cell with one filopodium per radius.

    Args:
        body: `(z, y, x)` level set of the cell without them.
        edge: voxels of ice that the filopodia leave at the faces of the box.
        radii: `(n,)` voxels.
        generator: draws their ways.
    """
    slope = np.sqrt(sum(g**2 for g in np.gradient(body)))
    near = np.clip(body / np.maximum(slope, 1e-6), -2 * NEAR, 2 * NEAR)  # first order: a distance at the surface
    first = generator.uniform(0, 2 * np.pi)
    for i, radius in enumerate(radii):
        angle = first + (i + generator.uniform(-0.35, 0.35)) * 2 * np.pi / len(radii)
        path = _filopodium(body, near, angle, edge, radius, generator)
        box = window(body.shape, path, radius + NEAR)
        taper = np.linspace(1, 0.75, len(path)) * radius
        tube = tube_distance(body[box].shape, path - corner(box), taper, NEAR)
        near[box] = smooth_union(near[box], tube, NEAR / 2)
    return redistance(near)


def nucleus(plasma: Array, gap: float, reach: float, generator: np.random.Generator) -> Organelle:
    """A flattened nucleus near the middle of the cell, as high as the cell allows.

    Args:
        plasma: `(z, y, x)` signed distance of the plasma membrane.
        gap: voxels kept free between both.
        reach: voxels around the nucleus in which its distance is wanted.
        generator: draws place, size and bumps.

    Raises:
        ConfigError: the cell is too small for one.
    """
    inside = np.argwhere(plasma < -gap)
    half = np.ptp(inside, axis=0) / 2 if len(inside) else np.zeros(3)
    middle = np.median(inside, axis=0) if len(inside) else np.zeros(3)
    centre = middle + generator.uniform(-0.1, 0.1, 3) * half * (0, 1, 1)
    axis = half * (0.95, 0.42, 0.42) * generator.uniform(0.9, 1.1, 3)
    directions, phases = generator.normal(size=(4, 3)), generator.uniform(0, 2 * np.pi, 4)
    while axis.min() > gap:
        box = window(plasma.shape, centre[None], 1.2 * axis.max() + reach)
        level = _bumpy_ellipsoid(plasma[box].shape, centre - corner(box), axis, directions, phases)
        if plasma[box][level < 0].max() < -gap:
            return Organelle("nucleus", box, redistance(level))
        axis = axis * 0.95
    raise ConfigError(
        f"cell.shape={plasma.shape}: a cell in this box has no room for a nucleus; take a larger shape or body"
    )


def nucleolus(home: Organelle, generator: np.random.Generator) -> Organelle | None:
    """A ball in the nucleus, about half as high as it; None where less than a voxel would fit."""
    radius = float(-home.distance.min() * generator.uniform(0.4, 0.55))
    centre = Room(-home.distance, 1.0, 0.0).spot(radius, generator) if radius > 1 else None
    if centre is None:
        return None
    local = ball("nucleolus", home.distance.shape, centre, radius, 1.0)
    z, y, x = (slice(a.start + b.start, a.start + b.stop) for a, b in zip(home.box, local.box, strict=True))
    return Organelle("nucleolus", (z, y, x), local.distance)


def _filopodium(
    body: Array, near: Array, angle: float, edge: float, radius: float, generator: np.random.Generator
) -> Array:
    """Corners `(n, 3)` of a slowly turning way from inside the rim outwards.

    It ends at its length, at the ``edge`` of the box, or where it would meet the cell (``near``) again.
    """
    low, high = edge + radius, np.array(body.shape) - 1 - edge - radius
    at = np.array([0, body.shape[1] // 2, body.shape[2] // 2], float)
    at[0] = np.argmin(body[:, int(at[1]), int(at[2])])
    heading = np.array([0, np.sin(angle), np.cos(angle)])
    while _at(body, at) < -0.15:
        at = at + heading
    heading[0] = generator.uniform(-0.05, 0.15)
    path, bend, outside = [at], 0.0, False
    for _ in range(int(generator.uniform(0.3, 0.7) * min(body.shape[1:]) / STEP)):
        bend = 0.8 * bend + generator.normal(0, 0.04)
        turn = np.array([[np.cos(bend), np.sin(bend)], [-np.sin(bend), np.cos(bend)]])
        heading[1:] = turn @ heading[1:]
        at = at + STEP * heading
        at[0] = np.clip(at[0], low, high[0])
        if (at < low).any() or (at > high).any():
            break
        free = _at(near, at) > radius + 2 * STEP
        if outside and not free:
            break
        outside = outside or free
        path.append(at)
    return np.array(path, np.float32)


def _at(volume: Array, point: Array) -> float:
    z, y, x = np.round(point).astype(int)
    return float(volume[z, y, x])


def _bumpy_ellipsoid(shape: tuple[int, ...], centre: Array, axis: Array, directions: Array, phases: Array) -> Array:
    """Level set of an ellipsoid whose radius varies gently with direction."""
    z, y, x = ((a - c) / r for a, c, r in zip(axes(shape), centre, axis, strict=True))
    radius = np.sqrt(z**2 + y**2 + x**2) + 1e-6
    rough = np.zeros_like(radius)
    for n, phase in zip(directions, phases, strict=True):
        rough += np.cos(2 * (n[0] * z + n[1] * y + n[2] * x) / radius + phase) / len(phases)
    return (radius - 1 - ROUGHNESS * rough).astype(np.float32)
