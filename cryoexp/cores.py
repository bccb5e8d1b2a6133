"""How many CPU cores this process may use."""

import os


def available() -> int:
    """Return the number of cores, less those that a scheduler keeps from us."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
