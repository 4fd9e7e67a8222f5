"""`num_labels: auto`: a conditional model of as many classes as its data has."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganlab.checks.ranges import text_of
from ganlab.config import ConfigError, build
from ganlab.data import ImageData
from ganlab.runs.settings import check_complete, check_packages, check_sections

AUTO, KEY = "auto", "model.conditioner.num_labels"


def count_classes(config: DictConfig) -> DictConfig:
    """The config with the number of the data's classes in place of `auto`.

    Lists the images, decodes none.

    Raises:
        ConfigError: the data has no classes, or cannot tell.
        OSError, ValueError: it cannot be opened; see its source.
    """
    check_sections(config)
    conditioner = config.get("model", {}).get("conditioner")
    if not isinstance(conditioner, DictConfig) or conditioner.get("num_labels") != AUTO:
        return config
    check_complete(config, "train")
    config = config.copy()
    OmegaConf.update(config, KEY, classes_of(config))
    return config


def classes_of(config: DictConfig) -> int:
    """How many classes the images of a config have; see `count_classes`."""
    node: Any = OmegaConf.to_container(config.data, resolve=True, throw_on_missing=True)
    allowed: Any = OmegaConf.to_container(config.allow_targets)
    check_packages(allowed)
    data = build(node, "data", allowed)
    if not isinstance(data, ImageData):
        raise ConfigError(f"{KEY}=auto counts classes of ganlab's data: give the number of yours")
    data.source.prepare()
    found = len(data.source.open().class_names)
    if not found:
        raise ConfigError(
            f"{KEY}=auto, and the images of data={text_of(data.name)} have no labels: put them "
            "into class folders or beside a labels.csv, choose labelled data, or leave out "
            "model/conditioner=labels"
        )
    return found
