"""What tests of the tasks on whole tomograms share."""

import torch
from torch import Tensor

from cryoexp.assemble import make_data, make_task


def made(config):
    """Return an untrained task in evaluation mode, always with the same weights, and its data."""
    data = make_data(config)
    torch.manual_seed(0)
    return make_task(config, data).eval(), data


def check_ignored_voxels_have_no_influence(net, data, counts) -> tuple[Tensor, Tensor]:
    """Whatever stands in the volume at their label, the loss and an output of the task are the same; return both."""
    batch = data.finish(next(iter(data.train_dataloader())))
    batch["label"][:, :, :, 10:] = 255
    with torch.no_grad():
        prediction = net(batch["volume"])
    other = prediction.clone()
    other[..., 10:] = torch.randn_like(other[..., 10:]) * 30
    torch.testing.assert_close(net.loss(prediction, batch), net.loss(other, batch))
    first, second = (net.outputs(p, batch)[counts] for p in (prediction, other))
    assert torch.equal(first, second)
    return first, batch["label"]


def check_patches_have_numbers_of_their_own(net, data) -> None:
    """No two patches of validation have the same."""
    seen = []
    for batch in data.val_dataloader():
        done = data.finish(batch)
        with torch.no_grad():
            seen += net.outputs(net(done["volume"]), done)["index"].tolist()
    assert len(set(seen)) == len(seen) == len(data.splits["val"])
