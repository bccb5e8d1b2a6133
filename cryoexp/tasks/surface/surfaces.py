"""The surface step as a whole: from labels or a probability to a mesh for each component."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface.isosurface import Thing, isosurface
from cryoexp.tasks.surface.keys import Span, check_numbers, check_switches
from cryoexp.tasks.surface.volume import RULES, fill_cavities, fill_slices, smooth, smooth_z

if TYPE_CHECKING:
    import pandas as pd
    import trimesh

KINDS = ("labels", "instances", "probability")
MOST = 10_000  # components, each of which is marched by itself
ANGSTROM_PER_NM = 10.0
LID = 1.0  # voxels, and the smoothing, from the last voxel's middle: so far the edge of a lid is round
SPANS = {
    **dict.fromkeys(("z_sigma", "sigma", "blur"), Span()),
    **dict.fromkeys(("minimum", "cavities", "slice_holes", "smoothing"), Span(whole=True)),
    "level": Span(most=1, above=True, below=True),
    "decimate": Span(most=1, above=True),
}  # of the numbers of a rule


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How surfaces are made. Sizes are in voxels; `cryoexp.tasks.surface.volume.voxels_of` turns nm³ into them.

    Args:
        z_sigma: slices, of the smoothing along z; 0 for none.
        z_rule: half, or the original's or, see `smooth_z`.
        minimum: voxels that a component has at least.
        cavities: voxels of the largest hole (3D) to fill; 0 for none.
        slice_holes: pixels of the largest hole of a slice to fill; 0 for none.
        connectivity: 26 or 6, of the voxels of a component.
        sigma: voxels, by which the surface of labels is smoothed, see `isosurface`; 0 draws them as they are.
        blur: voxels, of a Gaussian over a probability; it draws a sphere of radius R in by blur²/R.
        level: of a probability.
        closed: whether surfaces close where the volume ends, by lids half a voxel beyond the middles of the last
            voxels; otherwise they end at these middles, open.
        keep_volume: whether the mesh of labels is moved, by a quarter of a voxel at most, to hold as much as they do.
        smoothing: passes of Taubin's filter.
        decimate: share of the triangles to keep; 1 keeps all.

    Raises:
        ConfigError: an impossible value.
    """

    z_sigma: float = 0.0
    z_rule: str = "half"
    minimum: int = 64
    cavities: int = 0
    slice_holes: int = 0
    connectivity: int = 26
    sigma: float = 0.9
    blur: float = 0.0
    level: float = 0.5
    closed: bool = True
    keep_volume: bool = True
    smoothing: int = 10
    decimate: float = 1.0

    def __post_init__(self) -> None:
        if self.z_rule not in RULES:
            raise ConfigError(f"z_rule={self.z_rule}: choose one of {', '.join(RULES)}")
        if self.connectivity not in (6, 26):
            raise ConfigError(f"connectivity={self.connectivity}: choose 26 (voxels share a corner) or 6 (a face)")
        check_numbers("", vars(self), SPANS)
        check_switches("", vars(self), ["closed", "keep_volume"])


