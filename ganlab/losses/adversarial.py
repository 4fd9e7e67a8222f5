"""Adversarial losses: what the two networks descend, as functions of logits.

Each class is a namespace for a pair: `discriminator(real, fake)` and `generator(fake, real)`, whose
second argument only a `relativistic` one looks at. `boundary` is the logit above which D says
real, None where only differences of logits count. Logits are (N,) or (N, K), positive for real; a
loss is a scalar, the mean over the batch of the sum over a sample's K logits. The factor 1/2 that
some papers put before both terms is dropped.
"""

from typing import ClassVar, Protocol

from torch import Tensor
from torch.nn import functional as F


def reduce_logits(terms: Tensor) -> Tensor:
    """Mean over the batch, sum over the logits of a sample: (N,) or (N, K) -> scalar."""
    return terms.mean(dim=0).sum()


class Loss(Protocol):
    """A pair of adversarial losses; both take logits, mean over N and sum over K."""

    relativistic: bool  # whether G's loss needs the logits of reals, and is given them
    boundary: float | None  # logit between fake and real; None = a single logit says neither

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D descends."""
        ...

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """What G descends."""
        ...


class Minimax:
    """Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1: G descends the value that D ascends."""

    relativistic: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.0

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), where D = sigmoid(logit)."""
        # -log sigmoid(t) = softplus(-t) and -log(1 - sigmoid(t)) = softplus(t), finite for any t.
        return reduce_logits(F.softplus(-real)) + reduce_logits(F.softplus(fake))

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """E log(1 - D(G(z))): bounded above by 0, flat where D is sure of a fake."""
        return -reduce_logits(F.softplus(fake))


class Nonsaturating:
    """Goodfellow et al. 2014, section 3: G ascends log D(G(z)), so D's certainty teaches it."""

    relativistic: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.0

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), as in `Minimax`."""
        return Minimax.discriminator(real, fake)

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E log D(G(z))."""
        return reduce_logits(F.softplus(-fake))


class LeastSquares:
    """Mao et al. 2017 (arXiv:1611.04076), eq. 9: targets 1 for real and 0 for fake."""

    relativistic: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.5  # between its targets

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """E (D(x) - 1)^2 + E D(G(z))^2, where D is the logit itself."""
        return reduce_logits((real - 1).square()) + reduce_logits(fake.square())

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """E (D(G(z)) - 1)^2."""
        return reduce_logits((fake - 1).square())


class Hinge:
    """Lim and Ye 2017 (arXiv:1705.02894): D stops pushing logits that are beyond the margin 1."""

    relativistic: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.0

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return reduce_logits(F.relu(1 - real)) + reduce_logits(F.relu(1 + fake))

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E D(G(z))."""
        return -reduce_logits(fake)


class Wasserstein:
    """Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2: needs a penalty that bounds D's slope."""

    relativistic: ClassVar[bool] = False
    boundary: ClassVar[float | None] = None

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """E D(G(z)) - E D(x), the negative of the estimated distance."""
        return reduce_logits(fake) - reduce_logits(real)

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E D(G(z))."""
        return -reduce_logits(fake)


class Relativistic:
    """Jolicoeur-Martineau 2018 (arXiv:1807.00734), the average form with hinge (RaHingeGAN).

    A logit counts by how far it stands above the mean logit of the other kind in the batch.
    """

    relativistic: ClassVar[bool] = True  # the generator's loss needs the logits of reals
    boundary: ClassVar[float | None] = None

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """E max(0, 1 - (D(x) - E D(G(z)))) + E max(0, 1 + (D(G(z)) - E D(x)))."""
        return Hinge.discriminator(real - fake.mean(dim=0), fake - real.mean(dim=0))

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The discriminator's loss with real and fake exchanged.

        Raises:
            ValueError: no logits of reals.
        """
        if real is None:
            raise ValueError("model.loss=relativistic: the generator's loss needs logits of reals")
        return Relativistic.discriminator(fake, real)


class RelativisticPairing:
    """Jolicoeur-Martineau 2018 (arXiv:1807.00734), paired: RpGAN of Huang et al. 2024.

    A fake's logit counts by how far it stands above that of the real in its place of the batch:
    arXiv:2501.05441, eq. 2 with f(t) = -log(1 + exp(-t)).
    """

    relativistic: ClassVar[bool] = True
    boundary: ClassVar[float | None] = None

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """E log(1 + exp(D(G(z)) - D(x))) over pairs; as many reals as fakes."""
        return reduce_logits(F.softplus(fake - real))

    @staticmethod
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The discriminator's loss with real and fake exchanged.

        Raises:
            ValueError: no logits of reals.
        """
        if real is None:
            raise ValueError(
                "model.loss=relativistic_pairing: the generator's loss needs logits of reals"
            )
        return RelativisticPairing.discriminator(fake, real)
