"""Two gloo processes against one, for every score that keeps features or images."""

import pytest
import torch
from rank_scores import one_process, rank_work


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.multiprocessing.spawn(rank_work, args=(2, str(folder)), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def alone():
    return one_process()


@pytest.mark.parametrize("scene", ["strided", "contiguous", "lonely"])
def test_any_split_scores_as_one_process(ranks, alone, scene):
    assert len(alone) == 19
    for rank in ranks:
        assert rank[scene] == pytest.approx(alone, rel=1e-10)


@pytest.mark.parametrize("scene", ["strided", "contiguous", "lonely"])
def test_counts_are_exact(ranks, alone, scene):
    counts = [name for name in alone if name.startswith(("density", "coverage", "nearest_copies"))]
    assert len(counts) == 3
    for rank in ranks:
        assert {name: rank[scene][name] for name in counts} == {n: alone[n] for n in counts}
