"""The work of one of two ranks for every score that keeps features or images."""

import warnings

import torch
from torch import Tensor
from worlds import Projection

from ganlab.metrics import (
    DensityCoverage,
    FrechetInfinity,
    InceptionScore,
    MultiScaleSimilarity,
    NearestReals,
    ParzenWindow,
    Realism,
    SlicedWasserstein,
    Suite,
)

NUM = 41  # odd, so that two ranks get unequal shares


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


def suite(**options: int) -> Suite:
    scores = {
        "realism": Realism(),
        "density_coverage": DensityCoverage(),
        "is": InceptionScore(splits=3),
        "fid_inf": FrechetInfinity(num_points=3, smallest=0.5),
        "swd": SlicedWasserstein(patches_per_image=4, num_projections=8),
        "ms_ssim": MultiScaleSimilarity(num_pairs=15, num_scales=1),
        "parzen": ParzenWindow(num_sigmas=10),
        "parzen_features": ParzenWindow(space="features", num_sigmas=10),
        "nearest": NearestReals(),
    }
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
