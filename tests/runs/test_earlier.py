"""Runs of an earlier version go on as what they were, whatever the configs say now."""

import pytest
import torch
from composing import composed
from omegaconf import open_dict

from ganlab.run import train
from ganlab.runs import provenance
from ganlab.runs.initial import resumed
from ganlab.runs.provenance import Origin
from ganlab.systems.checkpoint import load_checkpoint

SMALL = {"width": 4, "max_width": 8, "latent_dim": 8, "embedding_dim": 8}
WORDS = [
    *("model=semantic_pyramid", "model.conditioner.crop_probability=1"),  # where they differ
    *(f"model.generator.{key}={value}" for key, value in SMALL.items()),
    *("model.discriminator.width=4", "model.discriminator.max_width=8"),
    *("data=synthetic", "data.resolution=32", "data.num=16", "data.batch_size=8"),
    *("callbacks=none", "scores=null", "logger=csv"),
]
KEY = "model.image_penalties.reconstruction.standardize"

pytestmark = pytest.mark.usefixtures("hydra_is_clean")


def trained(folder, *words, silent=False):
    """The checkpoint of a run, of before there was the key where it is silent."""
    config = composed("train", words, folder)
    if silent:
        with open_dict(config):
            del config.model.image_penalties.reconstruction.standardize
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(provenance, "_declared", [Origin([*words], {})])
        assert train(config)["exit_code"] == 0
    return folder / "checkpoints" / "last.ckpt"


def weights(path):
    return load_checkpoint(path)["state_dict"]


def alike(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_pyramid_goes_on_with_the_scale_it_began_with(tmp_path):
    whole = weights(trained(tmp_path / "whole", *WORDS, f"{KEY}=kept", "kimg=0.016"))
    other = weights(trained(tmp_path / "other", *WORDS, "kimg=0.016"))
    assert not alike(whole, other)
    ckpt = trained(tmp_path / "run", *WORDS, "kimg=0.008", silent=True)
    assert "standardize" not in load_checkpoint(ckpt)["recipe"]["model"]["image_penalties"]
    words = resumed([f"ckpt={ckpt}", "kimg=0.016"])
    trained(tmp_path / "run", *words)
    assert alike(weights(ckpt), whole)
    again = resumed([f"ckpt={ckpt}", "kimg=0.032"])  # its own word by now, said once
    assert [word for word in again if KEY in word] == [f"++{KEY}=kept"]


def test_todays_word_wins(tmp_path):
    ckpt = trained(tmp_path / "run", *WORDS, "kimg=0.008", silent=True)
    words = resumed([f"ckpt={ckpt}", "kimg=0.016", f"{KEY}=concatenation"])
    assert [word for word in words if KEY in word] == [f"{KEY}=concatenation"]
    with pytest.raises(ValueError, match=rf"{KEY}: 'kept' -> 'concatenation'"):
        trained(tmp_path / "run", *words)
