import pytest
import torch

from cryoexp.models import Siamese, SiameseSmall


def test_the_encoder_has_the_published_number_of_parameters():
    net = Siamese(1, 16, init="glorot")
    head = sum(p.numel() for p in net.head.parameters())
    assert sum(p.numel() for p in net.parameters()) - head == 4_551_936
    assert head == 512 * 16 + 16


@pytest.mark.parametrize("size", [116, 64, 33])
def test_it_takes_images_of_any_size(size):
    """116 pixels become 58, 29, 15, 8, 4, 2 and 1, as with padding to whole windows."""
    net = Siamese(1, 16, init="he").eval()
    assert net(torch.rand(2, 1, size, size)).shape == (2, 16)


def test_an_answer_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    net = SiameseSmall(1, 16, box=32, width=8, blocks=[1, 1, 1, 1], hidden=16)
    images = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(net(images)[2:3], net(images[2:3]))


def test_odd_boxes_and_other_depths():
    net = SiameseSmall(2, 5, box=37, width=8, blocks=[2, 1], hidden=4)
    assert net(torch.rand(3, 2, 37, 37)).shape == (3, 5)


def test_widths_that_cannot_be_grouped_are_refused():
    with pytest.raises(ValueError, match="width=12 must be a multiple of 8"):
        SiameseSmall(1, 16, box=32, width=12, blocks=[1], hidden=4)
