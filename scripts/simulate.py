"""Write a simulated dataset, clean and noisy, where you want it.

    python scripts/simulate.py dataset=tomograms output=my_tomograms [dataset.shape=[64,256,256] snr=0.1 ...]

The same datasets, with the same bits, are made in the cache when a task is trained on them. Any key of conf/dataset
can be given; `snr` (a number, inf or, for tomograms, dose) is that of the noisy volumes.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.config.check import check_node
from cryoexp.data.simulated import Simulated
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.progress import console


def main(arguments: list[str]) -> None:
    """Simulate what the command line asks for."""
    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    if "output" not in given or "dataset" not in given:
        raise ConfigError(
            "usage: python scripts/simulate.py dataset=<name> output=<folder> [dataset.<key>=<value> ...]"
        )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[a for a in arguments if not a.startswith("output=")])
        check_node("dataset", cfg.dataset)
    data = build(cfg.dataset)
    if not isinstance(data, Simulated):
        raise ConfigError(f"dataset={given['dataset']}: real data cannot be simulated")
    output = Path(given["output"]).expanduser().resolve()
    data.export(output)
    console.print(data.describe())
    console.print(str(output))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (CryoexpError, HydraException) as error:
        sys.exit(f"\ncryoexp: {error}")
