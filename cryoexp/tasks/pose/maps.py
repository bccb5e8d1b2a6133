"""Maps from images whose orientations were found, and how good they are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from cryoexp.errors import DataError
from cryoexp.io.guard import replacing
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.physics.fsc import fourier_shell_correlation, resolution
from cryoexp.physics.insertion import Insertion, padded_size
from cryoexp.physics.reconstruction import Method, Transfer, check_method, reconstruct
from cryoexp.simulate.projections import ImageOptics

READ = 256  # images read at once
HALF, TRUTH = 0.143, 0.5  # thresholds (Rosenthal & Henderson 2003)
SOFT_EDGE = 12  # the edge of the mask is the box over this: five voxels of 64


@dataclass(frozen=True)
class Maps:
    """A map of all images, and those of its halves: images of even and of odd numbers.

    Normalised images have no scale, and neither have their maps.
    """

    full: Tensor  # `(z, y, x)` float32
    halves: tuple[Tensor, Tensor]  # likewise
    voxel_size: float  # Å


def reconstruct_maps(
    images: Callable[[Tensor], Tensor],
    rotations: Tensor,
    shifts: Tensor,
    transfer: Transfer | None,
    *,
    voxel_size: float,
    method: Method,
    device: torch.device | str,
) -> Maps:
    """Reconstruct halves and whole from images that are read a few at a time.

    The mean outside the inscribed circle is taken off every image first: normalised images have theirs at zero
    everywhere, which would make a box of solvent around the particle. By insertion all three come from one pass in
    bounded memory; the other methods hold all images and run three times.

    Args:
        images: from numbers `(m,)` within 0 … n − 1 to `(m, y, x)` or `(m, 1, y, x)` images.
        rotations: `(n, 3, 3)`, reference to image, such that the map has the hand and the turn wanted.
        shifts: `(n, 2)` pixels x, y of the particle from the centre.
        transfer: from such numbers to CTFs, see `cryoexp.physics.reconstruction.reconstruct` and `transfer_of`.
        voxel_size: Å.
        method: see `cryoexp.physics.reconstruction.reconstruct`.
        device: where the work is done; a GPU's sums are not repeatable, so where torch was told to refuse that
            (``trainer.deterministic=true``) it is done on the CPU.

    Raises:
        ConfigError: the method is unknown or cannot run here.
        DataError: fewer than two images, or shapes that do not fit.
    """
    check_method(method)
    if torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled():
        device = "cpu"
    if len(rotations) < 2:
        raise DataError(f"half maps need at least two images, got {len(rotations)}")
    if method == "insertion":
        full, halves = _insert(images, rotations, shifts, transfer, device)
    else:
        numbers = torch.arange(len(rotations))
        stack = torch.cat([_read(images, part) for part in numbers.split(READ)])

        def solve(which: Tensor) -> Tensor:
            some = None if transfer is None else (lambda part: transfer(which[part]))
            return reconstruct(stack[which], rotations[which], shifts[which], some, method=method, device=device)

        full, halves = solve(numbers), (solve(numbers[::2]), solve(numbers[1::2]))
    return Maps(full.cpu(), (halves[0].cpu(), halves[1].cpu()), voxel_size)


def score_maps(maps: Maps, truth: Tensor | None, radius: float | None = None) -> tuple[dict[str, float], pd.DataFrame]:
    """Measure the resolution of maps, against each other and against the truth where that is known.

    Scores are taken behind a soft spherical mask, since the corners of the box hold noise alone; the curves are given
    with and without it. No score is coarser than the edge of the box, which stands for no agreement at all.

    Args:
        maps: to be scored.
        truth: `(z, y, x)`, in the frame of the rotations; of any scale.
        radius: of the mask in voxels, see `soft_sphere`; as large as the box allows if None.

    Returns:
        ``resolution_half_a`` (FSC of the halves 0.143) and, with a truth, ``resolution_truth_05_a`` and
        ``resolution_truth_0143_a``, in Å; and a table with ``frequency`` in 1/Å, ``resolution_a``, ``half``,
        ``half_unmasked``, ``truth`` and ``truth_unmasked``.

    Raises:
        DataError: the truth differs in shape.
    """
    size = maps.full.shape[0]
    mask = soft_sphere(size, radius)
    pairs = {"half": maps.halves} if truth is None else {"half": maps.halves, "truth": (maps.full, truth.cpu())}
    curves, scores = {}, {}
    for name, (a, b) in pairs.items():
        if a.shape != b.shape:
            raise DataError(f"a map of {tuple(a.shape)} cannot be compared with a truth of {tuple(b.shape)}")
        frequency, curves[name] = fourier_shell_correlation(a * mask, b * mask, maps.voxel_size)
        _, curves[f"{name}_unmasked"] = fourier_shell_correlation(a, b, maps.voxel_size)
    worst = size * maps.voxel_size
    scores["resolution_half_a"] = min(resolution(frequency, curves["half"], HALF), worst)
    if truth is not None:
        scores["resolution_truth_05_a"] = min(resolution(frequency, curves["truth"], TRUTH), worst)
        scores["resolution_truth_0143_a"] = min(resolution(frequency, curves["truth"], HALF), worst)
    table = pd.DataFrame({"frequency": frequency, "resolution_a": 1 / frequency, **curves})
    return scores, table.astype(float)


def write_maps(maps: Maps, curves: pd.DataFrame, folder: Path) -> None:
    """Write ``reconstruction.mrc``, ``half1.mrc``, ``half2.mrc`` and ``fsc.csv`` into a folder.

    The halves are as reconstructed; the whole is filtered by what they say, see `filtered`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fsc = torch.tensor(curves["half"].to_numpy())
    named = {"reconstruction": filtered(maps.full, fsc), "half1": maps.halves[0], "half2": maps.halves[1]}
    for name, volume in named.items():
        write_volume(folder / f"{name}.mrc", Volume(volume.numpy(), maps.voxel_size))
    with replacing(folder / "fsc.csv") as temporary:
        curves.round(6).to_csv(temporary, index=False)


