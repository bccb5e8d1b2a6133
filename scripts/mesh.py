"""Make surface meshes of label volumes or probabilities.

    python scripts/mesh.py input=<file, glob or folder of MRC files> output=<folder>
        [classes='{1: membrane}' kind=instances decimate=0.2 formats=[ply,glb] unit=angstrom ...]

Labels of any tomogram will do: soft X-ray or cryo-ET. conf/mesh.yaml explains the keys.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from cryoexp.errors import CryoexpError
from cryoexp.tasks.surface.command import make_meshes

if __name__ == "__main__":
    try:
        make_meshes(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
