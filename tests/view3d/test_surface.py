import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.view3d import contour_level, surface


def ball(shape, centre, radius):
    """Signed distance, positive inside; centre z, y, x in voxels."""
    grid = np.indices(shape).reshape(3, -1).T
    return (radius - np.linalg.norm(grid - centre, axis=1)).reshape(shape).astype(np.float32)


def test_a_ball_has_its_radius_place_and_volume_in_x_y_z():
    mesh = surface(ball((40, 44, 48), (18, 20, 28), 12), 0.0, 2.5, origin=(1, 2, 3))
    middle = np.array([28, 20, 18]) * 2.5 + [1, 2, 3]
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - middle, axis=1), 30, atol=0.1)
    # positive: the faces look outwards
    assert mesh.volume() == pytest.approx(4 / 3 * np.pi * 30**3, rel=0.01)


def test_every_edge_has_two_triangles_even_at_the_border_of_the_box():
    for limit in (100_000, 1000):  # the second one in coarse steps
        mesh = surface(ball((30, 30, 30), (14, 14, 3), 11), 0.0, 1.0, max_faces=limit)
        edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
        _, counts = np.unique(edges, axis=0, return_counts=True)
        assert (counts == 2).all()


def test_a_coarser_surface_keeps_its_place_and_its_size():
    volume = ball((64, 64, 64), (30, 32, 34), 22)
    fine, coarse = surface(volume, 0.0, 1.0), surface(volume, 0.0, 1.0, max_faces=3000)
    assert len(coarse.faces) <= 3000 < len(fine.faces)
    np.testing.assert_allclose(coarse.vertices.mean(0), [34, 32, 30], atol=0.3)
    assert coarse.volume() == pytest.approx(fine.volume(), rel=0.05)


def test_the_level_of_two_greys_lies_between_them():
    noise = np.random.default_rng(0).normal(0, 0.1, (24, 24, 24))
    assert 0.2 < contour_level(noise + (ball((24, 24, 24), (12, 12, 12), 6) > 0)) < 0.8


def test_what_has_no_surface_is_refused():
    volume = ball((12, 12, 12), (6, 6, 6), 4)
    with pytest.raises(DataError, match="no surface at level 99"):
        surface(volume, 99, 1.0)
    with pytest.raises(DataError, match=r"\(z, y, x\)"):
        surface(volume[0], 0.0, 1.0)
    with pytest.raises(DataError, match="max_faces=3"):
        surface(volume, 0.0, 1.0, max_faces=3)
    with pytest.raises(DataError, match="flat"):
        contour_level(np.ones((4, 4, 4)))
