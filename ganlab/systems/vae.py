"""Training of an autoencoder or a variational autoencoder, on the clock of the GANs."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ganlab.data.batch import Batch
from ganlab.losses.variational import kl_divergence, reparameterize, squared_error
from ganlab.networks.base import Generator
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.guard import NonFiniteError, bad_parameter, broken
from ganlab.systems.optimizers import optimizer_of
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.state import restore_counters, restore_random_state, run_state
from ganlab.systems.tally import Tally

PROBE_STEPS = 8  # gradient norms are read off every eighth step: enough for a curve, nearly free


class VAE(LightningModule):
    """Descends squared error + kl_weight * KL, clocked by images seen.

    Kingma and Welling (arXiv:1312.6114), eq. 10, one code a sample. `kl_weight` 1 is the paper's
    bound for a decoder of variance 1; 0 gives the plain autoencoder, whose code is the mean, free
    of noise. The generator is the decoder, averaged as a GAN's, so whatever reads `generator_ema`
    works on it: latents from the prior are the random codes of either model.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        ValueError: a negative weight, or a decoder that does not fit the encoder.
    """

    images_seen: int  # images shown so far, over all ranks: the run's clock
    images_before: int  # the clock at the start of the current batch

    def __init__(
        self,
        encoder: nn.Module,  # images -> mean and log variance of the code
        generator: Generator,  # the decoder
        optimizer: Callable[..., Optimizer],  # parameters of both -> optimizer
        kl_weight: float = 1.0,  # 0.0 = an autoencoder
        ema: ExponentialAverage | None = None,  # None = the defaults of ExponentialAverage
        seed: int = 0,
        kimg: float = 1000.0,  # length of the run in thousands of images
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        check(encoder, generator, kl_weight)
        self.encoder, self.generator = encoder, generator
        self.encoder_ema = deepcopy(encoder).eval().requires_grad_(False)
        self.generator_ema = deepcopy(generator).eval().requires_grad_(False)
        self.optimizer, self.kl_weight = optimizer, kl_weight
        self.ema = ema or ExponentialAverage()
        self.seed, self.kimg = seed, kimg
        self.images_seen = self.images_before = self.steps = self.images_at_ema = 0
        self.tally = Tally()
        self.recipe: dict[str, Any] = {}  # the resolved config, for the checkpoint
        self.mid_step = False  # True while weights are between two consistent states
        self.mid_tick, self.exact_resume = False, True  # as in `GAN`
        self.open_tick: int | None = None
        self.pending_random_state: list[dict[str, Any]] | None = []  # one a rank; [] = a fresh run

    def configure_optimizers(self) -> Optimizer:
        """One for both halves."""
        both = [*self.encoder.parameters(), *self.generator.parameters()]
        return optimizer_of("optimizer", self.optimizer, both)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Move the clock's trailing hand; before the first batch, set the random states."""
        self.take_random_state()
        self.images_before = self.images_seen

    def take_random_state(self) -> None:
        """As in `GAN`."""
        if self.pending_random_state is not None:
            restore_random_state(cast(Any, self), self.pending_random_state)
            self.pending_random_state = None

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of both halves."""
        self.mid_step = True
        n = len(batch) * self.trainer.world_size
        self.descend(self.objective(batch.image), n)
        self.steps += 1
        self.images_seen += n
        self.average()
        self.mid_step, self.mid_tick = False, True
        if self.images_seen >= self.kimg * 1000:
            self.trainer.should_stop = True

    def objective(self, images: Tensor) -> Tensor:
        """What is descended on (N, C, H, W) images; tallies its parts."""
        mean, log_variance = self.encoder(images)
        if not self.kl_weight:
            error = squared_error(self.generator(mean), images)
            self.tally.add("loss/reconstruction", error)
            return error
        code = reparameterize(mean, log_variance, self.noise(len(images)).to(mean))
        error = squared_error(self.generator(code), images)
        divergence = kl_divergence(mean, log_variance)
        self.tally.add("loss/reconstruction", error)
        self.tally.add("loss/kl", divergence)
        return error + self.kl_weight * divergence

    def noise(self, n: int) -> Tensor:
        """(n, Z) standard normal: this rank's rows of what (seed, images_seen) addresses."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        draws = StepRandomness(self.seed, self.images_before, rank, world, self.device)
        return draws.latents(self.generator, "code", n)  # the prior is that of the noise

    def descend(self, loss: Tensor, n: int) -> None:
        """Backward and step on n images over all ranks, unless the loss is not finite.

        Raises:
            NonFiniteError: it is not; no weight was changed by it.
        """
        if broken(loss, self.images_seen, self.images_seen + n):
            bad = bad_parameter(self.networks())
            found = f"first bad tensor: {bad}" if bad else "all weights are finite"
            raise NonFiniteError(
                f"the loss is {float(loss.detach())} at {self.images_seen} images; {found}. "
                "Nothing was written over the last good checkpoint. Try a lower learning rate, "
                "trainer.precision=32-true, or `python -m ganlab data check <path>`."
            )
        optimizer: Any = self.optimizers()
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        if self.steps % PROBE_STEPS == 0:
            for name in ("encoder", "generator"):
                gradients = [p.grad for p in getattr(self, name).parameters() if p.grad is not None]
                self.tally.add(f"grad_norm/{name}", get_total_norm(gradients))
        optimizer.step()

    def average(self) -> None:
        """Let both averages follow."""
        images = self.images_seen - self.images_at_ema
        self.ema.update(self.generator_ema, self.generator, images, self.images_seen)
        self.ema.update(self.encoder_ema, self.encoder, images, self.images_seen)
        self.images_at_ema = self.images_seen

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """Decode the mean code of (N, C, H, W) images, by the averaged halves."""
        mean, _ = self.encoder_ema(images)
        return cast(Tensor, self.generator_ema(mean))

    def train(self, mode: bool = True) -> "VAE":
        """Set the mode of everything but the averages, which always evaluate."""
        super().train(mode)
        self.encoder_ema.eval()
        self.generator_ema.eval()
        return self

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: studies are callbacks, and read `generator_ema`."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe, the clock, the counters and every random state."""
        checkpoint.update(run_state(cast(Any, self)))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the clock and counters; random states wait for the first batch."""
        restore_counters(cast(Any, self), checkpoint)

    def networks(self) -> dict[str, nn.Module]:
        """The four networks by name."""
        names = ("encoder", "generator", "encoder_ema", "generator_ema")
        return {name: getattr(self, name) for name in names}


def check(encoder: Any, generator: Generator, kl_weight: float) -> None:
    """Refuse what cannot train, by the name of its key.

    Raises:
        ValueError: see `VAE`.
    """
    if kl_weight < 0:
        raise ValueError(f"model.kl_weight must not be negative, got {kl_weight}")
    if generator.prior != "normal":
        raise ValueError("model.generator.prior must be normal: the KL term pulls codes to N(0, 1)")
    for name in ("latent_dim", "resolution", "channels"):
        ours, theirs = getattr(encoder, name), getattr(generator, name)
        if ours != theirs:
            raise ValueError(
                f"model.encoder.{name}={ours} and model.generator.{name}={theirs} differ"
            )
