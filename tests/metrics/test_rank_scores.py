"""Two gloo processes against one, for every score that there is."""

import pytest
from processes import two_ranks
from rank_scores import one_process, rank_work, suite


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return two_ranks(rank_work, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone():
    return one_process()


@pytest.mark.parametrize("scene", ["strided", "contiguous", "lonely"])
def test_any_split_scores_as_one_process(ranks, alone, scene):
    assert len(alone) >= len(suite().metrics) > 10
    for rank in ranks:
        assert rank[scene] == pytest.approx(alone, rel=1e-10)


@pytest.mark.parametrize("scene", ["strided", "contiguous", "lonely"])
def test_counts_are_exact(ranks, alone, scene):
    counts = [name for name in alone if name.startswith(("density", "coverage", "nearest_copies"))]
    assert len(counts) == 3
    for rank in ranks:
        assert {name: rank[scene][name] for name in counts} == {n: alone[n] for n in counts}
