"""Predict on new data with a trained network; the training data are not needed.

    python scripts/predict.py run=<run folder> input=<file, glob, folder or .star> output=<folder>
        [overwrite=true device=cuda:0,cuda:1 batch_size=64 voxel_size=10 contrast=bright checkpoint=last]

conf/predict.yaml explains the keys, docs/predict.md the rest.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from cryoexp.errors import CryoexpError
from cryoexp.predict import predict

if __name__ == "__main__":
    try:
        predict(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
