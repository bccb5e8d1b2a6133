import sys

import numpy as np
import pytest

from cryoexp.memory import INTERVAL, Peak


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_what_was_allocated_and_freed(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "mapped.npy", "w+", np.uint8, (64_000_000,))
    with Peak() as peak:
        mapped[:] = 1  # a file: does not count
        values = np.ones(100_000_000, np.uint8)
        for _ in range(500):  # until it was looked at: a busy machine is late
            if peak.rise > values.nbytes / 2 or peak.done.wait(INTERVAL):
                break
        del values
    assert peak.rise == pytest.approx(100e6, rel=0.1)
