"""Training of an autoencoder or a variational autoencoder, on the clock of the GANs."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganlab.data.batch import Batch
from ganlab.losses.variational import kl_divergence, reparameterize, squared_error
from ganlab.networks.base import Encoder, Generator
from ganlab.systems.checks import check_network
from ganlab.systems.ema import AVERAGE, ExponentialAverage
from ganlab.systems.nonfinite import NonFiniteError, bad_parameter, is_broken
from ganlab.systems.optimizers import optimizer_of
from ganlab.systems.schedules import Schedule
from ganlab.systems.training import Training


class VAE(Training):
    """Descends squared error + kl_weight * KL, clocked by images seen.

    Kingma and Welling (arXiv:1312.6114), eq. 10, one code a sample. `kl_weight` 1 is the paper's
    bound for a decoder of variance 1; 0 gives the plain autoencoder, whose code is the mean, free
    of noise. The generator is the decoder, averaged as a GAN's, so whatever reads `generator_ema`
    works on it: latents from the prior are the random codes of either model.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        ValueError: a negative weight, or a decoder that does not fit the encoder.
    """

    reconstructs = True

    def __init__(
        self,
        encoder: Encoder,  # images -> mean and log variance of the code
        generator: Generator,  # the decoder
        optimizer: Callable[..., Optimizer],  # parameters of both -> optimizer
        kl_weight: float = 1.0,  # 0.0 = an autoencoder
        ema: ExponentialAverage | None = AVERAGE,  # None = none: the weights as they stand
        seed: int = 0,
        kimg: float = 1000.0,  # length of the run in thousands of images
        schedule: Schedule | None = None,  # images seen -> share of the learning rate; None = all
    ) -> None:
        super().__init__()
        self.schedule = schedule
        check(encoder, generator, kl_weight)
        self.encoder, self.generator = encoder, generator
        self.encoder_ema = deepcopy(encoder).eval().requires_grad_(False)
        self.generator_ema = deepcopy(generator).eval().requires_grad_(False)
        self.discriminator, self.optimizer, self.kl_weight = None, optimizer, kl_weight
        self.begin(ema, seed, kimg)

    @property
    def averages(self) -> list[tuple[nn.Module, nn.Module]]:
        """Of both halves."""
        return [(self.encoder_ema, self.encoder), (self.generator_ema, self.generator)]

    def configure_optimizers(self) -> list[Optimizer]:
        """One for both halves."""
        both = [*self.encoder.parameters(), *self.generator.parameters()]
        return [optimizer_of("optimizer", self.optimizer, both, self.fused)]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of both halves."""
        self.mid_step = True
        n = len(batch) * self.trainer.world_size
        self.descend(self.objective(batch.image), n)
        self.steps += 1
        self.images_seen += n
        self.average()
        self.end_step()

    def objective(self, images: Tensor) -> Tensor:
        """What is descended on (N, C, H, W) images; tallies its parts."""
        mean, log_variance = self.encoder(images)
        if not self.kl_weight:
            error = squared_error(self.generator(mean), images)
            self.running_means.add("loss/reconstruction", error)
            return error
        code = reparameterize(mean, log_variance, self.noise(len(images)).to(mean))
        error = squared_error(self.generator(code), images)
        divergence = kl_divergence(mean, log_variance)
        self.running_means.add("loss/reconstruction", error)
        self.running_means.add("loss/kl", divergence)
        return error + self.kl_weight * divergence

    def noise(self, n: int) -> Tensor:
        """(n, Z) standard normal: this rank's rows of what (seed, images_seen) addresses."""
        return self.randomness.latents(self.generator, "code", n)  # the prior is that of the noise

    def descend(self, loss: Tensor, n: int) -> None:
        """Backward and step on n images over all ranks, unless the loss is not finite.

        Raises:
            NonFiniteError: it is not; no weight was changed by it.
        """
        if is_broken(loss, self.images_seen, self.images_seen + n):
            bad = bad_parameter(self.networks())
            found = f"first bad tensor: {bad}" if bad else "all weights are finite"
            raise NonFiniteError(
                f"the loss is {float(loss.detach())} at {self.images_seen} images; {found}. "
                "Nothing was written over the last good checkpoint. Try a lower learning rate, "
                "trainer.precision=32-true, or `python -m ganlab data check <path>`."
            )
        halves = {"encoder": self.encoder, "generator": self.generator}
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)  # `configure_optimizers` made one
        self.take_step(optimizer, [lambda: loss], halves)

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """Decode the mean code of (N, C, H, W) images, by the averaged halves."""
        mean, _ = self.encoder_ema(images)
        decoded: Tensor = self.generator_ema(mean)
        return decoded

    def networks(self) -> dict[str, nn.Module]:
        """The four networks by name."""
        halves = {"encoder": self.encoder, "generator": self.generator}
        return halves | {"encoder_ema": self.encoder_ema, "generator_ema": self.generator_ema}


def check(encoder: Encoder, generator: Generator, kl_weight: float) -> None:
    """Refuse what cannot train, by the name of its key.

    Raises:
        ValueError: see `VAE`.
    """
    check_network("encoder", encoder, Encoder)
    check_network("generator", generator, Generator)
    if kl_weight < 0:
        raise ValueError(f"model.kl_weight must not be negative, got {kl_weight}")
    if generator.prior != "normal":
        raise ValueError("model.generator.prior must be normal: the KL term pulls codes to N(0, 1)")
    for name, ours, theirs in (
        ("latent_dim", encoder.latent_dim, generator.latent_dim),
        ("resolution", encoder.resolution, generator.resolution),
        ("channels", encoder.channels, generator.channels),
    ):
        if ours != theirs:
            raise ValueError(
                f"model.encoder.{name}={ours} and model.generator.{name}={theirs} differ"
            )
