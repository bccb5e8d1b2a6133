"""DeepFinder's object lists: XML with a place, a class number and perhaps angles for each particle."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from cryoexp.errors import DataError
from cryoexp.io.guard import reading, replacing

PLACES, ANGLES = ["x", "y", "z"], ["phi", "psi", "the"]
WHOLE, REAL = ["tomo_idx", "obj_id", "cluster_size"], [*ANGLES, "score"]


def read_objects(path: str | Path) -> pd.DataFrame:
    """Read an object list (Moebel et al., Nature Methods 2021).

    Returns:
        One row an object: ``class_label`` (number), ``x y z`` in voxels of the tomogram from 0, ``phi psi the`` in
        degrees (NaN where there are none), ``tomo_idx obj_id cluster_size`` (-1: not given), ``tomo_name`` (text) and
        ``score`` (NaN), which DeepFinder itself neither writes nor minds.

    Raises:
        DataError: no object list, or an object (named by its number from 1) without a class or a place.
    """
    with reading(path, "DeepFinder object list"):
        root = ElementTree.parse(path).getroot()
        if root.tag != "objlist":
            raise ValueError(f"<{root.tag}> in place of <objlist>")
        rows = [_read_object(path, number, dict(item.attrib)) for number, item in enumerate(root, start=1)]
    return pd.DataFrame(rows, columns=["class_label", *PLACES, *REAL, *WHOLE, "tomo_name"])


def write_objects(path: str | Path, objects: pd.DataFrame) -> None:
    """Write an object list; columns as `read_objects` gives them, of which those without a value are left out.

    Raises:
        DataError: a place is not finite.
    """
    if not np.isfinite(objects[PLACES].to_numpy(dtype=float)).all():
        raise DataError(f"{path}: not written, a place is not finite")
    root = ElementTree.Element("objlist")
    for row in objects.to_dict("records"):
        given: dict[str, str] = {"class_label": str(int(row["class_label"]))}
        given |= {name: f"{row[name]:.4f}" for name in PLACES}
        given |= {name: f"{row[name]:.4f}" for name in REAL if np.isfinite(row.get(name, np.nan))}
        given |= {name: str(int(row[name])) for name in WHOLE if row.get(name, -1) >= 0}
        given |= {"tomo_name": str(row["tomo_name"])} if row.get("tomo_name") else {}
        ElementTree.SubElement(root, "object", given)
    ElementTree.indent(root)
    with replacing(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8")


def angles_to_matrix(angles: np.ndarray) -> np.ndarray:
    """Turn `(n, 3)` phi, psi, the (degrees) into `(n, 3, 3)` reference-to-tomogram matrices Rz(psi) Rx(the) Rz(phi).

    PyTom's convention, as DeepFinder turns its masks: phi about z first, then the about x, then psi about z.
    """
    if not len(angles):
        return np.zeros((0, 3, 3))
    return Rotation.from_euler("ZXZ", angles[:, [1, 2, 0]], degrees=True).as_matrix()


def matrix_to_angles(matrices: np.ndarray) -> np.ndarray:
    """Turn `(n, 3, 3)` reference-to-tomogram matrices into `(n, 3)` phi, psi, the in degrees."""
    if not len(matrices):
        return np.zeros((0, 3))
    # phi and psi add up where the is 0 or 180: scipy then sets one to zero, which is as good
    return Rotation.from_matrix(matrices).as_euler("ZXZ", degrees=True, suppress_warnings=True)[:, [2, 0, 1]]


def _read_object(path: str | Path, number: int, given: dict[str, str]) -> dict[str, object]:
    try:
        row: dict[str, object] = {"class_label": int(given["class_label"])}
        places = {name: float(given[name]) for name in PLACES}
        row |= places | {name: float(given.get(name, "nan")) for name in REAL}
        row |= {name: int(given.get(name, -1)) for name in WHOLE}
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} object {number}: not DeepFinder's ({type(error).__name__}: {error})") from None
    if not np.isfinite(list(places.values())).all():
        raise DataError(f"{path} object {number}: a place is not finite")
    return row | {"tomo_name": given.get("tomo_name", "")}
