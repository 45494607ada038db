"""Degradations of images as Keras layers, and measures of image quality."""

from keras_lifted.imaging.base import Compose
from keras_lifted.imaging.base import Degradation
from keras_lifted.imaging.base import degrade
from keras_lifted.imaging.blurs import Blur
from keras_lifted.imaging.blurs import GaussianBlur
from keras_lifted.imaging.blurs import MotionBlur
from keras_lifted.imaging.downsample import Downsample
from keras_lifted.imaging.mask import Mask
from keras_lifted.imaging.noise import GaussianNoise
from keras_lifted.imaging.noise import PoissonNoise
from keras_lifted.imaging.quality import PSNR
from keras_lifted.imaging.quality import SSIM
from keras_lifted.imaging.quality import psnr
from keras_lifted.imaging.quality import ssim

__all__ = [
    "Blur",
    "Compose",
    "Degradation",
    "Downsample",
    "GaussianBlur",
    "GaussianNoise",
    "Mask",
    "MotionBlur",
    "PSNR",
    "PoissonNoise",
    "SSIM",
    "degrade",
    "psnr",
    "ssim",
]
