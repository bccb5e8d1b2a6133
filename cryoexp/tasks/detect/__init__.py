"""Find and separate crowded particles."""

from cryoexp.tasks.detect.module import Detect

__all__ = ["Detect"]
