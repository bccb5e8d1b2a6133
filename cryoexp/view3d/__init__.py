"""Scenes in three dimensions: the report shows them as views to turn, and a picture of each lies beside."""

from cryoexp.view3d.scene import Scale, Scene3d
from cryoexp.view3d.surface import contour_level, surface

__all__ = ["Scale", "Scene3d", "contour_level", "surface"]
