"""A picture of a scene, as it is seen at first."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.lines import Line2D

from cryoexp import plotting
from cryoexp.view3d.scene import Item, Scene3d

LAYERS = 48  # slabs in depth, drawn one on another; within one, surfaces come first
LIGHT = np.array([-0.35, 0.5, 0.79])  # from where it shines, in the viewer's frame
POINTS_AN_INCH = 72


def draw(scene: Scene3d, path: Path) -> None:
    """Draw a scene from its first side as PNG, in parallel projection, with its legend and a bar of length."""
    camera, (middle, radius) = scene.camera(), scene.bounds()
    fig, axes = plotting.figure(width=6.4, height=5.6)
    ax = axes[0, 0]
    ax.set(xlim=(-1.05 * radius, 1.05 * radius), ylim=(-1.05 * radius, 1.05 * radius), aspect="equal")
    ax.axis("off")
    fig.draw_without_rendering()  # the layout decides how long a unit is in points
    unit = ax.get_window_extent().width / fig.dpi * POINTS_AN_INCH / (2.1 * radius)
    for item in scene.items:
        seen = {name: (a - middle) @ camera.T for name, a in item.arrays.items() if a.dtype == np.dtype("<f4")}
        {"mesh": _mesh, "points": _points, "arrows": _arrows}[item.kind](ax, item, seen, radius, unit)
    _axes(ax, camera, radius)
    length = plotting.round_length(0.5 * radius)
    plotting.bar(ax, -radius, -radius, length, f"{length:g} {scene.unit}")
    _legend(ax, scene)
    plotting.save(fig, path)


def _mesh(ax: Axes, item: Item, seen: dict[str, np.ndarray], radius: float, unit: float) -> None:
    faces = item.arrays["faces"].astype(np.int64)
    corners = seen["vertices"][faces]
    normal = _normals(seen["vertices"], faces, corners)
    lit = normal * np.where(normal[:, 2:] < 0, -1, 1)  # both sides are
    light = 0.35 + 0.65 * (lit @ LIGHT).clip(0)
    colour = np.tile(to_rgb(item.look["colour"]), (len(faces), 1))
    if "colours" in item.arrays:
        colour = item.arrays["colours"][faces].mean(1) / 255
    opacity, shown = item.look["opacity"], np.arange(len(faces))
    if opacity < 1:  # as in the report, one layer only: the side that faces the viewer
        shown = np.flatnonzero(normal[:, 2] > 0)
    rgba = np.column_stack([colour * light[:, None], np.full(len(colour), opacity)])
    depth = corners[..., 2].mean(1)
    for layer, rows in _layers(depth[shown], radius):
        rows = shown[rows][np.argsort(depth[shown[rows]])]
        # edges in the same colour close the hairlines between triangles; over see-through ones they would show
        edge = {"edgecolors": rgba[rows], "linewidths": 0.3} if opacity == 1 else {"linewidths": 0}
        ax.add_collection(PolyCollection(corners[rows, :, :2], facecolors=rgba[rows], zorder=layer, **edge))  # type: ignore[arg-type]


def _normals(vertices: np.ndarray, faces: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Unit normals `(m, 3)` of the triangles, evened out over those that meet in a vertex."""
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    met = np.zeros(vertices.shape)
    for i in range(3):
        np.add.at(met, faces[:, i], flat)
    even = met[faces].sum(1)
    return even / np.linalg.norm(even, axis=1, keepdims=True).clip(1e-30)


def _points(ax: Axes, item: Item, seen: dict[str, np.ndarray], radius: float, unit: float) -> None:
    at, colour, width = seen["positions"], _colours(item, radius, seen["positions"]), 2 * item.look["size"]
    for layer, rows in _layers(at[:, 2], radius):
        rows = rows[np.argsort(at[rows, 2])]
        balls = EllipseCollection(
            width, width, 0, units="xy", offsets=at[rows, :2], offset_transform=ax.transData,
            facecolors=colour[rows], edgecolors=colour[rows] * 0.6, linewidths=min(0.5, 0.1 * width * unit),
            zorder=layer + 0.5,
        )  # fmt: skip
        ax.add_collection(balls)
    for place, label in zip(at, item.look["labels"], strict=False):
        ax.annotate(label, place[:2], (3, 3), textcoords="offset points", fontsize=7, zorder=LAYERS + 1)


