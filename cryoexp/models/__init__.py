"""Plain torch networks. ``output`` says what a network gives; a task says what it needs."""

from cryoexp.models.cnn3d import CNN3d
from cryoexp.models.double_decoder import DoubleDecoder
from cryoexp.models.dsrf3d import DSRF3dV2
from cryoexp.models.eman2_convnet import Eman2ConvNet
from cryoexp.models.library import Library, name_of
from cryoexp.models.mask_center import MaskCenter
from cryoexp.models.rb3d import RB3D
from cryoexp.models.resnet3d import ResNet3d
from cryoexp.models.sec3 import SEC3
from cryoexp.models.siamese import Siamese
from cryoexp.models.siamese_small import SiameseSmall
from cryoexp.models.squeezenet3d import SqueezeNet3d
from cryoexp.models.unet2d import UNet2d, UNet2dSmall
from cryoexp.models.unet3d import UNet3d
from cryoexp.models.unet3d_two_heads import UNet3dTwoHeads

__all__ = [
    "RB3D",
    "SEC3",
    "CNN3d",
    "DSRF3dV2",
    "DoubleDecoder",
    "Eman2ConvNet",
    "Library",
    "MaskCenter",
    "ResNet3d",
    "Siamese",
    "SiameseSmall",
    "SqueezeNet3d",
    "UNet2d",
    "UNet2dSmall",
    "UNet3d",
    "UNet3dTwoHeads",
    "name_of",
]
