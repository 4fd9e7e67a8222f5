"""What `conf/data/*.yaml` point at: each data set by name, as an `ImageData`.

Every function takes the options of `ImageData` besides its own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganlab.checks.places import place_named
from ganlab.data.arrays import ArrayFile
from ganlab.data.binaries import CIFAR10, STL10
from ganlab.data.collection import Source
from ganlab.data.containers import ImageFiles
from ganlab.data.decode import sides
from ganlab.data.emoji import EmojiSheet
from ganlab.data.generated import Generated, Painter
from ganlab.data.idx import MNIST, FashionMNIST
from ganlab.data.module import ImageData
from ganlab.data.sources import GUIDE, part_named, set_up_beside, source_of
from ganlab.data.synthetic import Synthetic
from ganlab.data.tables import HubImages, ParquetImages
from ganlab.data.values import Given
from ganlab.nn.frames import Resolution

CELEBA_GUIDE = (
    "CelebA's folder img_align_celeba (202,599 files of 178x218 px) or img_align_celeba.zip, from "
    '"Align&Cropped Images" at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html'
)
CELEBAHQ_GUIDE = (
    "a folder or .zip with the 30,000 images of CelebA-HQ, e.g. CelebA-HQ-img of CelebAMask-HQ, "
    "from https://github.com/switchablenorms/CelebAMask-HQ"
)
FFHQ_GUIDE = (
    "a folder or .zip with FFHQ's 70,000 images (images1024x1024, or thumbnails128x128 for small "
    "resolutions), from https://github.com/NVlabs/ffhq-dataset"
)
LSUN_GUIDE = (
    "the LMDB folder of one LSUN category, as bedroom_train_lmdb, unpacked from what "
    "`python download.py -c bedroom` of https://github.com/fyu/lsun fetches, or its images"
)
TAR_GUIDE = "a .tar of images, a folder of such shards, or shards-{000000..000123}.tar"
PLACES365_GUIDE = (
    "Places365's folder data_256 (class folders a/abbey ... z/zen_garden), unpacked from "
    "train_256_places365standard.tar at http://places2.csail.mit.edu/download.html"
)


def fashion_mnist(path: str | None = None, full: bool = False, **options: object) -> ImageData:
    """Fashion-MNIST: the embedded test split of 10,000 images, or all 70,000 with `full`."""
    return _data(FashionMNIST(path, full), options)


def emoji(
    variants: bool = True,
    split: str = "all",
    num: int | None = None,
    categories: Sequence[str] | None = None,
    **options: object,
) -> ImageData:
    """The embedded Noto Emoji; see `EmojiSheet`."""
    return _data(EmojiSheet(variants, split, num, categories), options)


def mnist(path: str | None = None, split: str = "train", **options: object) -> ImageData:
    """MNIST's idx files in the folder `path`; `split` is train, test or all."""
    return _data(MNIST(path, split), options)


def folder(path: str | None = None, labels: bool = True, **options: object) -> ImageData:
    """A folder of images, with the labels of a file beside them or of nested folders."""
    return _of_files(path, labels, "a folder of images", options)


def any_images(
    path: str | None = None,
    labels: bool = True,
    channels: int = 3,
    resolution: Resolution = 32,
    images: str | None = None,
    key: str = "data.path",
    **options: object,
) -> ImageData:
    """Whatever lies at the path that `key` names, told by its name and content; labels as in
    `folder`, `images` as in `arrays`.
    """
    source = source_of(path, channels, labels, key, resolution, images)
    return _data(source, options | {"channels": channels, "resolution": resolution})


def zipped(path: str | None = None, labels: bool = True, **options: object) -> ImageData:
    """A zip archive of images, never unpacked; labels as in `folder`."""
    return _of_files(path, labels, "a .zip of images", options)


def tar(path: str | None = None, labels: bool = True, **options: object) -> ImageData:
    """A tar archive of images or WebDataset's shards, read in place; labels also from `.cls`."""
    return _of_files(path, labels, TAR_GUIDE, options)


def lmdb(path: str | None = None, labels: bool = True, **options: object) -> ImageData:
    """Encoded images in an LMDB file; labels as in `folder`, by their keys."""
    return _of_files(path, labels, "an LMDB folder or file of images", options)


def parquet(
    path: str | None = None,
    images: str | None = None,
    labels: str | bool | None = None,
    split: str | None = None,
    **options: object,
) -> ImageData:
    """Parquet files with a column of encoded images, and if wanted one of labels."""
    return _data(ParquetImages(path, images, labels, split), options)


