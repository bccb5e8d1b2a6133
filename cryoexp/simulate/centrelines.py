"""Centre lines of filaments and tubes: worm-like chains, and frames that go along with them.

All points are `(n, 3)` x, y, z in Å from the centre of voxel (0, 0, 0).
"""

import math

import numpy as np
from scipy.optimize import brentq

from cryoexp.errors import ConfigError
from cryoexp.simulate.surfaces import length, perpendicular, unit


def worm_like_chain(
    length: float,
    step: float,
    persistence: float,
    start: np.ndarray,
    direction: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw a worm-like chain: ⟨t(0)·t(s)⟩ = exp(−s / persistence), at multiples of ``step`` exactly.

    From step to step the tangent turns by an angle of the von Mises-Fisher distribution, the natural one on the sphere,
    whose mean cosine coth κ − 1/κ is exp(−step / persistence); the azimuth is uniform.

    Args:
        length: contour length in Å, rounded to whole steps.
        step: Å.
        persistence: persistence length in Å; infinite for a straight line.
        start: `(3,)` first point.
        direction: `(3,)` of the first step.
        generator: source of randomness.

    Returns:
        `(n, 3)` points, ``step`` apart.

    Raises:
        ConfigError: a length that is not positive, or steps longer than the persistence length.
    """
    if not (length > 0 and 0 < step <= persistence):
        raise ConfigError(
            f"length={length:g}, step={step:g}, persistence={persistence:g} Å: must be positive, step <= persistence"
        )
    count = max(1, round(length / step))
    fall = _falls(step / persistence, generator.random(count - 1))
    turns = _turns(fall, generator.uniform(0, 2 * math.pi, count - 1))
    ahead = unit(direction)
    side = perpendicular(ahead)
    frame = np.stack([side, np.cross(ahead, side), ahead], axis=1)
    tangents = np.empty((count, 3))
    tangents[0] = ahead
    for i, turn in enumerate(turns, start=1):
        frame = frame @ turn
        tangents[i] = frame[:, 2]
    return start + step * np.concatenate([np.zeros((1, 3)), tangents.cumsum(axis=0)])


def crossing_chain(
    shape: tuple[int, int, int],
    voxel_size: float,
    persistence: float,
    step: float,
    margin: float,
    tilt: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw a worm-like chain through a random place of a volume, both ways until it is outside.

    Args:
        shape: of the volume, z, y, x in voxels.
        voxel_size: Å.
        persistence: persistence length in Å.
        step: distance of the points in Å.
        margin: Å that both ends lie outside the volume.
        tilt: largest angle in degrees to the x-y plane at the place where it starts, in the middle half of the volume.
        generator: source of randomness.

    Returns:
        `(n, 3)` points.
    """
    extent = box_extent(shape, voxel_size)
    start = extent * generator.uniform(0.25, 0.75, 3)
    direction = tilted_direction(tilt, generator)
    back, forth = (_half(extent, start, way * direction, persistence, step, margin, generator) for way in (-1.0, 1.0))
    return np.concatenate([back[:0:-1], forth])


def box_extent(shape: tuple[int, int, int], voxel_size: float) -> np.ndarray:
    """Return x, y, z in Å of the centre of a volume's last voxel."""
    return (np.array(shape[::-1], dtype=float) - 1) * voxel_size


def tilted_direction(tilt: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a unit vector `(3,)`: uniform azimuth in the x-y plane, at most ``tilt`` degrees out of it."""
    azimuth, height = generator.uniform(0, 2 * math.pi), math.radians(generator.uniform(-tilt, tilt))
    flat = math.cos(height)
    return np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(height)])


def frames_along(centreline: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points on a centre line and two directions across it that do not twist (parallel transport).

    Args:
        centreline: `(n, 3)`.
        places: `(m,)` distances along it in Å.

    Returns:
        Points, and two unit vectors u and v with u × v along the line; each `(m, 3)`.
    """
    marks = np.concatenate([[0.0], length(np.diff(centreline, axis=0)).cumsum()])
    tangents = unit(np.gradient(centreline, marks, axis=0))
    sides = np.empty_like(tangents)
    side = perpendicular(tangents[0])
    for i, tangent in enumerate(tangents):
        side = unit(side - (side @ tangent) * tangent)
        sides[i] = side
    points, along, u = (_interpolate(places, marks, values) for values in (centreline, tangents, sides))
    along = unit(along)
    u = unit(u - (u * along).sum(axis=1, keepdims=True) * along)
    return points, u, np.cross(along, u)


def _half(
    extent: np.ndarray,
    start: np.ndarray,
    direction: np.ndarray,
    persistence: float,
    step: float,
    margin: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Grow a chain from ``start`` to its first point more than ``margin`` outside the box."""
    chain = start[None]
    span = float(np.linalg.norm(extent)) / 2 + margin + step
    while True:
        piece = worm_like_chain(span, step, persistence, chain[-1], direction, generator)[1:]
        outside = ((piece < -margin) | (piece > extent + margin)).any(axis=1)
        if outside.any():
            return np.concatenate([chain, piece[: outside.argmax() + 1]])
        chain = np.concatenate([chain, piece])
        direction = chain[-1] - chain[-2]


def _falls(ratio: float, uniform: np.ndarray) -> np.ndarray:
    """Draw 1 − cos of the angle between tangents ``ratio`` persistence lengths apart, from uniform numbers."""
    if ratio == 0:
        return np.zeros_like(uniform)
    spread = -math.expm1(-ratio)  # 1/κ; right where κ is large, as coth κ is 1 then
    if spread > 0.03:
        spread = 1 / brentq(lambda kappa: 1 / math.tanh(kappa) - 1 / kappa - math.exp(-ratio), 0.1, 40)
    return -spread * np.log1p(uniform * math.expm1(-2 / spread))


def _turns(fall: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Return rotations `(n, 3, 3)` Rz(azimuth) Ry(θ) with cos θ = 1 − fall."""
    c, s, zero = np.cos(azimuth), np.sin(azimuth), np.zeros_like(fall)
    cosine, sine = 1 - fall, np.sqrt(fall * (2 - fall))
    rows = [c * cosine, -s, c * sine, s * cosine, c, s * sine, -sine, zero, cosine]
    return np.stack(rows, axis=-1).reshape(-1, 3, 3)


def _interpolate(at: np.ndarray, marks: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, marks, values[:, i]) for i in range(3)], axis=1)