# deep_sxt's: any label within two slices wins, and the voxels are marched as they are
ORIGINAL = Rule(z_rule="or", sigma=0.0, smoothing=0, keep_volume=False)


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of one component.

    Attributes:
        cls: name of its class.
        number: of the component within its class from 1, the largest first; of instances their number.
        mesh: x, y, z in Å, the volume's origin added; faces look outwards. Of it are files and views.
        full: the same before decimation: what is measured.
        lid: `(n,)` bool, vertices of ``full`` on or beside the flat lid (or the open end) at the border of the volume:
            not the object's own surface, and without a part in its curvature.
        steps: what each step did: voxels, faces, how far it moved the surface (nm); ``repaired``: faces that were
            added, dropped or turned where a surface that should close did not; ``cut``: whether the object reaches the
            border of the volume, where it is closed by a flat lid, or open, see `Rule`.
    """

    cls: str
    number: int
    mesh: "trimesh.Trimesh"
    full: "trimesh.Trimesh"
    lid: np.ndarray
    steps: Mapping[str, float]

    @property
    def name(self) -> str:
        """Class and number."""
        return f"{self.cls}_{self.number}"


@dataclass(frozen=True, eq=False)
class Surfaces:
    """All surfaces of a volume, class by class, and what the volume step did."""

    components: list[Surface]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def meshes(self) -> "list[trimesh.Trimesh]":
        """Meshes in Å, in the order of `names`."""
        return [surface.mesh for surface in self.components]

    @property
    def names(self) -> list[str]:
        """Class and number of each component."""
        return [surface.name for surface in self.components]

    def table(self) -> "pd.DataFrame":
        """Return one row for each component: name, class, number, and what each step did."""
        import pandas as pd

        rows = [{"name": s.name, "class": s.cls, "component": s.number, **s.steps} for s in self.components]
        return pd.DataFrame(rows, columns=None if rows else ["name", "class", "component"])


def make_surfaces(
    volume: np.ndarray,
    voxel_size: float,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rule: Rule | None = None,
    kind: str = "labels",
    classes: Mapping[int, str] | None = None,
) -> Surfaces:
    """Make the surface of every component of a volume.

    Memory beside the volume: a copy of the labels (float32 of a probability), and five bytes a voxel of the box
    around each class in turn.

    Args:
        volume: `(z, y, x)`; may be mapped, and is not changed.
        voxel_size: Å.
        origin: x, y, z in Å of the centre of the first voxel.
        rule: how; None for the defaults.
        kind: labels (numbers of classes; their connected components are separated), instances (every number is an
            object: objects that touch have a surface each) or probability (of one class).
        classes: names of the numbers that are wanted; None takes all above 0, by custom ``class_1``. Of instances
            and probabilities the first name is that of all.

    Raises:
        ConfigError: another kind, or more than 10,000 components: the size that they have at least is too small.
        DataError: labels that are no whole numbers from 0, a volume that is not three-dimensional.
    """
    rule = rule or Rule()
    if kind not in KINDS:
        raise ConfigError(f"kind={kind}: choose one of {', '.join(KINDS)}")
    labels, probability, facts = _prepare(volume, rule, kind)
    place = _Place(voxel_size, np.array(origin, dtype=float), rule)
    names = classes or _names(labels, kind)
    made: list[Surface] = []
    for cls, number, thing, voxels in _things(labels, probability, rule, kind, names):
        if len(made) == MOST:
            raise ConfigError(f"more than {MOST} components of {rule.minimum} voxels or more: raise the minimum")
        made.append(Surface(cls, number, *_mesh(thing, voxels, place)))
    return Surfaces(made, facts)


@dataclass(frozen=True, eq=False)
class _Place:
    voxel_size: float
    origin: np.ndarray
    rule: Rule


def _prepare(volume: np.ndarray, rule: Rule, kind: str) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """The volume step: clean labels, the probability at their edge, and what was done."""
    probability = None
    if kind == "probability":
        if rule.z_rule == "or":
            raise ConfigError("z_rule=or: a rule for labels, a probability is smoothed: choose half")
        probability = smooth(volume, (float(np.hypot(rule.z_sigma, rule.blur)), rule.blur, rule.blur))
        labels = np.asarray(probability > rule.level, dtype=np.uint8)
    else:
        if volume.dtype.kind not in "iub":
            raise DataError(
                f"labels are whole numbers from 0, got {volume.dtype}. A probability? Give kind=probability"
            )
        labels = smooth_z(volume, rule.z_sigma, rule.z_rule)
        labels = labels.view(np.uint8) if labels.dtype == bool else labels
        if labels.min() < 0:
            raise DataError(f"labels are whole numbers from 0, got {labels.min()}")
    facts: dict[str, Any] = {}
    for name, fill, largest in (
        ("cavities", fill_cavities, rule.cavities),
        ("slice_holes", fill_slices, rule.slice_holes),
    ):
        if largest:
            count, voxels = fill(labels, largest)
            facts |= {f"{name}_filled": count, f"{name}_voxels": voxels}
    return labels, probability, facts


def _names(labels: np.ndarray, kind: str) -> dict[int, str]:
    if kind != "labels":
        return {1: "object" if kind == "instances" else "surface"}
    there = np.unique(np.concatenate([np.unique(plane) for plane in labels]))
    return {int(n): f"class_{n}" for n in there if n > 0}


def _things(
    labels: np.ndarray, probability: np.ndarray | None, rule: Rule, kind: str, names: Mapping[int, str]
) -> Iterator[tuple[str, int, Thing, int]]:
    """Name, number, place and voxels of each component."""
    if kind == "instances":
        yield from _instances(labels, rule, next(iter(names.values())))
        return
    from cryoexp.tasks.segment.components import find_components

    for number, cls in ({1: next(iter(names.values()))} if kind == "probability" else names).items():
        found = find_components(labels, number, 1.0, max(1, rule.minimum), rule.connectivity)
        whole = probability[found.box] if probability is not None else None
        start = np.array([s.start for s in found.box])
        for row in found.table.itertuples():
            first = np.array([row.z_first, row.y_first, row.x_first]) - start
            last = np.array([row.z_last, row.y_last, row.x_last]) - start
            z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
            component, corner = int(row.component), (int(start[0]), int(start[1]), int(start[2]))
            thing = Thing(found.numbers, component, (z, y, x), whole, rule.level, corner, labels.shape)
            yield cls, component, thing, int(row.voxels)


def _instances(labels: np.ndarray, rule: Rule, cls: str) -> Iterator[tuple[str, int, Thing, int]]:
    for i, box in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False))):
        if box is not None:
            voxels = int((labels[box] == i + 1).sum())
            if voxels >= rule.minimum:
                yield cls, i + 1, Thing(labels, i + 1, box), voxels


def _mesh(
    thing: Thing, voxels: int, place: _Place
) -> "tuple[trimesh.Trimesh, trimesh.Trimesh, np.ndarray, dict[str, float]]":
    """Surface of one component, step by step: for files, as it is measured, and which of its vertices are lids."""
    import trimesh

    from cryoexp.tasks.surface.decimate import decimate
    from cryoexp.tasks.surface.repair import mended
    from cryoexp.tasks.surface.smooth import keep_volume, normals, taubin

    rule, size = place.rule, place.voxel_size
    vertices, faces = isosurface(thing, rule.sigma, rule.closed)
    mesh = trimesh.Trimesh(vertices[:, ::-1] * size + place.origin, faces, process=False)
    steps: dict[str, float] = {"voxels": voxels, "cut": thing.at_border(), "faces_marched": len(faces)}
    closed, repaired = rule.closed or not thing.at_border(), 0
    if closed:
        mesh, repaired = mended(mesh)
    smoothed = taubin(mesh, rule.smoothing)
    # along the normals: what vertices move within the surface leaves it where it is
    moved = ((np.asarray(smoothed.vertices) - np.asarray(mesh.vertices)) * normals(smoothed)).sum(1)
    steps["smoothing_moved_mean_nm"] = float(np.abs(moved).mean()) / ANGSTROM_PER_NM
    mesh = smoothed
    steps["volume_moved_nm"] = 0.0
    if rule.keep_volume and thing.probability is None and closed:
        mesh, step = keep_volume(mesh, voxels * size**3, size)
        steps["volume_moved_nm"] = step / ANGSTROM_PER_NM
    full = mesh
    if rule.decimate < 1:
        mesh, off = decimate(mesh, rule.decimate)
        for name in ("mean", "p95", "largest"):
            steps[f"decimation_{name}_nm"] = getattr(off, name) / ANGSTROM_PER_NM
        if closed:
            mesh, again = mended(mesh)
            repaired += again
    steps["repaired"] = repaired
    steps["faces"] = len(mesh.faces)
    # open surfaces, too: what they are smoothed with beyond the border is not the object
    lid = thing.lids((np.asarray(full.vertices) - place.origin)[:, ::-1] / size, LID + rule.sigma)
    whole = _bare(full)
    return whole if mesh is full else _bare(mesh), whole, lid, steps


def _bare(mesh: "trimesh.Trimesh") -> "trimesh.Trimesh":
    """Without what trimesh has worked out and keeps: several times the mesh."""
    import trimesh

    return trimesh.Trimesh(np.asarray(mesh.vertices), np.asarray(mesh.faces), process=False)