def huggingface(
    path: str | None = None,
    hub_path: str | None = None,
    split: str = "train",
    images: str | None = None,
    labels: str | bool | None = None,
    subset: str | None = None,
    revision: str | None = None,
    **options: object,
) -> ImageData:
    """A data set of Hugging Face's `datasets`: a folder of `save_to_disk`, or a name."""
    source = HubImages(path, hub_path, split, images, labels, subset, revision)
    return _data(source, options)


def arrays(
    path: str | None = None,
    images: str | None = None,
    labels: str | bool | None = None,
    channels: int = 3,
    **options: object,
) -> ImageData:
    """An .npy or .npz file; `images` and `labels` name arrays in the .npz where that is needed."""
    return _data(ArrayFile(path, images, labels, channels), options | {"channels": channels})


def generated(
    ckpt: str = "faces",
    num: int = 20_000,
    latent_seed: int = 0,
    painter: Callable[[str], Painter] | None = None,
    resolution: Resolution = 32,
    **options: object,
) -> ImageData:
    """`num` samples of the generator in `ckpt`, drawn once; `painter` opens the checkpoint."""
    needed = 1 if options.get("enlarge") else min(sides(resolution))
    source = Generated(ckpt, num, latent_seed, painter, needed)
    return _data(source, options | {"resolution": resolution})


def synthetic(num: int = 1000, resolution: Resolution = 32, **options: object) -> ImageData:
    """`num` procedurally drawn discs, rectangles and gradients, drawn at the resolution."""
    return _data(Synthetic(num, max(sides(resolution))), options | {"resolution": resolution})


def cifar10(path: str | None = None, split: str = "train", **options: object) -> ImageData:
    """CIFAR-10's binary version; `split` is train (50,000), test (10,000) or all."""
    return _data(CIFAR10(path, split), options)


def stl10(path: str | None = None, split: str = "unlabeled", **options: object) -> ImageData:
    """STL-10's binary version; `split` is unlabeled (100,000), train (5,000) or test (8,000)."""
    return _data(STL10(path, split), options)


def celeba(path: str | None = None, **options: object) -> ImageData:
    """CelebA, aligned and cropped, without labels."""
    return _of_files(path, False, CELEBA_GUIDE, options)


def celebahq(path: str | None = None, **options: object) -> ImageData:
    """CelebA-HQ, without labels."""
    return _of_files(path, False, CELEBAHQ_GUIDE, options)


def ffhq(path: str | None = None, **options: object) -> ImageData:
    """FFHQ; its numbered folders are no classes."""
    return _of_files(path, False, FFHQ_GUIDE, options)


def lsun(path: str | None = None, **options: object) -> ImageData:
    """One LSUN category, in its LMDB or exported to image files."""
    return _of_files(path, False, LSUN_GUIDE, options)


def places365(path: str | None = None, labels: bool = True, **options: object) -> ImageData:
    """Places365-Standard at 256 px with its 365 scene labels."""
    return _of_files(path, labels, PLACES365_GUIDE, options)


def held_out_data(place: str | Path, like: Any, key: str = "study.held_out") -> ImageData:
    """A place of images of any kind as a data module, its images at the size of `like`'s.

    They are read in the range of `like`'s, or in their type's own where it cannot reach that.

    Raises:
        FileNotFoundError: there is no such place; the message names `key`.
        BrokenData: images that cannot be used.
    """
    path, images = part_named(str(place), key)
    if not place_named(path, key).exists():
        raise FileNotFoundError(f"{key}={place} does not exist; it takes {GUIDE}")
    wanted = like.fitting
    options: dict[str, Any] = {"resolution": wanted.resolution, "channels": wanted.channels}
    options |= {"fit": wanted.fit, "filter": wanted.filter, "enlarge": True, "key": key}
    options |= {"images": images, "name": Path(path).stem}
    scale = like.scale() if isinstance(like, ImageData) else None

    def build(given: Given) -> ImageData:
        return any_images(path, labels=False, range=given, **options)

    return set_up_beside(
        build, None if scale is None else [scale.low, scale.high], f"{key}={place}"
    )


def _data(
    source: Source,
    options: Mapping[str, Any],  # of `ImageData`, as the config says them: checked before
) -> ImageData:
    return ImageData(source, **options)


def _of_files(
    path: str | None,
    labels: bool,
    guide: str,  # what belongs there and where to get it
    options: Mapping[str, Any],  # of `ImageData`
) -> ImageData:
    """Image files wherever they lie; the size asked for where several are kept."""
    return _data(ImageFiles(path, labels, guide, options.get("resolution")), options)
