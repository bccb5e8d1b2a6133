"""Boxes, averages of classes, and picks that are moved to where these fit best."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cryoexp.data.orientations import Orientations, known_orientations
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.tasks.detect.align import align, best_moves
from cryoexp.tasks.detect.boxes import band, box_edge, cut, power_spectrum, shifted, turned
from cryoexp.tasks.detect.calibrate import learn_references
from cryoexp.tasks.detect.finding import Found
from cryoexp.tasks.detect.peers.tuning import balls
from cryoexp.tasks.detect.references import average_classes
from cryoexp.tasks.detect.truth import true_particles

RADIUS = 5.0
SHAPE = (40, 72, 72)
# an object without symmetry: a few Gaussians, x, y, z from its centre, whose mean is 0
ATOMS = np.array([[3.0, 0, 0], [-2, 2.5, 0], [-1, -2.5, 1.5], [0, 0, -1.5]])


def gaussians(shape, places, sigma=1.2):
    """Add up Gaussians at (z, y, x)."""
    grid = np.indices(shape, dtype=float)
    out = np.zeros(shape)
    for place in places:
        low = np.maximum(np.floor(place - 6), 0).astype(int)
        part = tuple(slice(a, max(a, int(b) + 7)) for a, b in zip(low, place, strict=True))
        offsets = grid[(slice(None), *part)] - np.reshape(place, (3, 1, 1, 1))
        out[part] += np.exp(-(offsets**2).sum(0) / (2 * sigma**2))
    return out


def planted(seed=0, noise=0.3, count=30):
    """A tomogram with turned copies of the object, and what is known of them."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.meshgrid([12, 28], range(8, 65, 14), range(8, 65, 14), indexing="ij"), -1).reshape(-1, 3)
    centres = rng.permutation(cells)[:count] + rng.uniform(-0.5, 0.5, (count, 3))
    matrices = quaternion_to_matrix(random_quaternions(count, torch.Generator().manual_seed(seed))).numpy()
    atoms = np.einsum("nij,aj->nai", matrices, ATOMS)[..., ::-1] + centres[:, None]
    data = gaussians(SHAPE, atoms.reshape(-1, 3)) + noise * rng.standard_normal(SHAPE)
    found = balls(SHAPE, centres, np.ones(count), np.ones(count, int), np.array([RADIUS]))
    order = found.numbers[tuple(np.rint(centres).astype(int).T)]
    assert (np.sort(order) == np.arange(1, count + 1)).all()
    data = (data - data.mean()) / data.std()
    tomogram = Tomogram(
        name="planted",
        volume=Volume(data.astype(np.float32), 10.0),
        normalise=lambda given: given,
        truth=(found.numbers > 0).astype(np.uint8),
        instances=found.numbers,
        orientations=Orientations(order, matrices),
    )
    return tomogram, found, centres[np.argsort(order)]


def test_a_box_is_turned_as_the_rotation_says():
    turn = quaternion_to_matrix(random_quaternions(1, torch.Generator().manual_seed(3)))
    place = np.array([2.0, -3.0, 1.0])  # x, y, z
    box = torch.from_numpy(gaussians((24,) * 3, [place[::-1] + 12], 2.0)).float()
    back = turn[0].numpy().T @ place
    expected = torch.from_numpy(gaussians((24,) * 3, [back[::-1] + 12], 2.0)).float()
    assert float((turned(box[None], turn)[0] - expected).abs().max()) < 0.08  # linear interpolation


def test_a_fraction_of_a_voxel_moves_a_gaussian_exactly():
    box = torch.from_numpy(gaussians((24,) * 3, np.array([[12.3, 11.8, 12.0]]), 1.5)).float()
    moved = shifted(box[None], torch.tensor([[0.3, -0.2, 0.0]]))[0]
    torch.testing.assert_close(
        moved, torch.from_numpy(gaussians((24,) * 3, np.array([[12, 12, 12]]), 1.5)).float(), atol=2e-3, rtol=0
    )


def test_boxes_that_reach_beyond_the_tomogram_are_0_there():
    tomogram = Tomogram("a", Volume(np.ones((8, 30, 30), np.float32), 10.0), lambda given: given + 1)
    box = cut(tomogram, np.array([[4.0, 4, 15]]), 12)[0]
    assert max(float(part.abs().max()) for part in (box[:2], box[10:], box[:, :2])) < 1e-5
    assert float((box[2:10, 2:] - 2).abs().max()) < 1e-5


def test_white_noise_has_power_1_at_all_frequencies():
    noise = np.random.default_rng(0).standard_normal((40, 60, 60)).astype(np.float32)
    power = power_spectrum(Tomogram("a", Volume(noise, 10.0), lambda given: given), 16)
    inner = power[2:-2, 2:-2, 2:-2]  # the mean of a box is taken off, which the window spreads over a few frequencies
    assert float(inner.mean()) == pytest.approx(1, abs=0.05)
    assert band(power)[2:-2, 2:-2, 2:-2].all()


