"""The one training step of every GAN here; papers differ in values, not in control flow."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ganlab.data.batch import Batch
from ganlab.networks.base import Condition, Discriminator, Generator, Images
from ganlab.nn.randomness import keyed_generator
from ganlab.systems.clock import crossed
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.guard import ADVICE, NonFiniteError, diagnose
from ganlab.systems.state import restore_counters, restore_random_state, run_state
from ganlab.systems.tally import Tally

Uniform = Callable[[int], Tensor]  # n -> (n,) numbers in [0, 1)
OptimizerFactory = Callable[..., Optimizer]
Conditioner = Callable[[Batch], tuple[Batch, Condition | None]]

PROBE_STEPS = 8  # gradient norms are read off every eighth step: enough for a curve, nearly free
GUARD_IMAGES = 2_000  # how often an accelerator is asked whether all is finite; a CPU always is


class Loss(Protocol):
    """A pair of adversarial losses; both take logits, mean over N and sum over K."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D descends."""
        ...

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """What G descends; `real` is given to relativistic losses only."""
        ...


Penalty = Callable[..., Tensor]


@dataclass(frozen=True)
class Draw:
    """One generator pass: what went in, what stood between, what came out."""

    latents: Tensor  # (N, Z)
    images: Images
    styles: Tensor | None = None  # (N, L, W) in style generators


def unconditional(batch: Batch) -> tuple[Batch, Condition | None]:
    """The conditioner of a network that is told nothing."""
    return batch, None


def detached(images: Images) -> Images:
    """The same images without their graph."""
    return [image.detach() for image in images] if isinstance(images, list) else images.detach()


