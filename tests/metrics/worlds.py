"""What the metric tests share: a tiny extractor, images, and the work of one of two ranks."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlab.metrics import (
    ActivationRate,
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    RealCache,
    Suite,
    real_key,
)

NUM, WIDTH = 61, 5  # odd, so that two ranks get unequal shares


class Projection(nn.Module):
    """Random projections of 2x2 images; row by row, so that batches cannot change a bit."""

    resize = "none"

    def __init__(self, name: str = "classifier", feature_dim: int = WIDTH, sha256: str = "ab" * 32):
        super().__init__()
        self.name, self.feature_dim, self.sha256 = name, feature_dim, sha256
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("weight", torch.randn(feature_dim, 12, generator=generator))
        self.calls = 0

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        self.calls += len(images)
        return {"features": (images.flatten(1)[:, None] * self.weight).sum(-1)}


def images(num: int, seed: int) -> Tensor:
    return torch.rand(num, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


REAL, FAKE = images(NUM, 1), images(NUM, 2) * 0.8


def suite(extractor: nn.Module | None = None, num: int = NUM, **options: int) -> Suite:
    scores = {
        "fid": FrechetDistance(),
        "kid": KernelDistance(subset_size=20, num_subsets=7),
        "precision_recall": PrecisionRecall(k=3),
    }
    return Suite(extractor or Projection(), scores, num, num, **options)


def outputs(rows: slice | list[int]) -> dict[str, Tensor]:
    """Activations of two layers, some of them exactly 0."""
    maps = FAKE[rows].relu()
    return {"2x2/0": maps, "1x1/0": maps.flatten(1)[:, :4]}


def one_process() -> dict[str, object]:
    scored = suite()
    scored.update(REAL, real=True)
    scored.update(FAKE, real=False)
    rate = ActivationRate()
    rate.update(outputs(slice(None)))
    return {"scores": scored.compute(), "counts": rate.counts(), "rates": rate.compute()}


def rank_work(rank: int, world: int, folder: str) -> None:
    """Run every scene on this rank and save what came out."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    share = list(range(rank, NUM, world))
    found = {
        "strided": strided(share, rank),
        "contiguous": contiguous(rank),
        "ragged": ragged(rank),
        "lonely": lonely(rank),
        "cached": cached(share, rank, Path(folder)),
        "padded": padded(rank),
        "activation": activation(share),
    }
    torch.save(found, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def strided(share: list[int], rank: int) -> dict[str, float]:
    scored = suite(batch_size=7 + rank)
    scored.update(REAL[share], real=True)
    scored.update(FAKE[share], real=False)
    return scored.compute()


def contiguous(rank: int) -> dict[str, float]:
    """Blocks instead of strides, fed backwards; the index says which image is which."""
    scored = suite()
    mine = torch.arange(NUM).tensor_split(2)[rank].flip(0)
    scored.update(REAL[mine], real=True, index=mine)
    scored.update(FAKE[mine], real=False, index=mine)
    return scored.compute()


def ragged(rank: int) -> dict[str, float]:
    """Unequal shares in any order, other ones for each side, in batches of 1 to 9 images."""
    scored = suite(batch_size=1 + 4 * rank)
    generator = torch.Generator().manual_seed(3)  # the same on both ranks, so that shares are whole
    for data, side, cut in ((FAKE, False, 11), (REAL, True, 50)):
        order = torch.randperm(NUM, generator=generator)
        for chunk in (order[:cut], order[cut:])[rank].split(9 - rank):
            scored.update(data[chunk], real=side, index=chunk)
    return scored.compute()


def lonely(rank: int) -> dict[str, float]:
    """Rank 0 sees everything, the other nothing."""
    scored = suite()
    if rank == 0:
        everything = torch.arange(NUM)
        scored.update(REAL, real=True, index=everything)
        scored.update(FAKE, real=False, index=everything)
    return scored.compute()


def cached(share: list[int], rank: int, folder: Path) -> dict[str, object]:
    first, second, cache = suite(), suite(), RealCache(folder / f"seen-by-{rank}")
    key = real_key(first, "data", 2, NUM)
    missing = cache.restore(first, key)
    first.update(REAL[share], real=True)
    cache.store(first, key)
    hit = cache.restore(second, key)  # only rank 0 has a file
    second.update(FAKE[share], real=False)
    return {"missing": missing, "hit": hit, "has": second.has_real, "scores": second.compute()}


def padded(rank: int) -> str:
    """What a sampler does that repeats an image to make the shares equal."""
    scored = suite(num=NUM + 1)
    share = [index % NUM for index in range(rank, NUM + 1, 2)]
    scored.update(REAL[share], real=True, index=torch.tensor(share))
    scored.update(FAKE[share], real=False, index=torch.tensor(share))
    try:
        scored.compute()
    except ValueError as error:
        return str(error)
    return "no error"


def activation(share: list[int]) -> dict[str, object]:
    rate = ActivationRate({"2x2/0": (3, 2, 2), "1x1/0": (4,)})
    for start in range(0, len(share), 4):
        rate.update(outputs(share[start : start + 4]))
    return {"counts": rate.counts(), "rates": rate.compute()}
