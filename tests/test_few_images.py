"""The sweep over few images: cells differ in their augmentation and in nothing else."""

from itertools import product

import composing
import pytest
from omegaconf import OmegaConf

from ganlab.config import build
from ganlab.systems.augment import ADA, DiffAugment

ROWS = {"none": None, "diffaugment": DiffAugment, "ada": ADA}

pytestmark = pytest.mark.usefixtures("hydra_is_clean")


def composed(name, directory, *words):
    return OmegaConf.to_container(composing.composed(name, words, directory), resolve=True)


@pytest.mark.parametrize("row", ROWS)
def test_a_cell_trains_what_it_is_named_after_on_as_many_pictures(row, tmp_path):
    words = ["sweep=few_images", f"experiment=few_images/{row}", "data.num=500"]
    config = composed("train", tmp_path, *words)
    made = config["model"]["augment"]
    assert (made is None) if ROWS[row] is None else type(build(made, "model")) is ROWS[row]
    data = build(config["data"], "data")
    data.prepare_data()
    data.setup("fit")
    assert len(data.dataset) == 500
    first = composed("train", tmp_path, "sweep=few_images", "data.num=500")
    for section in ("data", "kimg", "seed", "scores", "metrics"):
        assert config[section] == first[section], "cells differ in what is compared alone"
    same = {key: each for key, each in config["model"].items() if key != "augment"}
    assert same == {key: each for key, each in first["model"].items() if key != "augment"}


def test_the_sweep_is_of_three_sizes_by_three_augmentations(tmp_path):
    swept = OmegaConf.load(composing.conf_dir() / "sweep" / "few_images.yaml")
    params = swept.hydra.sweeper.params
    cells = product(params["experiment"].split(","), str(params["data.num"]).split(","))
    wanted = product([f"few_images/{row}" for row in ROWS], ["100", "500", "1000"])
    assert list(cells) == list(wanted)