def test_the_average_is_the_object_in_its_own_frame():
    tomogram, _, _ = planted()
    found = average_classes([tomogram], np.array([RADIUS]))
    assert found.counts.tolist() == [30]
    edge = box_edge(RADIUS)
    expected = torch.from_numpy(gaussians((edge,) * 3, ATOMS[:, ::-1] + edge // 2)).float()
    pair = torch.stack([found.averages[0].ravel(), expected.ravel()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.9


def test_picks_are_moved_to_where_the_average_fits():
    tomogram, found, centres = planted()
    references = average_classes([tomogram], np.array([RADIUS])).averages
    fresh, found, centres = planted(seed=1)
    off = np.random.default_rng(2).uniform(-0.8, 0.8, centres.shape)
    found.table[["z", "y", "x"]] = centres + off
    found.table.loc[0, "score"] = 0.1
    moved = align(found, fresh, references, np.array([RADIUS]), 30.0, 0.5)
    errors = np.linalg.norm(moved.centres - centres, axis=1)
    assert np.median(errors) < 0.3 < np.median(np.linalg.norm(off, axis=1))
    assert (moved.centres[0] == found.centres[0]).all()  # below the score
    assert (found.centres == centres + off).all()  # what was given is as it was


def test_validation_decides_whether_picks_are_moved():
    train, _, _ = planted()
    fresh, found, _ = planted(seed=1)
    fields = {"info": SimpleNamespace(voxel_size=10.0, classes=["background", "one"]), "device": torch.device("cpu")}
    fields |= {"sizes": lambda _: np.array([RADIUS]), "match": 0.5, "least_score": 0.5, "learned_separating": None}
    task = SimpleNamespace(**fields, find=lambda *_: found)
    truth = true_particles(fresh.truth, fresh.instances).centres
    for off, kept in ((0.8, True), (0.0, False)):
        found.table[["z", "y", "x"]] = (
            truth + off * np.sign(np.random.default_rng(2).standard_normal(truth.shape)) / 3**0.5
        )
        averages, said = learn_references(task, 30.0, [train], [(fresh, None)])
        assert (averages is not None) is kept
        assert f"instead of {off:.2f}" in said
    unknown = replace(train, orientations=None)
    averages, said = learn_references(task, 30.0, [unknown], [(fresh, None)])
    assert averages is None
    assert "not known" in said


def test_without_an_average_picks_stay():
    tomogram, found, _ = planted(count=10)
    same = align(found, tomogram, torch.zeros(1, 24, 24, 24), np.array([RADIUS]), 30.0, 0.0)
    assert (same.centres == found.centres).all()


def test_too_few_particles_make_no_average():
    tomogram, _, _ = planted(count=5)
    found = average_classes([tomogram], np.array([RADIUS]))
    assert found.counts.tolist() == [0]
    assert not found.averages.any()


def test_the_best_move_lies_between_voxels_and_not_at_the_border():
    r = np.arange(-3, 4)
    z, y, x = np.meshgrid(r, r, r, indexing="ij")
    maps = -np.stack([(z - 1.2) ** 2 + (y + 0.4) ** 2 + x**2, (z - 5) ** 2 + y**2 + x**2])
    moves = best_moves(torch.from_numpy(maps), spread=1e6)
    np.testing.assert_allclose(moves[0], [1.2, -0.4, 0], atol=1e-5)
    assert moves[1].tolist() == [0, 0, 0]


def test_what_was_never_turned_has_no_orientation():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    known = known_orientations(np.array([3, 4, 0]), np.stack([turn, np.eye(3), turn]))
    assert known is not None
    assert known.instances.tolist() == [3]
    assert known_orientations(np.array([4]), np.eye(3)[None]) is None


def test_picks_of_another_voxel_size_are_moved_on_its_own_grid():
    tomogram, found, centres = planted()
    references = average_classes([tomogram], np.array([RADIUS])).averages
    # half the voxel size: each voxel eight times, whose middles lie between the new ones
    fine = Tomogram(
        "fine", Volume(np.kron(tomogram.volume.data, np.ones((2, 2, 2), np.float32)), 5.0), lambda g: g, step=2.0
    )
    known = 2 * centres + 0.5
    table = found.table.copy()
    table[["z", "y", "x"]] = known + np.random.default_rng(0).uniform(-1, 1, known.shape)
    moved = align(Found(table, found.numbers), fine, references, np.array([RADIUS]), 30.0, 0.0)
    assert np.median(np.linalg.norm(moved.centres - known, axis=1)) < 0.7
