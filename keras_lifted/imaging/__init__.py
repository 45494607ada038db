"""Degradations of images as Keras layers, and measures of image quality."""

from keras_lifted.imaging.base import Compose, Degradation, degrade
from keras_lifted.imaging.blurs import Blur, GaussianBlur, MotionBlur
from keras_lifted.imaging.downsample import Downsample
from keras_lifted.imaging.mask import Mask
from keras_lifted.imaging.noise import GaussianNoise, PoissonNoise
from keras_lifted.imaging.quality import PSNR, SSIM, psnr, ssim

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
