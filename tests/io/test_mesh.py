import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.mesh import Mesh, merge, write_ply

TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 4]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)


def test_area_and_volume_of_a_tetrahedron():
    assert TETRAHEDRON.volume() == pytest.approx(2 * 3 * 4 / 6)
    slanted = np.linalg.norm(np.cross([-2, 3, 0], [-2, 0, 4])) / 2
    assert TETRAHEDRON.area() == pytest.approx(3 + 4 + 6 + slanted)


def test_merged_meshes_keep_their_triangles():
    moved = Mesh(TETRAHEDRON.vertices + 100, TETRAHEDRON.faces)
    both = merge([TETRAHEDRON, moved])
    assert both.area() == pytest.approx(2 * TETRAHEDRON.area())
    assert both.volume() == pytest.approx(2 * TETRAHEDRON.volume())
    empty = merge([])
    assert (empty.area(), empty.volume()) == (0, 0)


def test_trimesh_reads_what_was_written(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    write_ply(tmp_path / "a.ply", TETRAHEDRON)
    write_ply(tmp_path / "b.ply", TETRAHEDRON)
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()
    read = trimesh.load(tmp_path / "a.ply", process=False)
    np.testing.assert_array_equal(read.vertices, TETRAHEDRON.vertices)
    np.testing.assert_array_equal(read.faces, TETRAHEDRON.faces)
    assert read.is_watertight
    assert read.volume == pytest.approx(4)


def test_normals_travel(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    directions = TETRAHEDRON.vertices + np.array([1.0, 2.0, 3.0])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    with_normals = Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, directions)
    both = merge([with_normals, with_normals])
    write_ply(tmp_path / "n.ply", both)
    read = trimesh.load(tmp_path / "n.ply", process=False)
    np.testing.assert_allclose(read.vertex_normals, np.vstack([directions] * 2), atol=1e-6)
    np.testing.assert_array_equal(read.faces, both.faces)
    assert merge([with_normals, TETRAHEDRON]).normals is None


def test_the_header_names_the_unit(tmp_path):
    write_ply(tmp_path / "empty.ply", merge([]))
    header = (tmp_path / "empty.ply").read_bytes().decode().splitlines()
    assert header[0] == "ply"
    assert "angstrom" in header[2]
    assert header[-1] == "end_header"


@pytest.mark.parametrize(
    "broken",
    [Mesh(TETRAHEDRON.vertices * np.nan, TETRAHEDRON.faces), Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces + 1)],
)
def test_a_broken_mesh_is_refused_and_leaves_no_file(tmp_path, broken):
    with pytest.raises(DataError, match=r"cell\.ply"):
        write_ply(tmp_path / "cell.ply", broken)
    assert not list(tmp_path.iterdir())
