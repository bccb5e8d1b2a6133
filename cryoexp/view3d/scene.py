"""What there is to see: surfaces, points and arrows in x, y, z, and the file that the report reads."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.io.guard import replacing
from cryoexp.io.mesh import Mesh

FORMAT = "cryoexp-view3d 1"
SUFFIX = ".view.json"  # what files of scenes end with


@dataclass(frozen=True)
class Scale:
    """Colours for values.

    Attributes:
        label: what the values are, with their unit; written in the legend.
        low: value of the first colour; None for the lowest there is.
        high: value of the last colour; None for the highest there is.
        colours: name of a colour map of matplotlib.
    """

    label: str
    low: float | None = None
    high: float | None = None
    colours: str = "viridis"

    def limits(self, values: np.ndarray) -> tuple[float, float]:
        """Return the values of the first and the last colour."""
        low = float(values.min()) if self.low is None else self.low
        high = float(values.max()) if self.high is None else self.high
        return low, high

    def colour(self, values: np.ndarray) -> np.ndarray:
        """Return `(n, 3)` colours as bytes for `(n,)` values."""
        low, high = self.limits(values)
        share = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)
        return plotting.plt.get_cmap(self.colours)(share, bytes=True)[:, :3]


@dataclass(frozen=True, eq=False)
class Item:
    """One thing in a scene, with an entry in the legend.

    Attributes:
        kind: ``mesh``, ``points`` or ``arrows``.
        name: in the legend.
        arrays: by name; float32 `(n, 3)` in x, y, z, uint32 `(m, 3)` faces, uint8 `(n, 3)` colours.
        look: colour, opacity, size, labels, and the legend of the colours.
    """

    kind: str
    name: str
    arrays: dict[str, np.ndarray]
    look: dict[str, Any]


@dataclass
class Scene3d:
    """Surfaces, points and arrows in a right-handed frame x, y, z, seen in parallel projection.

    Attributes:
        unit: of all lengths.
        azimuth: degrees about z from x towards y to where the viewer stands at first.
        elevation: degrees above the x-y plane of the viewer at first. From 90 with azimuth −90 x runs to the right
            and y upwards, as in pictures of slices.
        items: what there is.
    """

    unit: str = "Å"
    azimuth: float = -60.0
    elevation: float = 20.0
    items: list[Item] = field(default_factory=list)

    def mesh(
        self,
        mesh: Mesh,
        name: str,
        *,
        colour: str = "#9fb6c9",
        opacity: float = 1.0,
        values: np.ndarray | None = None,
        scale: Scale | None = None,
    ) -> None:
        """Add a surface.

        Args:
            mesh: vertices in the scene's unit.
            name: in the legend.
            colour: ``#rrggbb``, used where there are no values.
            opacity: 1 hides what is behind, 0 is invisible.
            values: `(n,)` of the vertices, to be coloured by.
            scale: their colours.

        Raises:
            DataError: no vertices, not finite, a face names a vertex that is not there, values of another length.
        """
        vertices, faces = _positions(mesh.vertices, name), np.asarray(mesh.faces)
        if faces.ndim != 2 or faces.shape[1] != 3 or faces.min() < 0 or faces.max() >= len(vertices):
            raise DataError(f"{name}: faces must be (m, 3) indices of the {len(vertices)} vertices")
        look = {"colour": colour, "opacity": float(opacity)}
        self._add("mesh", name, {"vertices": vertices, "faces": faces.astype("<u4")}, look, values, scale)

    def points(
        self,
        positions: np.ndarray,
        name: str,
        *,
        radius: float,
        colour: str = plotting.BLUE,
        labels: Sequence[str] | None = None,
        values: np.ndarray | None = None,
        scale: Scale | None = None,
    ) -> None:
        """Add balls of one radius at `(n, 3)` positions; arguments as of `mesh`, labels are written beside them."""
        positions = _positions(positions, name)
        if labels is not None and len(labels) != len(positions):
            raise DataError(f"{name}: {len(labels)} labels for {len(positions)} points")
        look = {"colour": colour, "size": float(radius), "labels": list(labels or [])}
        self._add("points", name, {"positions": positions}, look, values, scale)

    def arrows(
        self,
        starts: np.ndarray,
        ends: np.ndarray,
        name: str,
        *,
        radius: float,
        head: bool = True,
        colour: str = plotting.BLUE,
        values: np.ndarray | None = None,
        scale: Scale | None = None,
    ) -> None:
        """Add arrows from `(n, 3)` to `(n, 3)`, or plain segments without a head; ``radius`` is that of the shaft."""
        arrays = {"starts": _positions(starts, name), "ends": _positions(ends, name)}
        if len(arrays["starts"]) != len(arrays["ends"]):
            raise DataError(f"{name}: {len(arrays['starts'])} starts and {len(arrays['ends'])} ends of arrows")
        look = {"colour": colour, "size": float(radius), "head": head}
        self._add("arrows", name, arrays, look, values, scale)

    def bounds(self) -> tuple[np.ndarray, float]:
        """Return the middle x, y, z of all there is, and the radius of the ball about it that holds it."""
        places = [a for item in self.items for a in item.arrays.values() if a.dtype == np.dtype("<f4")]
        all_of_them = np.concatenate(places).astype(float)
        middle = (all_of_them.min(0) + all_of_them.max(0)) / 2
        return middle, max(float(np.linalg.norm(all_of_them - middle, axis=1).max()), 1e-6)

    def camera(self) -> np.ndarray:
        """Return the rotation `(3, 3)` whose rows point to the right, upwards and to the viewer."""
        a, e = np.deg2rad([self.azimuth, self.elevation])
        right = [-np.sin(a), np.cos(a), 0]
        up = [-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)]
        return np.array([right, up, [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]])

    def write(self, path: str | Path) -> None:
        """Write the scene as JSON, arrays in base64, and its picture beside it as ``<name>.png``.

        Args:
            path: ``<name>.view.json``; in a run's ``figures`` the report makes it a view to turn.

        Raises:
            DataError: the scene is empty, or the name ends otherwise.
        """
        from cryoexp.view3d.still import draw

        path = Path(path)
        if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
            raise DataError(f"{path}: a scene's file must be named <name>{SUFFIX}")
        if not self.items:
            raise DataError(f"{path}: not written, the scene is empty")
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps(self.plain(), separators=(",", ":"), allow_nan=False), encoding="utf-8")
        draw(self, path.with_name(path.name.removesuffix(SUFFIX) + ".png"))

    def plain(self) -> dict[str, Any]:
        """Return what the file holds, in plain values."""
        middle, radius = self.bounds()
        items = [
            {"kind": i.kind, "name": i.name, **i.look, **{k: _base64(a) for k, a in i.arrays.items()}}
            for i in self.items
        ]
        return {
            "format": FORMAT, "unit": self.unit, "azimuth": self.azimuth, "elevation": self.elevation,
            "middle": middle.tolist(), "radius": radius, "items": items,
        }  # fmt: skip

    def _add(
        self,
        kind: str,
        name: str,
        arrays: dict[str, np.ndarray],
        look: dict[str, Any],
        values: np.ndarray | None,
        scale: Scale | None,
    ) -> None:
        if values is not None:
            values, scale = np.asarray(values, dtype=float), scale or Scale(name)
            count = len(next(iter(arrays.values())))
            if values.shape != (count,) or not np.isfinite(values).all():
                raise DataError(f"{name}: needs {count} finite values, got shape {values.shape}")
            low, high = scale.limits(values)
            stops = scale.colour(np.linspace(low, high, 9)) if high > low else scale.colour(np.full(2, low))
            arrays = {**arrays, "colours": scale.colour(values)}
            colours = ["#" + bytes(stop).hex() for stop in stops]
            look = {**look, "scale": {"label": scale.label, "low": low, "high": high, "colours": colours}}
        self.items.append(Item(kind, name, arrays, look))


def _positions(values: np.ndarray, name: str) -> np.ndarray:
    """Check `(n, 3)` coordinates, and turn them into what the file holds."""
    array = np.ascontiguousarray(np.asarray(values), dtype="<f4")
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0 or not np.isfinite(array).all():
        raise DataError(f"{name}: needs finite (n, 3) coordinates x, y, z, at least one row, got shape {array.shape}")
    return array


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
