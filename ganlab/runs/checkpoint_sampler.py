"""Any checkpoint as a source of images: what `data=generated` draws its samples from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray

from ganlab.nn.digest import digest
from ganlab.report.images import to_uint8
from ganlab.runs.recipes import open_checkpoint, rebuild_system
from ganlab.sampling import Sampler
from ganlab.systems.system import System


class CheckpointSampler:
    """The averaged generator of a checkpoint, on the accelerator where there is one.

    Raises:
        CheckpointError: no checkpoint, or one of an unknown kind.
        ConfigError: its recipe names what it may not.
    """

    def __init__(
        self,
        ckpt: str,  # a file, faces, or an address of the hub that is kept already
        extra: Sequence[str] = (),  # packages of the user's that its recipe may name
    ) -> None:
        with isolate_rng():  # building draws initial weights
            system: System = rebuild_system(open_checkpoint(ckpt, fetch=False), list(extra))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        generator = system.generator_ema.to(device)
        self.sampler = Sampler.of(system)
        self.digest = digest(generator)
        self.shape = (*generator.image_size, generator.channels)
        self.source: dict[str, str] = system.recipe.get("source", {})

    def paint(self, indices: Sequence[int], seed: int) -> NDArray[np.uint8]:
        """Images of these addresses as a file would store them, (N, H, W, C)."""
        images = replace(self.sampler, seed=seed).batch(indices)
        stored: NDArray[np.uint8] = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
        return stored
