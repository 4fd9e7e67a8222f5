"""Trainings that cannot be are refused before a process is started for them."""

import pytest
from composing import composed

from ganlab.runs.admission import refuse_too_large
from ganlab.runs.recipes import check_config

DCGAN = ("model=dcgan", "data=synthetic", "scores=null")


@pytest.mark.parametrize(
    "words", [["trainer.devices=3"], ["trainer.devices=2", "trainer.num_nodes=3"]]
)
def test_a_batch_that_processes_cannot_share_is_refused(tmp_path, words):
    config = composed("train", [*DCGAN, "data.batch_size=4", *words], tmp_path)
    with pytest.raises(
        ValueError, match=r"data\.batch_size=4 is the global batch: .* processes, [36]"
    ):
        refuse_too_large(check_config(config, "train"))


def test_parts_that_processes_cannot_share_are_refused(tmp_path):
    words = ("data.batch_size=8", "trainer.devices=2", "model.accumulate=8")
    config = composed("train", [*DCGAN, *words], tmp_path)
    with pytest.raises(ValueError, match=r"accumulate=8 does not divide the 4 images that a pro"):
        refuse_too_large(check_config(config, "train"))


def test_a_training_larger_than_the_memory_names_what_to_lower(tmp_path):
    config = composed("train", [*DCGAN, "data.batch_size=1000000"], tmp_path)
    with pytest.raises(ValueError, match=r"at least [\d,]+ GiB .*lower data\.batch_size=1000000"):
        refuse_too_large(check_config(config, "train"))
