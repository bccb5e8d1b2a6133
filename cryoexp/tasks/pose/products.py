"""What the pose task leaves behind: orientations, maps, figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from cryoexp.errors import DataError
from cryoexp.io.star import write_star
from cryoexp.physics.reconstruction import Method, Transfer
from cryoexp.physics.rotations import euler_to_matrix, matrix_to_euler
from cryoexp.progress import console
from cryoexp.tasks.pose.align import Aligned, align, other_hand
from cryoexp.tasks.pose.figures import draw_directions, draw_distances, draw_errors
from cryoexp.tasks.pose.imaging import transfer_of_table
from cryoexp.tasks.pose.map_figures import draw_examples, draw_fsc, draw_slices, typical
from cryoexp.tasks.pose.maps import HALF, TRUTH, Maps, filtered, reconstruct_maps, score_maps, write_maps
from cryoexp.tasks.pose.shifts import locate_particles
from cryoexp.tasks.pose.solve import Solution
from cryoexp.tasks.pose.view import pose_scene

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
STALE = ("rlnOriginX", "rlnOriginY")  # RELION 3.0's origins, in pixels
FEWEST = 100  # images that make a map
BOUND = 0.02  # pixels from the limit at which a shift counts as not found


@dataclass(frozen=True)
class Stack:
    """Images whose orientations were found, and what their tables say of them.

    Args:
        images: from numbers `(m,)` to the normalised `(m, 1, y, x)` images.
        rows: RELION's table, a row an image.
        optics: RELION's optics groups.
        voxel_size: Å, of the images as they are given.
        size: their edge.
        contrast: dark or bright particles.
        flipped: whether the signs of the CTF were taken out of the images.
        clean: as ``images``, without noise, or smoothed where that is not known; for the eye.
    """

    images: Callable[[Tensor], Tensor]
    rows: pd.DataFrame
    optics: pd.DataFrame
    voxel_size: float
    size: int
    contrast: str
    flipped: bool
    clean: Callable[[Tensor], Tensor] | None = None

    @property
    def origins(self) -> Tensor:
        """Shifts `(n, 2)` that the table tells, pixels x, y of the particle from the centre; 0 where it tells none."""
        if not set(ORIGINS) <= set(self.rows):
            return torch.zeros(len(self.rows), 2)
        return torch.tensor(self.rows[list(ORIGINS)].to_numpy(dtype=float) / -self.voxel_size).float()

    @property
    def transfer(self) -> Transfer:
        """CTFs of the images by their numbers, with the sign of their contrast."""
        return transfer_of_table(
            self.rows, self.optics, self.size, self.voxel_size, contrast=self.contrast, flipped=self.flipped
        )


@dataclass(frozen=True)
class Making:
    """How maps are made.

    Args:
        method: insertion, cg, astra_cgls or astra_sirt (`cryoexp.physics.reconstruction.reconstruct`).
        limit: pixels along x and y within which particles are looked for off the centre; 0: they are where they are.
        device: where the work is done.
    """

    method: Method
    limit: float
    device: torch.device


def write_orientations(
    stack: Stack, rotations: Tensor, shifts: Tensor, more: dict[str, Any], folder: Path, name: str = "orientations"
) -> None:
    """Write a STAR table (RELION) and the same as CSV: the input's rows with the angles and origins that were found.

    Args:
        stack: the images.
        rotations: `(n, 3, 3)`.
        shifts: `(n, 2)` pixels x, y of the particle from the centre.
        more: columns to add.
        folder: existing.
        name: of both files.
    """
    angles = torch.rad2deg(matrix_to_euler(rotations)).numpy().round(4)
    table = stack.rows.filter(regex="^rln").reset_index(drop=True)
    table = table.drop(columns=[name for name in table if name in STALE or name.endswith("Prior")])
    table[list(ANGLES)] = angles
    table[list(ORIGINS)] = (-stack.voxel_size * shifts.double()).numpy().round(4) + 0.0
    table = table.assign(**more)
    write_star(folder / f"{name}.star", {"optics": stack.optics, "particles": table})
    table.to_csv(folder / f"{name}.csv", index=False)


def write_solution(stack: Stack, solution: Solution, shifts: Tensor, folder: Path) -> None:
    """Write the orientations, and where distances alone gave them those of the other hand too."""
    more = {"cryoexpSpreadDegrees": torch.rad2deg(solution.spread).numpy().round(4)}
    write_orientations(stack, solution.rotations, shifts, more, folder)
    if solution.own == "pairs":
        console.print("note    distances do not tell the hand: orientations_other_hand.star has the mirror image's")
        write_orientations(stack, other_hand(solution.rotations), shifts, more, folder, "orientations_other_hand")


def write_new(stack: Stack, solution: Solution, making: Making, folder: Path) -> None:
    """Write orientations, maps, their FSC and pictures for images whose truth nobody knows.

    Origins that their table tells are where particles are looked for.
    """
    maps, shifts = make_maps(stack, solution.rotations, making, stack.origins)
    write_solution(stack, solution, shifts, folder)
    draw_directions(solution.rotations, folder / "directions.png")
    console.print(f"found   orientations of {len(shifts):,} images")
    if maps is None:
        return
    scores, curves = score_maps(maps, None)
    write_maps(maps, curves, folder)
    draw_maps(maps, curves, None, folder)
    pose_scene(shown(maps, curves), maps.voxel_size, solution.rotations).write(folder / "reconstruction.view.json")
    console.print(f"found   a map, halves agree to {scores['resolution_half_a']:.1f} Å (FSC {HALF})")


def true_rotations(rows: pd.DataFrame) -> Tensor:
    """Rotations `(n, 3, 3)` by the angles of RELION's table.

    Raises:
        DataError: a column is missing, or holds no truth.
    """
    missing = [name for name in ANGLES if name not in rows]
    if missing:
        raise DataError(f"the input's table has no {', '.join(missing)}: there is no truth to evaluate against")
    angles = torch.tensor(rows[list(ANGLES)].to_numpy(dtype=float))
    wrong = int((~angles.isfinite()).any(1).sum())
    if wrong or not angles[:, :2].any():
        what = f"{wrong} rows without a number" if wrong else "rot and tilt 0 in every row"
        raise DataError(f"the input's table has {', '.join(ANGLES)} with {what}: there is no truth to evaluate against")
    return euler_to_matrix(torch.deg2rad(angles))


def write_products(
    stack: Stack,
    solution: Solution,
    truth: Tensor,
    group: Tensor | None,
    distances: tuple[Tensor, Tensor],
    reference: Tensor | None,
    making: Making,
    folder: Path,
) -> dict[str, float]:
    """Write what comes of a test split into the run folder: all in the frame and the hand of the truth.

    Args:
        stack: the images.
        solution: their orientations.
        truth: `(n, 3, 3)`.
        group: of a symmetric molecule, see `align`.
        distances: estimated and true ones of all pairs, radians.
        reference: `(z, y, x)` the map that the images show, where it is known.
        making: how maps are made.
        folder: of the run.

    Returns:
        Resolutions in Å.
    """
    predictions, figures = folder / "predictions", folder / "figures"
    predictions.mkdir(exist_ok=True)
    found = align(solution.rotations, truth, group)
    maps, shifts = make_maps(stack, found.rotations, making, None)
    errors = {"cryoexpSpreadDegrees": torch.rad2deg(solution.spread).numpy().round(4)}
    errors["cryoexpErrorDegrees"] = torch.rad2deg(found.errors).numpy().round(4)
    true = torch.rad2deg(matrix_to_euler(truth)).numpy().round(4)
    errors |= {f"cryoexpTrue{name.removeprefix('rln')}": true[:, i] for i, name in enumerate(ANGLES)}
    write_orientations(stack, found.rotations, shifts, errors, predictions)
    draw_poses(solution, found, truth, group, distances, figures)
    if maps is None:
        return {}
    scores, curves = score_maps(maps, reference)
    write_maps(maps, curves, predictions)
    draw_maps(maps, curves, reference, figures)
    pose_scene(shown(maps, curves), maps.voxel_size, found.rotations, errors=found.errors).write(
        figures / "reconstruction.view.json"
    )
    some = torch.tensor(typical(found.errors))
    clean = stack.clean(some)[:, 0] if stack.clean else None
    draw_examples(stack.images(some)[:, 0], clean, None, found.errors[some], figures / "examples.png")
    return scores


def make_maps(stack: Stack, rotations: Tensor, making: Making, start: Tensor | None) -> tuple[Maps | None, Tensor]:
    """Reconstruct from `(n, 3, 3)` orientations, with the shifts that fit; no map from fewer than `FEWEST` images.

    Args:
        stack: the images.
        rotations: of them.
        making: how.
        start: `(n, 2)` shifts that are known roughly, kept where none are looked for; None: 0.
    """
    start = torch.zeros(len(rotations), 2) if start is None else start
    if len(rotations) < FEWEST:
        console.print(f"note    no map: {len(rotations)} images are too few, it takes {FEWEST}")
        return None, start
    transfer, voxel_size = stack.transfer, stack.voxel_size
    device = making.device
    shifts = locate_particles(
        stack.images, rotations, transfer, limit=making.limit, voxel_size=voxel_size, device=device, start=start
    )
    lost = ((shifts - start).abs() > making.limit - BOUND).any(1).double().mean()
    if making.limit and lost > 0.05:
        console.print(
            f"note    {lost:.0%} of the particles lie at the limit of task.max_shift={making.limit:g} or beyond"
        )
    maps = reconstruct_maps(
        stack.images, rotations, shifts, transfer, voxel_size=voxel_size, method=making.method, device=device
    )
    return maps, shifts


def shown(maps: Maps, curves: pd.DataFrame) -> Tensor:
    """Return the map as it is written: filtered by what the halves agree on."""
    return filtered(maps.full, torch.tensor(curves["half"].to_numpy()))


def draw_poses(
    solution: Solution,
    found: Aligned,
    truth: Tensor,
    group: Tensor | None,
    distances: tuple[Tensor, Tensor],
    folder: Path,
) -> None:
    """Draw directions, distances and errors."""
    draw_directions(found.rotations, folder / "directions.png", truth)
    draw_distances(*distances, folder / "distances.png")
    own = solution.own
    errors = {own: found.errors}
    errors |= {name: align(r, truth, group).errors for name, r in solution.routes.items() if name != own}
    errors[f"{own}, one image"] = align(solution.single[own], truth, group).errors
    draw_errors(errors, folder / "errors.png", truth)


def draw_maps(maps: Maps, curves: pd.DataFrame, reference: Tensor | None, folder: Path) -> None:
    """Draw the FSC and central slices."""
    frequency = torch.tensor(curves["frequency"].to_numpy())
    names = {"half": "half maps", "truth": "against the truth"}
    lines = {names[c]: (frequency, torch.tensor(curves[c].to_numpy())) for c in names if c in curves}
    draw_fsc(lines, [TRUTH, HALF], folder / "fsc.png")
    if reference is not None:
        draw_slices(reference, shown(maps, curves), maps.voxel_size, folder / "slices.png")
