import gemmi
import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.atoms import VOLTS, potential, read_atoms

# electron scattering at zero angle, sum of the Gaussian amplitudes of Peng (1996), in Å
F0 = {"C": 2.5088, "N": 2.2135, "O": 1.9834, "P": 5.4876, "S": 5.1604}


def write_pdb(path, elements, positions, remark=""):
    lines = [remark] if remark else []
    for i, (element, (x, y, z)) in enumerate(zip(elements, positions, strict=True), 1):
        lines.append(
            f"ATOM  {i:5d}  {element:<3s} ALA A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00          {element:>2s}"
        )
    path.write_text("\n".join([*lines, "END", ""]))
    return path


@pytest.mark.parametrize("element", ["C", "N", "O", "S"])
def test_potential_of_one_atom_integrates_to_its_scattering_factor(tmp_path, element):
    model = read_atoms(write_pdb(tmp_path / "one.pdb", [element], [(3, 4, 5)]))
    volume = potential(model, 24, 1.0, b_factor=8 * np.pi**2)
    assert volume.sum() == pytest.approx(F0[element] * VOLTS, rel=2e-3)
    assert np.unravel_index(volume.argmax(), volume.shape) == (12, 12, 12)


def test_axes_are_z_y_x(tmp_path):
    """A heavy pair along x and one light atom far along z."""
    model = read_atoms(write_pdb(tmp_path / "l.pdb", ["S", "S", "C"], [(-5, 0, 0), (5, 0, 0), (0, 0, 8)]))
    volume = potential(model, 32, 1.0, b_factor=8 * np.pi**2)
    spread = [float((volume.sum(tuple(a for a in range(3) if a != axis)) > 1).sum()) for axis in range(3)]
    assert spread[2] > spread[1]
    z = (volume * np.arange(32)[:, None, None]).sum() / volume.sum()
    assert z == pytest.approx(16, abs=0.5)  # centre of mass at index size // 2


def test_waters_and_hydrogens_are_left_out(tmp_path):
    structure = gemmi.read_structure(str(write_pdb(tmp_path / "a.pdb", ["C", "H"], [(0, 0, 0), (1, 0, 0)])))
    water = gemmi.Residue()
    water.name = "HOH"
    atom = gemmi.Atom()
    atom.name, atom.element = "O", gemmi.Element("O")
    water.add_atom(atom)
    structure[0][0].add_residue(water)
    structure.write_pdb(str(tmp_path / "b.pdb"))
    assert read_atoms(tmp_path / "b.pdb").structure[0].count_atom_sites() == 1


def test_biological_assembly(real_data):
    """1bxn is L8S8: the file holds half of it."""
    model = read_atoms(real_data / "structures" / "1bxn.pdb.gz")
    assert model.assembly == "1"
    assert 480 < model.mass < 560
    assert read_atoms(real_data / "structures" / "1s3x.pdb.gz").mass == pytest.approx(42, abs=2)


def test_whole_protein(real_data):
    model = read_atoms(real_data / "structures" / "3gl1.pdb.gz")
    volume = potential(model, 46, 2.5, b_factor=512.0)
    atoms = (cra.atom for cra in model.structure[0].all())
    total = sum(F0.get(a.element.name, 0) * a.occ for a in atoms) * VOLTS
    assert volume.sum() * 2.5**3 == pytest.approx(total, rel=6e-3)


@pytest.mark.parametrize("text", ["", "nothing to see"])
def test_no_atoms(tmp_path, text):
    (tmp_path / "x.pdb").write_text(text)
    with pytest.raises(DataError, match=r"x\.pdb"):
        read_atoms(tmp_path / "x.pdb")
