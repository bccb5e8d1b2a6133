"""How weights start."""

from torch import nn


def initialise(net: nn.Module, last: nn.Module, init: str) -> None:
    """Draw the weights of all convolutions and dense layers; their biases are zero.

    Args:
        net: changed in place.
        last: the layer that gives the logits.
        init: glorot (uniform, as Keras does) or he (normal, He et al. 2015, with a small last layer: it keeps the
            variance through layers of ReLUs, which glorot shrinks).

    Raises:
        ValueError: another ``init``.
    """
    if init not in ("glorot", "he"):
        raise ValueError(f"init must be glorot or he, got {init}")
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            if init == "glorot":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if init == "he":
        nn.init.normal_(last.get_parameter("weight"), std=0.01)
