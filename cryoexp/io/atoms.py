"""Atomic models (.pdb, .cif, also gzipped) to density, with gemmi."""

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from cryoexp.errors import DataError
from cryoexp.io.guard import reading

SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif", ".pdb.gz", ".ent.gz", ".cif.gz", ".mmcif.gz")
VOLTS = 47.878  # h² / (2π m e) in V Å²: electron scattering density (Å / Å³) to potential (V)
HYDROGENS = 1.07  # mass of a protein with its hydrogens over that without


@dataclass(frozen=True)
class AtomicModel:
    """The biological assembly of one entry, waters, ligand-free hydrogens and alternative places removed."""

    structure: gemmi.Structure
    centre: np.ndarray  # centre of mass (x, y, z) in Å
    radius: float  # Å, farthest atom from the centre
    mass: float  # kDa, hydrogens included
    assembly: str  # which assembly was applied, or ""


def read_atoms(path: str | Path) -> AtomicModel:
    """Read an atomic model and build its first biological assembly (REMARK 350 or the CIF assemblies).

    Raises:
        DataError: unreadable, without atoms, or with atoms that have neither place nor mass.
    """
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise DataError(f"{path}: gemmi cannot read it ({str(error).splitlines()[0]})") from None
    # a broken file can trip what follows too: empty models, operators that are not there
    with reading(path, "atomic model"):
        return _assemble(path, structure)


def _assemble(path: str | Path, structure: gemmi.Structure) -> AtomicModel:
    structure.setup_entities()
    structure.remove_waters()
    structure.remove_hydrogens()
    structure.remove_alternative_conformations()
    structure.remove_empty_chains()
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise DataError(f"{path}: holds no atoms")
    assembly = structure.assemblies[0].name if len(structure.assemblies) else ""
    if assembly:
        structure.transform_to_assembly(assembly, gemmi.HowToNameCopiedChain.Short)
    position = np.array([cra.atom.pos.tolist() for cra in structure[0].all()])
    weight = np.array([cra.atom.element.weight * cra.atom.occ for cra in structure[0].all()])
    if not (np.isfinite(position).all() and np.isfinite(weight).all() and weight.sum() > 0):
        raise DataError(f"{path}: atoms without a place, or all without mass (element or occupancy unknown)")
    centre = np.average(position, axis=0, weights=weight)
    return AtomicModel(
        structure=structure,
        centre=centre,
        radius=float(np.linalg.norm(position - centre, axis=1).max()),
        mass=float(weight.sum()) * HYDROGENS / 1000,
        assembly=assembly,
    )


def potential(model: AtomicModel, size: int, voxel_size: float, b_factor: float) -> np.ndarray:
    """Electrostatic potential in volts on `(z, y, x)` voxels, centre of mass at index ``size // 2``.

    Gaussian form factors of Peng (1996) with every atom blurred by ``b_factor`` (Å²), which must be
    large enough for the grid: B = 8π² σ², with σ of about a voxel.
    """
    edge = size * voxel_size
    shifted = model.structure.clone()
    shift = gemmi.Position(*(size // 2 * voxel_size - model.centre))
    for cra in shifted[0].all():
        cra.atom.pos += shift
        cra.atom.b_iso = b_factor
    shifted.cell = gemmi.UnitCell(edge, edge, edge, 90, 90, 90)
    shifted.spacegroup_hm = "P 1"
    calculator = gemmi.DensityCalculatorE()
    calculator.grid.set_unit_cell(shifted.cell)
    calculator.grid.set_size(size, size, size)
    calculator.add_model_density_to_grid(shifted[0])
    # gemmi's grid is (x, y, z)
    return np.array(calculator.grid, copy=True).transpose(2, 1, 0) * VOLTS
