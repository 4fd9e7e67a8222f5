"""Frozen pretrained networks: images in [-1, 1] to named features."""

from ganlab.features.base import Extractor, StagedExtractor
from ganlab.features.classifier import Classifier
from ganlab.features.dinov2 import DINOv2
from ganlab.features.efficientnet import EfficientNetLite0
from ganlab.features.fashion_vgg import FashionVGG
from ganlab.features.inception import Inception
from ganlab.features.module import Module
from ganlab.features.vgg16 import VGG16, VGG16Weights

__all__ = [
    "VGG16",
    "Classifier",
    "DINOv2",
    "EfficientNetLite0",
    "Extractor",
    "FashionVGG",
    "Inception",
    "Module",
    "StagedExtractor",
    "VGG16Weights",
]
