"""Volumes to page through, with labels laid over: the report shows them as a slider, and a picture lies beside."""

from cryoexp.slices.frames import Frames, take_frames
from cryoexp.slices.montage import draw_montage
from cryoexp.slices.stack import write_slices

__all__ = ["Frames", "draw_montage", "take_frames", "write_slices"]
