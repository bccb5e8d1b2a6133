"""Orientations of images from their common lines, by ASPIRE; see pose_aspire.py, which runs this.

    <python of ASPIRE's environment> -I scripts/bench/aspire_worker.py <folder> <method> <largest shift> <mask: 0 or 1>

Reads images.npy `(n, y, x)` of the folder, and writes rotations.npy `(n, 3, 3)` as ASPIRE has them and answer.json.
The shift is that of one image against another along their common line, in pixels; the mask is a disc of 0.45 boxes.
ASPIRE is GPL-3: this file imports nothing of cryoexp, and nothing of cryoexp imports this file.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from aspire.abinitio import CLSync3N, CLSyncVoting, CommonlineIRLS  # type: ignore[import-not-found]
from aspire.source import ArrayImageSource  # type: ignore[import-not-found]

METHODS = {"voting": CLSyncVoting, "sync3n": CLSync3N, "irls": CommonlineIRLS}


def main(folder: Path, method: str, shift: int, mask: bool) -> None:
    """Estimate, and write; the seconds are processor time of the estimate alone, without imports."""
    images = np.load(folder / "images.npy").astype(np.float64)
    source = ArrayImageSource(images, pixel_size=1.0)  # asked for, of no influence on angles
    # of its power method, which may rest on the way: at the default of 1e-2 some seeds stop too soon. No other draws
    more = {"seed": 0, "epsilon": 1e-3} if method == "sync3n" else {}
    start = time.process_time()
    lines = METHODS[method](source, max_shift=shift / images.shape[-1], mask=mask, disable_gpu=True, **more)
    lines.estimate_rotations()
    seconds = time.process_time() - start
    np.save(folder / "rotations.npy", np.asarray(lines.rotations))
    (folder / "answer.json").write_text(json.dumps({"seconds": seconds, "version": version("aspire")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")
