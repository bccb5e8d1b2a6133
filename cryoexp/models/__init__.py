"""Plain torch networks. ``output`` says what a network gives; a task says what it needs."""

from cryoexp.models.cnn3d import CNN3d
from cryoexp.models.resnet3d import ResNet3d

__all__ = ["CNN3d", "ResNet3d"]
