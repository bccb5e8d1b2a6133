"""Hydra's instantiate, with our own errors coming through as they are."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from cryoexp.errors import ConfigError, CryoexpError


def build(node: DictConfig, **given: Any) -> Any:
    """Instantiate a config node with plain containers, and hand it objects that no config can hold.

    Raises:
        CryoexpError: as raised by a constructor.
        ConfigError: a constructor refuses its arguments.
    """
    try:
        # partial, so that Hydra does not turn the given objects into configs
        return instantiate(node, _partial_=True, _convert_="all")(**given)
    except InstantiationException as error:  # of a nested node
        if isinstance(error.__cause__, CryoexpError):
            raise error.__cause__ from None
        raise ConfigError(f"{node.get('_target_')}: {error}") from error
    except (TypeError, ValueError) as error:
        if _from_arguments(error):
            raise ConfigError(f"{node.get('_target_')}: {error}") from error
        raise


def _from_arguments(error: Exception) -> bool:
    """Whether the call itself was refused, rather than something deep inside the constructor."""
    depth, trace = 0, error.__traceback__
    while trace:
        depth, trace = depth + 1, trace.tb_next
    return depth <= 2
