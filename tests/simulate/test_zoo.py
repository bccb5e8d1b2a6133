"""Facts about the zoo: volume, mass, radius, symmetry, seeds, density, likeness after imaging."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryoexp.simulate.similarity import Imaging, best_correlation, harmonics, imaged_correlation
from cryoexp.simulate.zoo import FIXED_TEN, JITTER, ZOO, PseudoAtoms

STATED = {
    "blob40": ("C1", 40, 30),
    "dimer80": ("C2", 80, 40),
    "wedge160": ("C2", 160, 50),
    "ring240": ("C6", 240, 60),
    "tetra300": ("D2", 300, 65),
    "junction430": ("C1", 430, 120),
    "barrel560": ("D4", 560, 70),
    "p97like": ("C6", 540, 85),
    "barrel700": ("D7", 700, 90),
    "chap900": ("D8", 950, 100),
    "cap1300": ("C1", 1300, 120),
    "ribo2500": ("C1", 2500, 120),
    "capsid4000": ("I", 4000, 150),
}
every = pytest.mark.parametrize("name", STATED)


def test_the_zoo_is_as_stated() -> None:
    found = {name: (item.point_group, item.mass, item.radius) for name, item in ZOO.items()}
    assert found == STATED
    assert list(ZOO) == list(STATED)
    assert set(FIXED_TEN) == set(ZOO) - {"blob40", "capsid4000", "junction430"}


@every
def test_the_cells_hold_the_proteins_volume(name: str) -> None:
    item, atoms = ZOO[name], ZOO[name].atoms()
    assert len(atoms.centres) * item.spacing**3 == pytest.approx(1.21 * 1000 * item.mass, rel=0.01)
    assert 7 < item.spacing < 8


@pytest.mark.parametrize("name", ["tetra300", "barrel560", "ribo2500"])
def test_the_inside_has_the_density_of_protein(name: str) -> None:
    volume = ZOO[name].atoms().grid(65, 5.0, blur=4.0)
    inside = volume[volume > 0.5 / 1.21]
    assert np.quantile(inside, 0.75) == pytest.approx(1 / 1.21, rel=0.12)
    assert inside.size * 125 == pytest.approx(ZOO[name].volume, rel=0.12)


@every
def test_mass_centre_and_radius(name: str) -> None:
    item, atoms = ZOO[name], ZOO[name].atoms()
    assert atoms.weights.sum() == pytest.approx(1000 * item.mass)
    np.testing.assert_allclose(atoms.weights @ atoms.centres / atoms.weights.sum(), 0, atol=1e-9)
    assert np.linalg.norm(atoms.centres, axis=1).max() == pytest.approx(item.radius, rel=0.03)


@every
def test_the_point_group_maps_the_atoms_onto_themselves(name: str) -> None:
    centres = ZOO[name].atoms(seed=1).centres
    tree = cKDTree(centres)
    for rotation in Rotation.create_group(STATED[name][0]).as_matrix():
        distance, index = tree.query(centres @ rotation.T)
        assert distance.max() < 1e-6
        assert len(set(index)) == len(centres)


@every
def test_no_two_atoms_coincide(name: str) -> None:
    centres = ZOO[name].atoms().centres
    assert cKDTree(centres).query(centres, k=2)[0][:, 1].min() > 0.5


@every
def test_the_seed_decides_the_jitter_and_nothing_else(name: str) -> None:
    item = ZOO[name]
    first, again, other = item.atoms(seed=0), item.atoms(seed=0), item.atoms(seed=1)
    np.testing.assert_array_equal(first.centres, again.centres)
    assert not np.array_equal(first.centres, other.centres)
    np.testing.assert_array_equal(first.weights, other.weights)
    moved = np.linalg.norm(first.centres - other.centres, axis=1)
    assert np.median(moved) < 2 * JITTER * item.spacing
    assert np.quantile(moved, 0.99) < 2 * np.sqrt(3) * JITTER * item.spacing


def test_the_generator_of_numpy_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    ZOO["blob40"].atoms()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("size", [24, 25])
def test_the_grid_is_the_density_at_the_voxel_centres(size: int) -> None:
    atoms = ZOO["wedge160"].atoms()
    z, y, x = np.indices((size, size, size)) - size // 2
    exact = atoms.density(5.0 * np.stack([x, y, z], axis=-1))
    np.testing.assert_allclose(atoms.grid(size, 5.0), exact, atol=1e-6)


def test_blur_widens_the_gaussians() -> None:
    atoms = ZOO["dimer80"].atoms()
    wider = PseudoAtoms(atoms.centres, atoms.weights, 5.0)
    np.testing.assert_allclose(atoms.grid(20, 6.0, blur=3.0), wider.grid(20, 6.0), atol=1e-6)


@every
def test_the_grid_integrates_to_the_mass(name: str) -> None:
    volume = ZOO[name].atoms().grid(54, 7.0, blur=7.0)
    assert volume.dtype == np.float32
    assert volume.sum(dtype=float) * 7.0**3 == pytest.approx(1000 * ZOO[name].mass, rel=1e-4)


def test_one_atom_is_at_the_middle_voxel_and_axes_are_z_y_x() -> None:
    atom = PseudoAtoms(np.array([[10.0, 0.0, -20.0]]), np.array([5.0]), 4.0)
    assert np.unravel_index(np.argmax(atom.grid(12, 10.0)), (12, 12, 12)) == (4, 6, 7)


def test_a_turned_and_shifted_copy_correlates_fully() -> None:
    atoms = ZOO["wedge160"].atoms()
    turn = Rotation.from_euler("zyz", [30, 40, 50], degrees=True)
    copy = PseudoAtoms(turn.apply(atoms.centres) + np.array([7.0, -12.0, 21.0]), atoms.weights, atoms.sigma)
    assert imaged_correlation(atoms, copy) == pytest.approx(1, abs=0.01)


def test_alignment_is_no_worse_than_a_correlation_in_the_box() -> None:
    a, b = ZOO["barrel560"].atoms(), ZOO["p97like"].atoms()
    in_place = np.corrcoef(_imaged(a).ravel(), _imaged(b).ravel())[0, 1]
    assert in_place - 0.01 < imaged_correlation(a, b) < in_place + 0.06


@pytest.mark.parametrize(("a", "b"), [("dimer80", "wedge160"), ("barrel560", "p97like"), ("barrel700", "cap1300")])
def test_close_pairs_are_close_but_not_the_same(a: str, b: str) -> None:
    assert 0.85 <= imaged_correlation(ZOO[a].atoms(), ZOO[b].atoms()) < 0.95


def test_other_complexes_are_told_apart() -> None:
    imaging = Imaging()
    images = [harmonics(ZOO[name].atoms(), imaging) for name in ("ring240", "tetra300", "p97like")]
    found = [best_correlation(a, b, imaging) for k, a in enumerate(images) for b in images[:k]]
    assert max(found) < 0.7


def _imaged(atoms: PseudoAtoms, size: int = 48, voxel_size: float = 10.0) -> np.ndarray:
    """Image a complex in a box as the definition says, by FFT; returns `(z, y, x)`."""
    frequency = np.fft.fftfreq(size, voxel_size)
    z, y, x = np.meshgrid(frequency, frequency, frequency, indexing="ij")
    transfer = Imaging().transfer(np.sqrt(x * x + y * y + z * z))
    return np.fft.ifftn(np.fft.fftn(atoms.grid(size, voxel_size)) * transfer).real
