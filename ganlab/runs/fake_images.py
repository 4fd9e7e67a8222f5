"""`evaluate.py fake=<folder or file>`: images made elsewhere, scored as a checkpoint's are."""

from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganlab.checks.places import place_named
from ganlab.checks.ranges import text_of
from ganlab.config import SECTIONS, ConfigError, Settings, build, locate, parameters
from ganlab.data import ImageData, NoImages
from ganlab.data.containers import shard_files
from ganlab.data.sources import GUIDE, part_named, set_up_beside
from ganlab.data.values import Given, to_find
from ganlab.runs.checkpoint_sampler import CheckpointSampler
from ganlab.runs.recipes import names
from ganlab.runs.settings import check_packages
from ganlab.studies import Scores
from ganlab.systems.stored_images import StoredImageSystem

OWN = (  # of the reals alone
    *("_target_", "name", "path", "labels", "images", "flip", "held_out", "side"),
)
TARGET = "ganlab.data.any_images"


def stored_images(config: DictConfig) -> tuple[StoredImageSystem, DictConfig]:
    """The images of `fake=` as a system, and the config with as many of them as are scored.

    They are read as the real ones of `data=` are: in their size, channels and fitting. Without a
    word about `metrics=` all of either side are compared.

    Raises:
        ConfigError: there are no reals to compare with, another study, or more images asked for
            than there are; names the key.
        ValueError, OSError: the images cannot be read; see `ganlab.data`.
    """
    check_packages(allowed := OmegaConf.to_container(config.allow_targets))
    extra: Any = allowed
    if config.get("data") is None or names(config.data, "data", NoImages, extra):
        raise ConfigError(
            f"fake={config.fake} is compared with real images: name them, as in data=folder "
            "data.path=<folder> data.resolution=64"
        )
    if not names(config.study, "study", Scores, extra):
        raise ConfigError(f"fake={config.fake} is scored: leave out study=, or say study=scores")
    config = config.copy()
    OmegaConf.set_struct(config, False)
    state_range(config, extra)
    data = open_images(str(config.fake), config, extra)
    config.metrics = fit_counts(config, len(data.dataset))
    return StoredImageSystem(data, str(config.fake)), config


def state_range(config: DictConfig, extra: list[str]) -> None:
    """Put two numbers in the place of a range that is to be found in the reals: one for both sides.

    Raises:
        ValueError, OSError: the reals cannot be read; see `ganlab.data`.
    """
    reals = reals_of(config)
    if to_find(reals.get("range")):
        offered = {"painter": partial(CheckpointSampler, extra=extra)}
        scale = build(reals, "data", extra, offered).scale()
        config.data.range = [scale.low, scale.high]


def reals_of(config: DictConfig) -> Any:
    """The section `data` as plain values."""
    return OmegaConf.to_container(config.data, resolve=True, throw_on_missing=True)


def open_images(place: str, config: DictConfig, extra: list[str]) -> ImageData:
    """The images of a place, decoded as the config's reals are."""
    path, images = part_named(place, "fake")
    if shard_files(place, "fake") is None and not place_named(path, "fake").exists():
        raise ConfigError(f"fake={place} does not exist; it takes {GUIDE}")
    reals = reals_of(config)
    known = parameters(locate(TARGET, SECTIONS["data"]))
    node = {key: value for key, value in reals.items() if key in known and key not in OWN}
    node |= {"_target_": TARGET, "path": path, "images": images, "key": "fake"}
    node |= {"name": "fake", "labels": False}

    def read(given: Given) -> ImageData:
        data: ImageData = build(node | {"range": given}, "data", extra)
        return data

    return set_up_beside(read, node.get("range"), f"fake={place}")


def fit_counts(config: DictConfig, there: int) -> Settings:
    """The suite's settings for so many images; without a word of anybody all are compared."""
    found: Any = OmegaConf.to_container(config.metrics, resolve=False)
    default = found.get("reducible")
    if default is not None and found.get("num_real") == found.get("num_fake") == default:
        return dict(found) | {"num_real": None, "num_fake": there, "reducible": there}
    wanted = found.get("num_fake")
    if isinstance(wanted, int) and wanted > there:
        raise ConfigError(
            f"metrics.num_fake={text_of(wanted)} asks for more images than fake={config.fake} has: "
            f"metrics.num_fake={there} would fit, and without metrics= all are compared"
        )
    return dict(found)
