"""The work of one of two ranks for every score that keeps features or images."""

import inspect
import warnings
from typing import Any

import torch
from torch import Tensor
from worlds import Projection

import ganlab.metrics
from ganlab.metrics import (
    FrechetInfinity,
    InceptionScore,
    KernelDistance,
    MultiScaleSimilarity,
    ParzenWindow,
    Score,
    SlicedWasserstein,
    Suite,
)

NUM = 41  # odd, so that two ranks get unequal shares
# What a score of few images is told; one that is not here is made as it is by default.
OPTIONS: dict[type[Score], dict[str, Any]] = {
    FrechetInfinity: {"num_points": 3, "smallest": 0.5},
    InceptionScore: {"splits": 3},
    KernelDistance: {"subset_size": 20, "num_subsets": 7},
    MultiScaleSimilarity: {"num_pairs": 15, "num_scales": 1},
    ParzenWindow: {"num_sigmas": 10},
    SlicedWasserstein: {"patches_per_image": 4, "num_projections": 8},
}


class Headed(Projection):
    """Features of thumbnails, and logits."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        small = torch.nn.functional.adaptive_avg_pool2d(images, 2)
        features = super().forward(small)["features"]
        return {"features": features, "logits": features[:, :4]}


def images(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(NUM, 3, 16, 16, generator=generator) * 2 - 1


REAL, FAKE = images(1), images(2) * 0.9


def kinds() -> list[type[Score]]:
    """Every score that the metrics make public."""
    public = [getattr(ganlab.metrics, name) for name in ganlab.metrics.__all__]
    classes = [each for each in public if inspect.isclass(each) and issubclass(each, Score)]
    return [each for each in classes if "compute" in vars(each)]


def suite(**options: int) -> Suite:
    scores = {kind.__name__: kind(**OPTIONS.get(kind, {})) for kind in kinds()}
    scores["parzen_features"] = ParzenWindow(space="features", num_sigmas=10)
    return Suite(Headed("vgg16"), scores, NUM, NUM, **options)


def one_process() -> dict[str, float]:
    scored = suite()
    scored.update(REAL, real=True)
    scored.update(FAKE, real=False)
    return scored.compute()


def rank_work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    scenes = {"strided": strided, "contiguous": contiguous, "lonely": lonely}
    torch.save({name: scene(rank) for name, scene in scenes.items()}, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def strided(rank: int) -> dict[str, float]:
    """Unlike batches, no index; statistics of reals are gathered before any fake is there."""
    scored = suite(batch_size=5 + rank)
    scored.update(REAL[rank::2], real=True)
    scored.real_state()
    scored.update(FAKE[rank::2], real=False)
    return scored.compute()


def contiguous(rank: int) -> dict[str, float]:
    """Blocks instead of strides, fed backwards; the index says which image is which."""
    scored = suite()
    mine = torch.arange(NUM).tensor_split(2)[rank].flip(0)
    scored.update(REAL[mine], real=True, index=mine)
    scored.update(FAKE[mine], real=False, index=mine)
    return scored.compute()


def lonely(rank: int) -> dict[str, float]:
    """Rank 0 has all reals, as from a file, and rank 1 makes all fakes."""
    scored = suite()
    state = None
    if rank == 0:
        scored.update(REAL, real=True, index=torch.arange(NUM))
    state = scored.real_state()
    scored.load_real_state(state if rank == 0 else None)
    if rank == 1:
        scored.update(FAKE, real=False, index=torch.arange(NUM))
    return scored.compute()
