"""What the networks descend: plain functions of logits, torch only.

- `adversarial`: pairs of losses (`Minimax`, `Nonsaturating`, `LeastSquares`, `Hinge`,
  `Wasserstein`, `Relativistic`, `RelativisticPairing`)
- `penalties`: on the discriminator (`r1`, `r2`, `gradient_penalty`, `drift`), on the generator
  (`path_length`)
- `semantic`: on images that were drawn for the adversarial loss (`reconstruction`, `diversity`)
- `cross_scale`: on the same, what ties the scales of one sample together (`cross_scale`)
"""

from ganlab.losses.adversarial import (
    Hinge,
    LeastSquares,
    Minimax,
    Nonsaturating,
    Relativistic,
    RelativisticPairing,
    Wasserstein,
)
from ganlab.losses.cross_scale import cross_scale
from ganlab.losses.penalties import drift, gradient_penalty, path_length, r1, r2
from ganlab.losses.semantic import diversity, reconstruction

__all__ = [
    "Hinge",
    "LeastSquares",
    "Minimax",
    "Nonsaturating",
    "Relativistic",
    "RelativisticPairing",
    "Wasserstein",
    "cross_scale",
    "diversity",
    "drift",
    "gradient_penalty",
    "path_length",
    "r1",
    "r2",
    "reconstruction",
]
