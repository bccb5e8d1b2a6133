"""Find membranes in soft X-ray tomograms and measure their surfaces."""

from cryoexp.tasks.surface.module import Surface

__all__ = ["Surface"]
