"""Two gloo processes against one."""

import pytest
import torch
from processes import two_ranks
from worlds import NUM, one_process, rank_work

EXACT = ["kid61_s20x7_classifier", "kid_std61_s20x7_classifier"]
EXACT += ["precision61_k3_classifier", "recall61_k3_classifier"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return two_ranks(rank_work, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone():
    return one_process()


def agree(scores, alone):
    assert scores.keys() == alone["scores"].keys()
    for name in EXACT:
        assert scores[name] == alone["scores"][name]
    assert scores["fid61_classifier"] == pytest.approx(alone["scores"]["fid61_classifier"], 1e-10)


def test_ranks_agree_to_the_bit(ranks):
    """Each computes the scores itself, and a choice such as the best checkpoint follows them."""
    for scene in ("strided", "contiguous", "ragged", "lonely"):
        assert ranks[0][scene] == ranks[1][scene]


@pytest.mark.parametrize("scene", ["strided", "contiguous", "ragged", "lonely"])
def test_any_split_scores_as_one_process(ranks, alone, scene):
    for rank in ranks:
        agree(rank[scene], alone)


def test_real_statistics_gathered_and_restored_from_rank_zero(ranks, alone):
    for rank in ranks:
        assert not rank["cached"]["missing"]
        assert rank["cached"]["hit"]
        assert rank["cached"]["has"]
        agree(rank["cached"]["scores"], alone)


def test_a_padded_split_is_refused_on_every_rank(ranks):
    for rank in ranks:
        assert "counted twice" in rank["padded"]


def test_activation_counts_are_exact(ranks, alone):
    for rank in ranks:
        counts, num_latents = rank["activation"]["counts"]
        assert num_latents == NUM
        for layer, count in alone["counts"][0].items():
            assert torch.equal(counts[layer], count)
            assert torch.equal(rank["activation"]["rates"][layer], alone["rates"][layer])