def filtered(volume: Tensor, fsc: Tensor) -> Tensor:
    """Filter a map of all images by 2 FSC / (1 + FSC) of its halves: what of each shell is signal (a Wiener filter).

    Args:
        volume: `(z, y, x)` cube.
        fsc: `(n // 2 + 1,)` of the halves, from frequency 0; beyond, and where it is negative, nothing passes.
    """
    n = volume.shape[0]
    gain = torch.cat([2 * fsc.clamp(min=0) / (1 + fsc.clamp(min=0)), torch.zeros(1, dtype=fsc.dtype)])
    gain[0] = 1  # the mean is no matter of correlation
    full, half = torch.fft.fftfreq(n, 1 / n), torch.fft.rfftfreq(n, 1 / n)
    shell = (full[:, None, None] ** 2 + full[:, None] ** 2 + half**2).sqrt().round().long().clamp(max=len(fsc))
    return torch.fft.irfftn(torch.fft.rfftn(volume) * gain.float()[shell], s=(n,) * 3)


def soft_sphere(size: int, radius: float | None = None) -> Tensor:
    """Make a spherical mask about index size // 2, `(z, y, x)`: 1 inside, then half a cosine to 0.

    Args:
        size: edge of the box.
        radius: voxels, where the edge of size / 12 begins; if None, so that the mask just fits the box.
    """
    width = size / SOFT_EDGE
    radius = (size - 1) // 2 - width if radius is None else radius
    axis = torch.arange(size) - size // 2
    distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    return 0.5 + 0.5 * torch.cos(torch.pi * ((distance - radius) / width).clamp(0, 1))


def transfer_of(optics: ImageOptics, defocus: Tensor, size: int, pixel_size: float, contrast: str) -> Transfer:
    """Make the CTFs of images, with the sign of their contrast, by their numbers.

    Args:
        optics: the microscope; without a CTF the sign alone is left.
        defocus: `(n,)` Å.
        size: edge of the images.
        pixel_size: Å.
        contrast: dark or bright particles.
    """
    sign, padded = -1.0 if contrast == "dark" else 1.0, padded_size(size)

    def transfer(numbers: Tensor) -> Tensor:
        if not optics.ctf:
            return torch.full((len(numbers), padded, padded // 2 + 1), sign)
        return sign * optics.transfer(padded, pixel_size, defocus[numbers].float())

    return transfer


def _insert(
    images: Callable[[Tensor], Tensor], rotations: Tensor, shifts: Tensor, transfer: Transfer | None, device: object
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Reconstruct whole and halves in one pass."""
    parts: list[Insertion] = []
    for numbers in torch.arange(len(rotations)).split(READ):
        batch, ctf = _read(images, numbers), None if transfer is None else transfer(numbers)
        parts = parts or [Insertion(batch.shape[-1], device=device) for _ in range(2)]  # type: ignore[arg-type]
        for half, part in enumerate(parts):
            rows = numbers % 2 == half
            which = numbers[rows]
            part.add(batch[rows], rotations[which], shifts[which], None if ctf is None else ctf[rows])
    even, odd = parts
    return (even + odd).volume(), (even.volume(), odd.volume())


def _read(images: Callable[[Tensor], Tensor], numbers: Tensor) -> Tensor:
    """Read some images as `(m, y, x)` float32, their mean outside the inscribed circle taken off."""
    batch = images(numbers).float()
    batch = batch.reshape(len(numbers), *batch.shape[-2:])
    size = batch.shape[-1]
    axis = (torch.arange(size, device=batch.device) - size // 2).float()
    around = axis[:, None] ** 2 + axis**2 > (size / 2) ** 2
    return batch - batch[:, around].mean(1)[:, None, None]
