"""Hydra's instantiate, with every refusal of a constructor as one clear error."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from cryoexp.errors import ConfigError, CryoexpError


def build(node: DictConfig, **given: Any) -> Any:
    """Instantiate a config node with plain containers, and hand it objects that no config can hold.

    Raises:
        CryoexpError: as raised by a constructor.
        ConfigError: a constructor refuses its arguments. HYDRA_FULL_ERROR=1 shows where.
    """
    try:
        # partial, so that Hydra does not turn the given objects into configs
        return instantiate(node, _partial_=True, _convert_="all")(**given)
    except InstantiationException as error:  # of a nested node
        if isinstance(error.__cause__, CryoexpError):
            raise error.__cause__ from None
        raise ConfigError(f"{_key(node)}: {error}") from error
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(f"{_key(node)}: {error}") from error


def _key(node: DictConfig) -> str:
    """Where in the config a node stands, or what it makes if it is a config of its own."""
    return node._get_full_key(None) or str(node.get("_target_"))
