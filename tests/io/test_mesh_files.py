import numpy as np
import pytest
import trimesh

from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mesh import Mesh
from cryoexp.io.mesh_files import FORMATS, write_meshes


def sphere(diameter, centre):
    made = trimesh.creation.icosphere(4, diameter / 2)
    return Mesh(np.asarray(made.vertices) + centre, np.asarray(made.faces))


# Å: spheres of 100 and 40 nm, side by side
BALLS = [sphere(1000.0, (2000.0, 0, 0)), sphere(400.0, (0.0, 3000.0, 500.0))]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("unit", "length"), [("nm", 1.0), ("angstrom", 10.0)])
def test_a_sphere_of_100_nm_measures_100_nm_in_the_file(tmp_path, kind, unit, length):
    path = tmp_path / f"balls.{kind}"
    write_meshes(path, BALLS, ["large", "small"], [(255, 0, 0), (0, 0, 255)], unit)
    read = trimesh.load(path, force="mesh")
    parts = sorted(read.split(), key=lambda mesh: -mesh.volume)
    assert len(parts) == 2
    np.testing.assert_allclose(parts[0].extents, 100 * length, rtol=1e-5)
    np.testing.assert_allclose(parts[0].bounds.mean(0), np.array([200.0, 0, 0]) * length, atol=1e-3)
    assert parts[1].volume == pytest.approx(np.pi / 6 * (40 * length) ** 3, rel=0.01)
    assert all(part.is_watertight for part in parts)
    assert [path] == list(tmp_path.iterdir())


def test_ply_colours_the_vertices_of_each_mesh(tmp_path):
    write_meshes(tmp_path / "a.ply", BALLS, ["a", "b"], [(255, 0, 0), (0, 0, 255)])
    read = trimesh.load(tmp_path / "a.ply", force="mesh", process=False)
    left = read.vertices[:, 0] < 100
    assert (read.visual.vertex_colors[left, :3] == (0, 0, 255)).all()
    assert (read.visual.vertex_colors[~left, :3] == (255, 0, 0)).all()
    assert b"in nm" in (tmp_path / "a.ply").read_bytes()[:200]


@pytest.mark.parametrize("kind", ["ply", "obj", "stl"])
@pytest.mark.parametrize(("unit", "length"), [("nm", 1.0), ("angstrom", 10.0)])
def test_meshio_reads_the_same_triangles(tmp_path, kind, unit, length):
    meshio = pytest.importorskip("meshio")
    write_meshes(tmp_path / f"a.{kind}", BALLS, ["a", "b"], [(255, 0, 0), (0, 0, 255)], unit)
    read = meshio.read(tmp_path / f"a.{kind}")
    assert read.points.shape[1] == 3
    faces = np.concatenate([cells.data for cells in read.cells])
    assert len(faces) == sum(len(ball.faces) for ball in BALLS)
    large = read.points[read.points[:, 0] > 100 * length]
    np.testing.assert_allclose(np.ptp(large, axis=0), 100 * length, rtol=1e-5)
    np.testing.assert_allclose(read.points[faces].min((0, 1)), np.array([-20, -50, -50]) * length, rtol=1e-5)


def test_an_obj_names_its_meshes_and_has_three_numbers_a_vertex(tmp_path):
    write_meshes(tmp_path / "a.obj", BALLS, ["large", "small"], [(255, 0, 0), (0, 0, 255)])
    lines = [line.split() for line in (tmp_path / "a.obj").read_text().splitlines()]
    assert [line[1] for line in lines if line and line[0] == "o"] == ["large", "small"]
    assert {len(line) for line in lines if line and line[0] == "v"} == {4}


def test_glb_has_a_coloured_node_for_each_mesh(tmp_path):
    write_meshes(tmp_path / "a.glb", BALLS, ["a", "b"], [(255, 0, 0), (0, 0, 255)])
    scene = trimesh.load(tmp_path / "a.glb")
    assert set(scene.geometry) == {"a", "b"}
    assert tuple(scene.geometry["b"].visual.material.baseColorFactor) == (0, 0, 255, 255)


def test_a_plain_reader_finds_the_vertices_of_an_obj_in_nm(tmp_path):
    write_meshes(tmp_path / "a.obj", BALLS)
    lines = [line.split() for line in (tmp_path / "a.obj").read_text().splitlines()]
    vertices = np.array([line[1:4] for line in lines if line and line[0] == "v"], float)
    np.testing.assert_allclose(np.vstack([ball.vertices for ball in BALLS]) / 10, vertices, atol=1e-4)
    faces = np.array([[part.split("/")[0] for part in line[1:]] for line in lines if line and line[0] == "f"], int)
    assert faces.min() == 1
    assert faces.max() == len(vertices)


@pytest.mark.parametrize("name", ["a.vtk", "a"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="ply, obj, stl, glb"):
        write_meshes(tmp_path / name, BALLS)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="NaN"):
        write_meshes(tmp_path / "a.glb", [Mesh(BALLS[0].vertices * np.nan, BALLS[0].faces)])
    with pytest.raises(ConfigError, match="furlong"):
        write_meshes(tmp_path / "a.ply", BALLS, unit="furlong")
    with pytest.raises(ConfigError, match="2 meshes with 1 names"):
        write_meshes(tmp_path / "a.ply", BALLS, ["one"])
    assert not list(tmp_path.iterdir())
