"""What the best possible method could reach: a matched filter that knows every template.

    python scripts/bench/matched_filter.py [items=100] [orientations=1000] [step=1] [snr=0.05 dataset.jitter=5 ...]

The boxes are the first of each class of the test split that a training with the same overrides would have. What the
filter knows, and why with neighbours the figure is no bound: cryoexp/tasks/classify/matched_filter.py.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from cryoexp.errors import CryoexpError
from cryoexp.limit import limit_of, read_settings


def main(arguments: list[str]) -> None:
    """Classify the boxes and print the share of right answers."""
    settings, overrides = read_settings(arguments)
    limit, bank, cfg, seconds = limit_of(overrides, settings)
    for label, name in enumerate(bank.names):
        mine = limit.labels == label
        print(f"{name:12s} {float(limit.right[mine].float().mean()):.2f} of {int(mine.sum())}")
    print(f"{seconds:.2f} processor seconds a box, {settings.orientations} orientations of each class")
    print(f"{limit.accuracy:.3f} +- {limit.error:.3f} of {len(limit.labels)} items at SNR {cfg.snr:g}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
