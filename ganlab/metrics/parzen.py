"""Log-likelihood of reals under a Parzen window of generated images.

Goodfellow et al. 2014, arXiv 1406.2661, section 5 (after Breuleux et al. 2011): a Gaussian window
is fitted on the generated images, its width sigma cross-validated to maximize the likelihood of
held-out reals, and the likelihood of the other reals is reported.
"""

import math
import warnings

import torch
from torch import Tensor

from ganlab.metrics.points import StoredPoints
from ganlab.nn.randomness import keyed_generator


class ParzenWindow(StoredPoints):
    """Mean log-likelihood of reals in nats, with its standard error and the chosen sigma.

    A density: it may exceed 0, and values compare only in one space. Pixels run over [0, 1]. Half
    of the reals, keyed by their order, choose sigma; the other half are scored.
    """

    higher_is_better = True
    parts = ("parzen", "parzen_se", "parzen_sigma")
    undirected = ("parzen_se", "parzen_sigma")

    def __init__(
        self,
        space: str = "pixels",  # pixels (as published) or features
        side: int | None = None,  # larger images are shrunk to this, pixels; None = kept whole
        num_sigmas: int = 40,  # widths tried, from 0.01 to 3 times the reals' deviation
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__(space, side)
        if num_sigmas < 2 or memory_mb < 0:
            raise ValueError(
                f"Parzen needs num_sigmas >= 2, memory_mb >= 0, not {num_sigmas}, {memory_mb}"
            )
        self.num_sigmas, self.memory_mb = num_sigmas, memory_mb
        widths = "" if num_sigmas == 40 else f"g{num_sigmas}"
        self.protocol = "_".join(filter(None, ("" if side is None else f"{side}px", widths)))

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where a half of the reals has no standard error."""
        if num_real is not None and num_real < 4:
            raise ValueError(f"a Parzen window needs at least 4 real images, not {num_real}")

    def compute(self) -> dict[str, Tensor]:
        """`parzen`, `parzen_se` and `parzen_sigma`, float64."""
        real, fake = self.points("real"), self.points("fake")
        self.check_sizes(len(real), len(fake))
        validation, test = halves(real)
        sigmas = sigma_grid(validation, self.num_sigmas)
        sigma = best_sigma(validation, fake, sigmas, self.memory_mb)
        found = log_likelihoods(test, fake, sigma[None], self.memory_mb)[:, 0]
        error = found.std() / math.sqrt(len(found))
        return {"parzen": found.mean(), "parzen_se": error, "parzen_sigma": sigma}


def halves(points: Tensor) -> tuple[Tensor, Tensor]:
    """Two random halves of the points, keyed by their number; the first has the odd one."""
    generator = keyed_generator("parzen halves", len(points))
    order = torch.randperm(len(points), generator=generator).to(points.device)
    first, second = points[order].tensor_split(2)
    return first, second


def sigma_grid(points: Tensor, num: int) -> Tensor:
    """Widths in equal ratios from 0.01 to 3 times the points' deviation, (num,) ascending.

    The deviation is that of a coordinate, taken over all coordinates together.

    Raises:
        ValueError: all points are equal.
    """
    deviation = points.var(0, correction=0).mean().sqrt()
    if not deviation > 0:
        raise ValueError("a Parzen window needs reals that differ")
    exponents = torch.linspace(math.log(0.01), math.log(3), num, dtype=torch.float64)
    return deviation * exponents.exp().to(points.device)


def best_sigma(validation: Tensor, samples: Tensor, sigmas: Tensor, memory_mb: int = 64) -> Tensor:
    """The width that makes the validation points most likely; warns at an end of the range."""
    likelihoods = log_likelihoods(validation, samples, sigmas, memory_mb).mean(0)
    best = int(likelihoods.argmax())
    if best in (0, len(sigmas) - 1):
        warnings.warn(
            f"the Parzen window is best at sigma={sigmas[best]:.3g}, an end of the range tried: "
            "generated and real images have hardly anything in common, or reals are copied",
            stacklevel=2,
        )
    return sigmas[best]


def log_likelihoods(
    points: Tensor,  # (M, d) whose density is asked
    samples: Tensor,  # (N, d) the windows stand on
    sigmas: Tensor,  # (S,) widths
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """log p(x) of each point for each width, (M, S) float64, in nats.

    p(x) = 1/N sum_i N(x; g_i, sigma^2 I).
    """
    points, samples, sigmas = points.double(), samples.double(), sigmas.double()
    centre = samples.mean(0)  # distances do not change, their rounding error shrinks
    points, samples = points - centre, samples - centre
    width = points.shape[1]
    constant = math.log(len(samples)) + width / 2 * torch.log(2 * torch.pi * sigmas**2)  # (S,)
    size = max(1, memory_mb * 2**20 // (3 * 8 * len(samples)))  # three blocks live at a time
    found = [
        torch.stack([(squared / (-2 * sigma**2)).logsumexp(1) for sigma in sigmas], 1)
        for block in points.split(size)
        for squared in [_squared_distances(block, samples)]
    ]
    return torch.cat(found) - constant


def _squared_distances(points: Tensor, samples: Tensor) -> Tensor:
    norms = points.square().sum(1, keepdim=True) + samples.square().sum(1)  # (M, N)
    return torch.addmm(norms, points, samples.T, alpha=-2).clamp_(min=0)
