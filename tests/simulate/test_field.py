"""What lies beyond the field: exactly as much as tilted beams reach."""

import math

import numpy as np
import pytest
import torch

from cryoexp.physics.tomography import TiltGeometry
from cryoexp.simulate.field import widened

SHAPE = (12, 4, 32)


def project(volume, margin, angles):
    wide = TiltGeometry((12, 4, 32 + 2 * margin), list(angles)).project(torch.from_numpy(volume))
    return wide[..., margin : margin + 32]


@pytest.mark.parametrize("mode", ["mirror", "edge"])
def test_a_slab_that_goes_on_fills_tilted_images(mode):
    """Every beam crosses height / cos(tilt) of it, to the border of the field."""
    angles = np.array([-60.0, 0.0, 45.0])
    wide, margin = widened(np.ones(SHAPE, np.float32), angles, mode)
    images = project(wide, margin, angles)
    for image, angle in zip(images, angles, strict=True):
        np.testing.assert_allclose(image, 12 / math.cos(math.radians(angle)), rtol=0.02)


def test_without_surroundings_the_border_is_empty():
    angles = np.array([60.0])
    same, margin = widened(np.ones(SHAPE, np.float32), angles, "none")
    assert margin == 0
    assert float(project(same, 0, angles)[0, 0, :3].max()) < 1


def test_a_mirror_image_continues_without_a_seam():
    volume = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    wide, margin = widened(volume, np.array([50.0]), "mirror")
    np.testing.assert_array_equal(wide[..., margin : margin + 32], volume)
    np.testing.assert_array_equal(wide[..., margin - 1], volume[..., 0])
    np.testing.assert_array_equal(wide[..., margin + 32], volume[..., -1])
