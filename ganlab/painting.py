"""Any checkpoint as a source of images: what `data=generated` draws its samples from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray

from ganlab.recipes import open_checkpoint, rebuilt
from ganlab.report.images import to_uint8
from ganlab.sampling import conditions_of
from ganlab.studies.neurons.rates import digest
from ganlab.studies.sampling import images_at


class CheckpointPainter:
    """The averaged generator of a checkpoint, on the accelerator where there is one.

    Raises:
        CheckpointError: no checkpoint, or one of an unknown kind.
        ConfigError: its recipe names what it may not.
    """

    def __init__(
        self,
        ckpt: str,  # a file, or faces
        extra: Sequence[str] = (),  # packages of the user's that its recipe may name
    ) -> None:
        with isolate_rng():  # building draws initial weights
            system: Any = rebuilt(open_checkpoint(ckpt), list(extra))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.generator = system.generator_ema.to(self.device)
        self.condition_at = conditions_of(system)
        self.digest = digest(self.generator)
        side = self.generator.resolution
        self.shape = (side, side, self.generator.channels)
        self.source: dict[str, str] = system.recipe.get("source", {})

    def paint(self, indices: Sequence[int], seed: int) -> NDArray[np.uint8]:
        """Images of these addresses as a file would store them, (N, H, W, C)."""
        images = images_at(self.generator, indices, seed, condition_at=self.condition_at)
        stored: NDArray[np.uint8] = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
        return stored
