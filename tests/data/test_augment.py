import math

import pytest
import torch

from cryoexp.data.augment import apply, operations
from cryoexp.physics.fourier import frequencies, missing_wedge

VOLUME = torch.randn(2, 1, 5, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kind", "order"), [("none", 1), ("y180", 2), ("d2", 4), ("d2h", 8), ("cube", 24)])
def test_group_has_its_order_and_is_closed(kind, order):
    group = operations(kind)
    images = [op(VOLUME) for op in group]
    assert len(group) == order
    assert torch.equal(images[0], VOLUME)
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])
    for op in group:
        assert any(torch.equal(op(images[-1]), image) for image in images)


@pytest.mark.parametrize("kind", ["y180", "d2", "d2h"])
def test_the_wedge_stays_where_it_is(kind):
    kz, _, kx = frequencies(5, 1.0)
    half = missing_wedge(kz, kx, math.radians(60))
    full = torch.fft.fftn(torch.fft.irfftn(half, s=(5, 5, 5))).real
    for op in operations(kind):
        # flips act on centred spectra
        centred = torch.fft.fftshift(full)
        torch.testing.assert_close(op(centred), centred)


def test_the_cube_moves_the_wedge():
    marked = torch.zeros(3, 3, 3)
    marked[2, 1, 1] = 1  # along z
    places = {tuple(op(marked).nonzero()[0].tolist()) for op in operations("cube")}
    assert len(places) == 6


def test_rotations_keep_the_hand_and_mirrors_do_not():
    """The sign of a triple product of three marked voxels around the centre."""
    volume = torch.zeros(3, 3, 3)
    volume[2, 1, 1], volume[1, 2, 1], volume[1, 1, 2] = 1, 2, 3

    def hand(v):
        corners = torch.stack([(v == i).nonzero()[0] - 1 for i in (1, 2, 3)]).float()
        return float(torch.linalg.det(corners))

    assert {hand(op(volume)) for op in operations("d2")} == {1.0}
    assert {hand(op(volume)) for op in operations("cube")} == {1.0}
    assert {hand(op(volume)) for op in operations("d2h")} == {1.0, -1.0}


def test_apply_picks_one_operation_a_volume():
    group = operations("d2h")
    out = apply(VOLUME, torch.tensor([0, 5]), group)
    assert torch.equal(out[0], VOLUME[0])
    assert torch.equal(out[1], group[5](VOLUME[1]))
