"""Molecular structures from the embedded zoo, from files, or downloaded, all in one form."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from cryoexp.errors import DataError
from cryoexp.io import atoms, mrc
from cryoexp.simulate import download
from cryoexp.simulate.zoo import FIXED_TEN, PROJECTED, VOLUME_PER_DALTON, ZOO

BLUR = 0.7  # blur of a template in voxels: little of it survives at the Nyquist frequency; undone after imaging
INVERTED = -1.0  # skewness of a map below which its matter is what lies below the solvent
PRESETS: dict[str, tuple[str, ...]] = {
    "zoo10": FIXED_TEN,
    "zoo": tuple(name for name in ZOO if name != PROJECTED),
    # the ten complexes of Liu et al., BIBM 2020, in their order
    "bibm2020": tuple(
        f"pdb:{entry}" for entry in ["1bxn", "1f1b", "1yg6", "2byu", "2h12", "2ldb", "3gl1", "3hhb", "4d4r", "6t3e"]
    ),
}
SUFFIXES = atoms.SUFFIXES + mrc.SUFFIXES


@dataclass(frozen=True)
class Structure:
    """One complex on a grid.

    ``density`` is `(z, y, x)` in Da/Å³ (protein: 1 / 1.21), an odd number of samples ``step`` Å apart, the centre of
    mass in the middle, convolved with a Gaussian of standard deviation ``blur`` Å.
    """

    name: str
    mass: float  # kDa
    radius: float  # Å, farthest matter from the centre of mass
    density: np.ndarray
    step: float
    blur: float
    origin: str  # where it came from, for dataset.yaml
    unit: float = 1.0  # Da/Å³ of one in the values of its map
    voxel_size: float | None = None  # Å, of its map

    @property
    def mask(self) -> np.ndarray:
        """The densest samples that together hold the volume of the complex, 1.21 Å³ per dalton."""
        count = max(1, round(VOLUME_PER_DALTON * self.mass * 1000 / self.step**3))
        return self.density >= np.partition(self.density.ravel(), -count)[-count]


def resolve(source: str | Sequence[str], cache: Path, allow_download: bool) -> list[str | Path]:
    """Turn the config's ``structures`` into zoo names and existing files.

    Args:
        source: a preset (zoo10, zoo, bibm2020), a folder of structure files, or a list of zoo names, files,
            ``pdb:ID`` and ``emd:ID``.
        cache: where downloads are kept.
        allow_download: whether missing entries may be fetched.

    Raises:
        DataError: nothing of that name, an empty folder, or two structures of one name.
    """
    items = (PRESETS.get(source) or _folder(source)) if isinstance(source, str) else tuple(source)
    found = [_locate(str(item), cache, allow_download) for item in items]
    names = [_name(item) for item in found]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"dataset.structures: two structures are called {name}")
    return found


def fingerprint(item: str | Path) -> str:
    """What identifies a structure in a cache key: a zoo name, or a file's name and content."""
    if isinstance(item, str):
        return f"zoo:{item}"
    try:
        return f"{_name(item)}:{hashlib.sha256(item.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise DataError(f"{item}: cannot be read ({error})") from None


def load(items: Sequence[str | Path], voxel_size: float) -> list[Structure]:
    """Load structures as templates for images of ``voxel_size`` Å, ordered by mass."""
    step, blur = voxel_size / 2, BLUR * voxel_size
    return sorted((_load(item, step, blur) for item in items), key=lambda s: (s.mass, s.name))


def _folder(source: str) -> tuple[str, ...]:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"dataset.structures={source}: neither a folder nor one of {', '.join(PRESETS)}. "
            "A list may name zoo complexes, files, pdb:ID and emd:ID"
        )
    files = sorted(str(f) for f in folder.iterdir() if f.name.lower().endswith(SUFFIXES))
    if not files:
        raise DataError(f"dataset.structures={source}: no structure files in this folder ({' '.join(SUFFIXES)})")
    return tuple(files)


