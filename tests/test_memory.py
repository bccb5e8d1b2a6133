import subprocess
import sys

import pytest

PROGRAM = """
import sys, numpy as np
from cryoexp.memory import INTERVAL, Peak
mapped = np.lib.format.open_memmap(sys.argv[1], "w+", np.uint8, (64_000_000,))
with Peak() as peak:
    mapped[:] = 1  # a file: does not count
    values = np.ones(100_000_000, np.uint8)
    for _ in range(500):  # until it was looked at: a busy machine is late
        if peak.rise > values.nbytes / 2 or peak.done.wait(INTERVAL):
            break
    del values
print(peak.rise)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_what_was_allocated_and_freed(tmp_path):
    """In a process of its own: this one may give back what other tests took at the same moment."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "mapped.npy")], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(100e6, rel=0.1)