class GAN(LightningModule):
    """Adversarial training of one generator and one discriminator, clocked by images seen.

    Everything random in a step is drawn for the global batch from (seed, images_seen) and sliced
    by rank, so that a run depends neither on the number of processes nor on where it was resumed.

    Raises:
        NonFiniteError: a loss became NaN or infinite; the message names the first bad module.
    """

    images_seen: int  # real images shown to D so far, over all ranks: the run's clock
    images_before: int  # the clock at the start of the current batch

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: Loss,
        generator_optimizer: OptimizerFactory,  # parameters -> optimizer
        discriminator_optimizer: OptimizerFactory,
        penalties: Mapping[str, Penalty]
        | None = None,  # name -> (D, real, fake, condition, uniform) -> scalar
        intervals: Mapping[str, int]
        | None = None,  # name -> apply every k-th step, k times as strong
        ema: ExponentialAverage | None = None,  # None = the defaults of ExponentialAverage
        conditioner: Conditioner = unconditional,  # batch -> batch and what the networks are told
        critic_steps: int = 1,  # discriminator steps per generator step
        seed: int = 0,
        kimg: float = 1000.0,  # length of the run in thousands of images
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if critic_steps < 1:
            raise ValueError(f"model.critic_steps must be at least 1, got {critic_steps}")
        unknown = set(intervals or {}) - set(penalties or {})
        if unknown:
            raise ValueError(
                f"model.intervals names no penalty of model.penalties: {sorted(unknown)}"
            )
        self.generator, self.discriminator = generator, discriminator
        self.generator_ema = deepcopy(generator).eval().requires_grad_(False)
        self.loss, self.penalties, self.intervals = (
            loss,
            dict(penalties or {}),
            dict(intervals or {}),
        )
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.ema = ema or ExponentialAverage()
        self.conditioner, self.critic_steps, self.seed, self.kimg = (
            conditioner,
            critic_steps,
            seed,
            kimg,
        )
        self.images_seen = self.images_before = self.steps = self.images_at_ema = 0
        self.global_batch_size = 0  # images in the current step, over all ranks
        self.tally = Tally()
        self.recipe: dict[str, Any] = {}  # the resolved config, for the checkpoint
        self.mid_step = False  # True while weights are between two consistent states
        self.mid_tick = False  # True from a step's end until every callback has answered it
        self.open_tick: int | None = None  # of a resumed run: the clock before an unanswered step
        self.exact_resume = True  # refuse to continue on other data or another number of processes
        self.pending_random_state: list[dict[str, Any]] | None = []  # one a rank; [] = a fresh run

    def configure_optimizers(self) -> list[Optimizer]:
        """Generator first, discriminator second."""
        return [
            self.generator_optimizer(self.generator.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    def on_fit_start(self) -> None:
        """Refuse half precision where a penalty needs a second derivative."""
        if self.penalties and str(self.trainer.precision).startswith("16"):
            raise ValueError(
                f"trainer.precision={self.trainer.precision} overflows in the penalties "
                f"{', '.join(self.penalties)}; use bf16-mixed or 32-true"
            )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Move the clock's trailing hand; before the first batch, set the random states."""
        if self.pending_random_state is not None:
            restore_random_state(self, self.pending_random_state)
            self.pending_random_state = None
        self.images_before = self.images_seen

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One discriminator step and, every `critic_steps`, one generator step."""
        optimizers: Any = self.optimizers()
        generator_optimizer, discriminator_optimizer = optimizers
        self.global_batch_size = len(batch) * self.trainer.world_size
        batch, condition = self.conditioner(batch)
        real = self.discriminator.views(batch.image)
        self.mid_step = True
        with self.toggled_optimizer(discriminator_optimizer):
            self.train_discriminator(discriminator_optimizer, real, len(batch), condition)
        self.steps += 1
        self.images_seen += self.global_batch_size
        if self.steps % self.critic_steps == 0:
            with self.toggled_optimizer(generator_optimizer):
                self.train_generator(generator_optimizer, real, len(batch), condition)
            self.average()
        self.mid_step, self.mid_tick = False, True
        if self.images_seen >= self.kimg * 1000:
            self.trainer.should_stop = True

    def train_discriminator(
        self, optimizer: Any, real: Images, n: int, condition: Condition | None
    ) -> None:
        """Descend D's loss with the penalties due every step, then each lazy penalty by itself."""
        with torch.no_grad():
            fake = detached(self.draw("discriminator", n, condition).images)
        real_logits = self.discriminator(real, condition)
        fake_logits = self.discriminator(fake, condition)
        loss = self.loss.discriminator(real_logits, fake_logits)
        self.tally.add("loss/discriminator", loss)
        self.tally.add("sign/real", (real_logits.detach() > 0).float().mean())
        self.tally.add("sign/fake", (fake_logits.detach() > 0).float().mean())
        for name in self.penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + self.penalty(name, real, fake, condition)
        self.descend(optimizer, loss, "discriminator", real)
        for name, interval in self.intervals.items():
            if interval > 1 and self.steps % interval == 0:
                penalty = interval * self.penalty(name, real, fake, condition)
                self.descend(optimizer, penalty, "discriminator", real)

    def train_generator(
        self, optimizer: Any, real: Images, n: int, condition: Condition | None
    ) -> None:
        """Descend G's loss on fresh latents."""
        fake_logits = self.discriminator(self.draw("generator", n, condition).images, condition)
        relative = getattr(self.loss, "relativistic", False)
        real_logits = self.discriminator(real, condition) if relative else None
        loss = self.loss.generator(fake_logits, real_logits)
        self.tally.add("loss/generator", loss)
        self.descend(optimizer, loss, "generator", real)
        for module in self.generator.modules():
            project: Any = getattr(module, "project_", None)
            if project is not None:
                project()

    def draw(self, purpose: str, n: int, condition: Condition | None) -> Draw:
        """Generate n images from this rank's share of the global batch's latents."""
        latents = self.draw_latents(purpose, n)
        return Draw(latents, self.generator(latents, condition))

    def draw_latents(self, purpose: str, n: int) -> Tensor:
        """(n, Z): this rank's rows of the latents that (seed, images_seen, purpose) address."""
        rng = keyed_generator(purpose, self.seed, self.images_before)
        latents = self.generator.sample_latents(n * self.trainer.world_size, rng)
        return self.share(latents).to(self.device)

    def share(self, rows: Tensor) -> Tensor:
        """This rank's rows of a tensor drawn for the global batch: i mod world."""
        return rows[self.trainer.global_rank :: self.trainer.world_size]

    def penalty(self, name: str, real: Images, fake: Images, condition: Condition | None) -> Tensor:
        """One named penalty in full precision: second derivatives do not survive autocast."""
        rng = keyed_generator("penalty", name, self.seed, self.images_before)

        def uniform(n: int) -> Tensor:
            return self.share(torch.rand(n * self.trainer.world_size, generator=rng)).to(
                self.device
            )

        with torch.autocast(self.device.type, enabled=False):
            value = self.penalties[name](self.discriminator, real, fake, condition, uniform)
        self.tally.add(f"penalty/{name}", value)
        return value

    def descend(self, optimizer: Any, loss: Tensor, network: str, real: Images) -> None:
        """Backward and step, unless the loss is not finite."""
        self.guard(loss, network, real)
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        if self.steps % PROBE_STEPS == 0:
            parameters = getattr(self, network).parameters()
            gradients = [p.grad for p in parameters if p.grad is not None]
            self.tally.add(f"grad_norm/{network}", get_total_norm(gradients))
        optimizer.step()

    def guard(self, loss: Tensor, network: str, real: Images) -> None:
        """Stop before a bad loss reaches the weights; on an accelerator look only now and then."""
        after = self.images_before + self.global_batch_size
        due = loss.device.type == "cpu" or crossed(self.images_before, after, GUARD_IMAGES)
        if not due or bool(torch.isfinite(loss)):
            return
        found = diagnose(
            self.generator, self.discriminator, self.draw_latents("generator", 4), real
        )
        raise NonFiniteError(
            f"the {network}'s loss is {float(loss)} at {self.images_seen} images; {found}. {ADVICE}"
        )

    def average(self) -> None:
        """Let the EMA generator follow; counts the images of all ranks and critic steps."""
        images = self.images_seen - self.images_at_ema
        self.ema.update(self.generator_ema, self.generator, images, self.images_seen)
        self.images_at_ema = self.images_seen

    def train(self, mode: bool = True) -> "GAN":
        """Set the mode of everything but the averaged generator, which always evaluates."""
        super().train(mode)
        self.generator_ema.eval()
        return self

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: studies are callbacks, and read `generator_ema`."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe, the clock, the counters and every random state."""
        checkpoint.update(run_state(self))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the clock and counters; random states wait for the first batch."""
        restore_counters(self, checkpoint)

    def networks(self) -> dict[str, nn.Module]:
        """The three networks by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.generator_ema,
        }
