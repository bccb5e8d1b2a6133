"""From distances to orientations: exact where they are exact, as good as can be where they are not."""

import math

import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.rotations import random_quaternions
from cryoexp.tasks.pose.align import align_o4
from cryoexp.tasks.pose.lift import from_symmetric, lift, nearest_quaternion, to_cosine, to_distance, to_symmetric
from cryoexp.tasks.pose.pairs import FeaturePairs, GivenPairs
from cryoexp.tasks.pose.recovery import Recovery, adam
from cryoexp.tasks.pose.refine import angles, refine, stress
from cryoexp.tasks.pose.spectral import locate, spectral


def views(n, seed=0):
    q = random_quaternions(n, torch.Generator().manual_seed(seed))
    return q, angles(q, q)


def disturbed(distances, sd, seed=1):
    noise = sd * torch.randn(distances.shape, generator=torch.Generator().manual_seed(seed)).double().triu(1)
    return (distances + noise + noise.T).clamp(0, math.pi).fill_diagonal_(0)


def test_lifts_turn_angles_into_inner_products():
    q, distances = views(50)
    z = lift(q)
    torch.testing.assert_close(z @ z.T, to_cosine(distances))
    torch.testing.assert_close(lift(-q), z)
    torch.testing.assert_close(to_distance(z @ z.T).fill_diagonal_(0), distances.fill_diagonal_(0), atol=1e-6, rtol=0)


def test_a_lift_is_the_matrix_of_the_quaternion_and_back():
    q, _ = views(20)
    matrix = q[:, :, None] * q[:, None]
    torch.testing.assert_close(to_symmetric(lift(q)), matrix)
    torch.testing.assert_close(from_symmetric(matrix), lift(q))
    torch.testing.assert_close((nearest_quaternion(lift(q)) * q).sum(1).abs(), torch.ones(20).double())


def test_the_kernel_of_the_original_head_is_not_positive_definite_and_ours_is():
    _, distances = views(300)
    assert torch.linalg.eigvalsh((distances / 2).cos())[0] < -1
    assert torch.linalg.eigvalsh(to_cosine(distances))[0] > -1e-9
    assert int((torch.linalg.eigvalsh(to_cosine(distances)) > 1e-6).sum()) == 10


def test_exact_distances_give_exact_orientations():
    q, distances = views(400)
    assert float(align_o4(spectral(distances), q).max()) < 1e-5


@pytest.mark.parametrize(("sd", "most"), [(0.1, 0.015), (0.4, 0.055), (0.8, 0.115)])
def test_errors_of_distances_average_out(sd, most):
    """As 1/√n: with 500 images √(1650/500) times the figures of 1650."""
    q, distances = views(500)
    given = disturbed(distances, sd)
    start = spectral(given)
    found = refine(start, given)
    before, after = (float(align_o4(x, q).mean()) for x in (start, found))
    assert after < before
    assert after < most
    assert stress(found, given) < stress(start, given)


def test_the_truth_stays_where_it_is():
    q, distances = views(100)
    assert float(angles(refine(q, distances), q).diagonal().max()) < 1e-6


def test_any_monotone_error_keeps_the_spectral_start():
    """A plateau, as the original head has one, moves distances by up to 0.5 rad, the orientations by far less."""
    q, distances = views(600)
    bent = torch.where(distances < 2, distances, 2 + 0.65 * ((distances - 2) / 0.65).tanh())
    assert float((bent - distances).abs().max()) > 0.4
    assert float(align_o4(spectral(bent), q).mean()) < 0.03


def test_views_of_a_part_of_all_rotations():
    """All within a cone of 60° about one view: one ball holds everything."""
    q, _ = views(2500)
    near = q[(2 * q[:, 3].abs().clamp(max=1).arccos()) < math.radians(60)][:150]
    given = disturbed(angles(near, near), 0.1)
    assert float(align_o4(refine(spectral(given), given), near).mean()) < 0.03


def test_new_images_are_found_from_known_ones():
    q, _ = views(300)
    new, _ = views(40, seed=5)
    assert float(angles(locate(q, to_cosine(angles(new, q))), new).diagonal().max()) < 1e-4


def test_landmarks_and_all_pairs_agree():
    q, _ = views(900)
    pairs = FeaturePairs(lift(q))
    found = Recovery(method="spectral", landmarks=300, steps=5)(pairs, torch.Generator().manual_seed(0))
    assert float(align_o4(found, q).max()) < 1e-3


def test_landmarks_never_ask_for_all_pairs():
    asked = []

    class Counted(FeaturePairs):
        def distances(self, rows, columns):
            found = super().distances(rows, columns)
            asked.append(found.numel())
            return found

    q, _ = views(4500)
    Recovery(method="spectral", landmarks=100, steps=1)(Counted(lift(q)), torch.Generator().manual_seed(0))
    assert max(asked) <= 4096 * 100


def test_the_originals_loop_is_right_but_less_exact():
    q, distances = views(120)
    given = disturbed(distances, 0.2)
    with torch.inference_mode():  # as in a test of Lightning's
        theirs = float(align_o4(adam(given, torch.Generator().manual_seed(0), steps=1500), q).mean())
    ours = float(align_o4(refine(spectral(given), given), q).mean())
    assert ours < theirs < 0.3


def test_the_same_generator_gives_the_same_result():
    _, distances = views(200)
    recovery = Recovery(method="spectral", landmarks=100, steps=3)
    first, again = (recovery(GivenPairs(distances), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_too_few_images_are_refused():
    _, distances = views(20)
    with pytest.raises(DataError, match="20 images are too few"):
        spectral(distances)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"task\.recovery=guess: choose one of spectral, adam"):
        Recovery(method="guess", landmarks=2000, steps=3)
    with pytest.raises(ConfigError, match=r"task\.landmarks=10"):
        Recovery(method="spectral", landmarks=10, steps=3)
