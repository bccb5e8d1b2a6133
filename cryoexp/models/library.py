"""Networks of other libraries, by name."""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

# a checkpoint of a stranger names what is imported and built: nothing else is
ALLOWED = ("monai.networks.", "torch.nn.", "torchvision.models.")


class Library(nn.Module):
    """A network of MONAI, torch.nn or torchvision.

    The library is imported when the network is made: MONAI takes seconds. Of several results the first counts, which is
    the classes' logits or the finest volume. Pre-trained weights are never fetched.

    Args:
        in_channels: of the volumes.
        out_channels: of the result.
        network: dotted name of the class, ``monai.networks.nets.DenseNet121``.
        output: what it gives: vector (one answer a volume), volume (one a voxel) or image (one a pixel).
        kwargs: of its constructor; the values ``in_channels`` and ``out_channels`` stand for the numbers of the run.

    Raises:
        ValueError: no such network, or arguments that it does not take.
    """

    def __init__(
        self, in_channels: int, out_channels: int, network: str, output: str, kwargs: Mapping[str, Any]
    ) -> None:
        super().__init__()
        made = find_network(network)
        numbers = {"in_channels": in_channels, "out_channels": out_channels}
        given = {k: numbers.get(v, v) if isinstance(v, str) else v for k, v in kwargs.items()}
        if "out_channels" not in kwargs.values():
            raise ValueError(f"no value of kwargs is out_channels: {network} has to know it. {_takes(made)}")
        if "pretrained" in inspect.signature(made).parameters:
            given["pretrained"] = False
        self.output = output
        with torch.device("cpu"):  # some read values of tensors while they are made, of which a rehearsal has none
            self.network = _make(made, given)

    def forward(self, x: Tensor) -> Any:
        """Map `(b, in_channels, z, y, x)` to `(b, out_channels)` or `(b, out_channels, z, y, x)`."""
        # bfloat16 on a CPU: gradients of small grids are not finite in some of these networks (DenseNet121)
        with torch.autocast("cpu", enabled=False) if x.device.type == "cpu" else nullcontext():
            result = self.network(x)
        return result[0] if isinstance(result, tuple | list) else result


def name_of(net: nn.Module) -> str:
    """Return what a network is called: DenseNet121, and not Library."""
    return type(net.network if isinstance(net, Library) else net).__name__


def find_network(name: str) -> type[nn.Module]:
    """Import a network by its dotted name.

    Raises:
        ValueError: of another library, not installed, or no network.
    """
    if not name.startswith(ALLOWED):
        raise ValueError(f"network={name}: only networks of {', '.join(a.rstrip('.') for a in ALLOWED)} are made")
    module, _, short = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), short, None)
    except ImportError as error:
        raise ValueError(f"network={name}: cannot import {module} ({error})") from None
    if isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith(ALLOWED):
        return found
    there = vars(importlib.import_module(module)).items()
    names = [n for n, v in there if isinstance(v, type) and issubclass(v, nn.Module)]
    near = difflib.get_close_matches(short, names, n=3, cutoff=0.4)
    raise ValueError(f"network={name}: {module} has no such class of networks. Near: {', '.join(near) or 'none'}")


def _make(made: type[nn.Module], given: Mapping[str, Any]) -> nn.Module:
    """Call the constructor; whatever it refuses becomes one sentence."""
    try:
        inspect.signature(made).bind(**given)
        return made(**given)
    except Exception as error:  # of any kind: it is their code
        raise ValueError(f"kwargs: {made.__name__} refuses them: {error}. {_takes(made)}") from error


def _takes(made: type[nn.Module]) -> str:
    """Say what a constructor takes, with its parents' arguments where it hands them on."""
    names: dict[str, None] = {}
    for level in made.__mro__:
        parameters = inspect.signature(level).parameters if "__init__" in vars(level) else {}
        names |= {n: None for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return f"It takes: {', '.join(names)}"
