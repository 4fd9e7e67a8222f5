"""Images from any source: one LightningDataModule, uint8 until the device."""

from ganlab.data.batch import Batch
from ganlab.data.dataset import ImageDataset
from ganlab.data.decode import Fitting
from ganlab.data.module import ImageData
from ganlab.data.no_images import NoImages
from ganlab.data.presets import (
    any_images,
    arrays,
    celeba,
    celebahq,
    cifar10,
    emoji,
    fashion_mnist,
    ffhq,
    folder,
    generated,
    huggingface,
    lmdb,
    lsun,
    mnist,
    parquet,
    places365,
    stl10,
    synthetic,
    tar,
    zipped,
)
from ganlab.data.problems import BrokenData, Problem
from ganlab.data.sampler import ImageStream

__all__ = [
    "Batch",
    "BrokenData",
    "Fitting",
    "ImageData",
    "ImageDataset",
    "ImageStream",
    "NoImages",
    "Problem",
    "any_images",
    "arrays",
    "celeba",
    "celebahq",
    "cifar10",
    "emoji",
    "fashion_mnist",
    "ffhq",
    "folder",
    "generated",
    "huggingface",
    "lmdb",
    "lsun",
    "mnist",
    "parquet",
    "places365",
    "stl10",
    "synthetic",
    "tar",
    "zipped",
]
