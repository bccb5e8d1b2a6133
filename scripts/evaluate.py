"""The test table of a trained network on another dataset.

    python scripts/evaluate.py run=<run folder> dataset=<name or path> output=<folder> [dataset.<key>=<value> snr=0.05]

Without dataset= the run's own settings are used, to be changed: dataset.seed=1 snr=0.05. conf/evaluate.yaml explains
the other keys, docs/predict.md the rest.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from cryoexp.errors import CryoexpError
from cryoexp.evaluate import evaluate

if __name__ == "__main__":
    try:
        evaluate(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
