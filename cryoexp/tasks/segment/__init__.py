"""Label every voxel of a tomogram."""

from cryoexp.tasks.segment.module import Segment

__all__ = ["Segment"]