def _locate(item: str, cache: Path, allow_download: bool) -> str | Path:
    if item in ZOO:
        return item
    if item.startswith(("pdb:", "emd:")):
        return download.fetch(item, cache, allow_download)
    path = Path(item).expanduser()
    if not path.is_file():
        raise DataError(f"dataset.structures: {item} is neither a file nor one of the zoo: {', '.join(ZOO)}")
    return path


def _name(item: str | Path) -> str:
    """Class name of a structure: the file name without its ending, in letters that a STAR column can hold."""
    if isinstance(item, str):
        return item
    stem = item.name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        stem = stem.removesuffix(suffix)
    return re.sub(r"[^a-z0-9_-]+", "_", stem)


def _load(item: str | Path, step: float, blur: float) -> Structure:
    if isinstance(item, str):
        return _from_zoo(item, step, blur)
    if item.name.lower().endswith(mrc.SUFFIXES):
        return _from_map(item, step, blur)
    return _from_atoms(item, step, blur)


def _from_zoo(name: str, step: float, blur: float) -> Structure:
    entry = ZOO[name]
    cloud = entry.atoms()
    radius = float(np.linalg.norm(cloud.centres, axis=1).max())
    size = 2 * _half(radius, step, blur) + 1
    density = cloud.grid(size, step, blur)
    return Structure(name, entry.mass, radius, density, step, blur, f"zoo, {entry.point_group}")


def _from_atoms(path: Path, step: float, blur: float) -> Structure:
    model = atoms.read_atoms(path)
    half = _half(model.radius, step, blur)
    fine = step / 2  # twice finer, so that gemmi's own blur of one sample is enough
    potential = atoms.potential(model, 4 * half + 1, fine, b_factor=8 * math.pi**2 * fine**2)
    smooth = ndimage.gaussian_filter(potential, math.sqrt(blur**2 - fine**2) / fine)[::2, ::2, ::2]
    note = f"{path.name}, assembly {model.assembly}" if model.assembly else path.name
    return Structure(_name(path), model.mass, model.radius, _to_daltons(smooth, model.mass, step), step, blur, note)


def _from_map(path: Path, step: float, blur: float) -> Structure:
    volume = mrc.read_volume(path)
    data, note = volume.data - np.median(volume.data), "mass estimated"
    if not data.any():
        raise DataError(f"{path}: the map is empty or constant")
    if _skewness(data) < INVERTED:
        data, note = -data, "mass estimated, inverted: its matter was negative"
    # a map says nothing of its mass: Otsu's threshold gives the envelope, 1.21 Å³/Da the mass
    inside = data > threshold_otsu(data)
    mass = inside.sum() * volume.voxel_size**3 / VOLUME_PER_DALTON / 1000
    matter = np.where(ndimage.binary_dilation(inside, iterations=2), data.clip(0), 0)
    centre = np.array(ndimage.center_of_mass(matter))
    radius = float(np.linalg.norm(np.argwhere(inside) - centre, axis=1).max() * volume.voxel_size)
    half = _half(radius, step, blur)
    smooth = ndimage.gaussian_filter(matter, blur / volume.voxel_size, mode="constant")
    axis = np.arange(-half, half + 1) * step / volume.voxel_size
    where = np.meshgrid(*(axis + c for c in centre), indexing="ij")
    density = ndimage.map_coordinates(smooth, where, order=3, mode="constant")
    in_daltons = _to_daltons(density, mass, step)
    return Structure(
        _name(path),
        float(mass),
        radius,
        in_daltons,
        step,
        blur,
        f"{path.name} ({note})",
        unit=float(in_daltons.max() / density.max()),
        voxel_size=volume.voxel_size,
    )


def _skewness(deviation: np.ndarray) -> float:
    """Third moment of values from which the solvent's was taken, in units of their spread; matter decides its sign."""
    values = deviation.astype(np.float64)
    return float((values**3).mean() / (values**2).mean() ** 1.5)


def _half(radius: float, step: float, blur: float) -> int:
    return math.ceil((radius + 3 * blur) / step)


def _to_daltons(density: np.ndarray, mass: float, step: float) -> np.ndarray:
    """Scale a density so that it integrates to the mass: one unit for atoms, maps and the zoo."""
    return (density * (mass * 1000 / (density.sum() * step**3))).astype(np.float32)
