"""A file of no format: the nearest of all that are read, and the first names that differ."""

import re

import pickled
import pytest
import torch

from ganlab.interop import FORMATS, describe_unknown
from ganlab.runs.recipes import open_checkpoint
from ganlab.systems.checkpoint import CheckpointError

LAYOUTS = {title: names for each in FORMATS for title, names in each.LAYOUTS.items()}


def test_every_format_that_is_read_says_what_its_files_are_called():
    assert all(each.LAYOUTS for each in FORMATS)
    assert all(len(set(names)) > 1 for names in LAYOUTS.values())


@pytest.mark.parametrize("title", LAYOUTS)
def test_a_file_with_one_name_changed_is_nearest_to_its_own_format(title):
    names = list(LAYOUTS[title])
    odd = {name for name in names if re.sub(r"\d", "", name) == re.sub(r"\d", "", names[0])}
    state = {f"odd.{name}" if name in odd else name: torch.ones(1) for name in names}
    said = describe_unknown(state)
    assert f"nearest is {title}, which also has '{names[0]}'" in said
    assert "and which lacks 'odd." in said
    assert "\n" not in said


def test_variables_of_tensorflow_are_names_too(tmp_path):
    variables = {f"{name}": torch.ones(1) for name in LAYOUTS["NVIDIA's TensorFlow ProGAN"][1:]}
    content = pickled.tensorflow_bytes([{"variables": variables}] * 2)  # and no third
    (tmp_path / "two.pkl").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"nearest is NVIDIA's TensorFlow ProGAN.*Dense/w"):
        open_checkpoint(tmp_path / "two.pkl")
