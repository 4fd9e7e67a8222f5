"""Frozen pretrained networks: images in [-1, 1] to named features."""

from ganlab.features.base import Extractor
from ganlab.features.classifier import Classifier
from ganlab.features.inception import Inception

__all__ = ["Classifier", "Extractor", "Inception"]
