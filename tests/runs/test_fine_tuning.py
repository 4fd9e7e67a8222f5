"""What the file of `init=` says of its networks becomes words of the run, and no more than that."""

import pytest
import torch

from ganlab.config import ConfigError
from ganlab.features.weights import sha256_of
from ganlab.run import recipe
from ganlab.runs.description import describe_checkpoint
from ganlab.runs.fine_tuning import words_of
from ganlab.runs.recipes import rebuild_system
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

SMALL = [f"model.{net}.{key}=8" for net in ("generator", "discriminator") for key in ("width",)]


@pytest.fixture
def saved(tmp_path, hydra_is_clean):
    """Writes the checkpoint of a small ProGAN, after a change to it."""

    def write(change):
        system = recipe("progan", "data.resolution=16", *SMALL)
        state = dict(system.state_dict())
        change(system.recipe["model"]["generator"], state)
        path = tmp_path / "a.ckpt"
        torch.save({"recipe": system.recipe, "images_seen": 0, "state_dict": state}, path)
        return path

    return write


def test_a_mapping_of_widths_is_a_word(saved):
    path = saved(lambda node, state: node.update(widths={4: 8, 8: 8, 16: 4}))
    assert "++model.generator.widths={4:8,8:8,16:4}" in words_of([f"init={path}"])


@pytest.mark.parametrize("key", ["8:${oc.env:HOME},16", "8:8,_target_:ganlab.x,16", "a b", ""])
def test_a_key_that_would_be_read_as_more_is_refused(saved, key):
    path = saved(lambda node, state: node.update(widths={4: 8, key: 8}))
    with pytest.raises(ConfigError, match=r"init=.*a\.ckpt: model\.generator\.widths has the key"):
        words_of([f"init={path}"])


def test_a_run_of_ours_is_no_file_of_somebody_elses_whatever_it_says(saved, tmp_path):
    """A recipe could claim the digest and the licence of a file that was published."""
    path = saved(lambda node, state: None)
    content = torch.load(path, weights_only=True)
    content["recipe"]["source"] = {"format": "NVIDIA's StyleGAN2", "sha256": "ab" * 32}
    torch.save(content, path)
    said = describe_checkpoint(str(path), [])
    assert "NVIDIA" not in said
    assert sha256_of(path) in said


@pytest.mark.parametrize("stage", [{}, {"level": float("inf"), "alpha": 1.0}])
def test_a_stage_that_is_none_is_a_line(saved, stage):
    path = saved(lambda node, state: state.update({"generator_ema._extra_state": stage}))
    with pytest.raises(CheckpointError, match=r"weights do not fit its recipe: .* is no stage of"):
        rebuild_system(load_checkpoint(path), [])
