"""Orientations of single-particle images from learned pairwise distances."""

from cryoexp.tasks.pose.module import Pose

__all__ = ["Pose"]