def _arrows(ax: Axes, item: Item, seen: dict[str, np.ndarray], radius: float, unit: float) -> None:
    start, end, width = seen["starts"], seen["ends"], 2 * item.look["size"]
    colour, along = _colours(item, radius, (start + end) / 2), end - start
    flat = along[:, :2] / np.linalg.norm(along[:, :2], axis=1, keepdims=True).clip(1e-30)
    side = np.column_stack([-flat[:, 1], flat[:, 0]])
    head = np.minimum(3 * width, 0.5 * np.linalg.norm(along, axis=1)) / np.linalg.norm(along, axis=1).clip(1e-30)
    neck = end - head[:, None] * along if item.look["head"] else end
    barbs = np.stack([end[:, :2], neck[:, :2] + 1.2 * width * side, neck[:, :2] - 1.2 * width * side], 1)
    for layer, rows in _layers((start + end)[:, 2] / 2, radius):
        lines = np.stack([start[rows, :2], neck[rows, :2]], 1)
        shafts = LineCollection(list(lines), colors=colour[rows], linewidths=width * unit, zorder=layer + 0.4)
        ax.add_collection(shafts)
        if item.look["head"]:
            ax.add_collection(PolyCollection(list(barbs[rows]), facecolors=colour[rows], zorder=layer + 0.5))


def _layers(depth: np.ndarray, radius: float) -> list[tuple[int, np.ndarray]]:
    """Share out rows among the slabs, from the far to the near."""
    layer = np.clip((depth / radius + 1) / 2 * LAYERS, 0, LAYERS - 1).astype(int)
    return [(int(i), np.flatnonzero(layer == i)) for i in np.unique(layer)]


def _colours(item: Item, radius: float, at: np.ndarray) -> np.ndarray:
    """Colours `(n, 3)`, paler with the distance from the viewer."""
    colour = np.tile(to_rgb(item.look["colour"]), (len(at), 1))
    if "colours" in item.arrays:
        colour = item.arrays["colours"] / 255
    haze = 0.45 * np.clip((1 - at[:, 2:] / radius) / 2, 0, 1)
    return colour * (1 - haze) + haze


def _axes(ax: Axes, camera: np.ndarray, radius: float) -> None:
    """Draw where x, y and z point to."""
    corner = np.array([0.85, -0.85]) * radius
    for name, axis in zip("xyz", camera.T, strict=True):
        tip = corner + 0.13 * radius * axis[:2]
        ax.plot(*np.stack([corner, tip]).T, color="0.3", linewidth=1, zorder=LAYERS + 1)
        x, y = corner + 0.17 * radius * axis[:2]
        ax.text(x, y, name, ha="center", va="center", fontsize=8, zorder=LAYERS + 1)


def _legend(ax: Axes, scene: Scene3d) -> None:
    marks = []
    for item in scene.items:
        scale = item.look.get("scale")
        if scale:
            shades = LinearSegmentedColormap.from_list("", scale["colours"])
            map_ = plotting.plt.cm.ScalarMappable(Normalize(scale["low"], scale["high"]), shades)
            bar = ax.figure.colorbar(map_, ax=ax, shrink=0.5, pad=0.02)
            bar.set_label(scale["label"])
        colour = scale["colours"][len(scale["colours"]) // 2] if scale else item.look["colour"]
        marker = {"mesh": "s", "points": "o", "arrows": ">" if item.look.get("head") else "_"}[item.kind]
        marks.append(Line2D([], [], color=colour, label=item.name, markersize=7, marker=marker, linestyle="none"))
    ax.legend(handles=marks, frameon=False, loc="upper left", fontsize=8).set_zorder(LAYERS + 2)
