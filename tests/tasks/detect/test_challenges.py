import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.tasks.detect.challenges import CZII_RADII, Classed, czii, shrec


@pytest.fixture
def scene():
    """Three cubes of 5 voxels, of the classes a, a and b."""
    centres = np.array([[5, 5, 5], [5, 5, 20], [5, 20, 5]])
    occupancy = np.zeros((12, 28, 28), np.uint16)
    for number, (z, y, x) in enumerate(centres, start=1):
        occupancy[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = number
    return Classed(centres, np.array(["a", "a", "b"])), occupancy


def test_shrec_counts_particles_hit_once(scene):
    """A face's voxel beside the cube hits, a corner's does not; the second hit of the first is no more than a pick."""
    truth, occupancy = scene
    centres = np.array([[5, 5, 8.2], [5, 5, 5], [8, 8, 20], [5, 20, 5.0]])
    got = shrec(Classed(centres, np.array(["a", "b", "a", "a"])), truth, occupancy, 0)
    assert got.localisation == pytest.approx({
        "recall": 2 / 3, "precision": 2 / 4, "f1": 4 / 7, "miss_rate": 1 / 3, "distance": 1.5, "multiple": 1,
    })  # fmt: skip
    assert got.classes == {"a": 2 * 1 / (2 + 2), "b": 0}


def test_shrec_moves_picks_into_the_volume_or_skips_the_border(scene):
    truth, occupancy = scene
    occupancy[0, 0, 0] = 1
    outside = Classed(np.array([[-4.0, 0, 0]]), np.array(["a"]))
    assert shrec(outside, truth, occupancy, 0).localisation["recall"] == pytest.approx(1 / 3)
    assert shrec(outside, truth, occupancy, 3).localisation["recall"] == 0
    with pytest.raises(DataError, match="particle 3, but 2"):
        shrec(outside, Classed(truth.centres[:2], truth.classes[:2]), occupancy, 0)


def test_czii_weighs_classes_and_counts_particles_once():
    """Recall 1/2 of ribosomes, two picks on the same one; thyroglobulin perfect; all others missed."""
    r = 0.5 * CZII_RADII["ribosome"]
    truth = Classed(
        np.array([[0.0, 0, 0], [0, 0, 1000], [0, 500, 0]]), np.array(["ribosome", "ribosome", "thyroglobulin"])
    )
    centres = np.array([[0, 0, r], [0, r - 1, 0], [0, 0, 1001 + r], [0, 500, 0.0]])
    picks = Classed(centres, np.array(["ribosome"] * 3 + ["thyroglobulin"]))
    got = czii([(picks, truth)])
    assert got["ribosome"] == pytest.approx(17 * (1 / 3) * 0.5 / (16 / 3 + 0.5))
    assert got["thyroglobulin"] == 1
    assert got["score"] == pytest.approx((got["ribosome"] + 2) / 7)


def test_czii_pools_tomograms_before_it_scores():
    truth = Classed(np.zeros((1, 3)), np.array(["ribosome"]))
    none = Classed(np.zeros((0, 3)), np.zeros(0, str))
    got = czii([(truth, truth), (none, truth)])
    assert got["ribosome"] == pytest.approx(17 * 1 / (16 * 2 + 1))
