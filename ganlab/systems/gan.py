"""The one training step of every GAN here; papers differ in values, not in control flow."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Protocol

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ganlab.data.batch import Batch
from ganlab.networks.base import Condition, Discriminator, Generator, Images
from ganlab.systems.checks import check_precision, check_settings
from ganlab.systems.drawing import Draw, draw
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.growth import (
    Growth,
    grow,
    say_where_it_ends,
    share_schedule,
    take_first_stage,
    take_full_size,
)
from ganlab.systems.guard import ADVICE, NonFiniteError, broken, diagnose
from ganlab.systems.optimizers import optimizers_of
from ganlab.systems.penalties import printed
from ganlab.systems.randomness import StepRandomness, fresh_dropout
from ganlab.systems.state import restore_counters, restore_random_state, run_state
from ganlab.systems.tally import Tally
from ganlab.systems.terms import discriminator_penalty, generator_penalty, image_penalty

OptimizerFactory = Callable[..., Optimizer]
Conditioner = Callable[[Batch], tuple[Batch, Condition | None]]

PROBE_STEPS = 8  # gradient norms are read off every eighth step: enough for a curve, nearly free


class Loss(Protocol):
    """A pair of adversarial losses; both take logits, mean over N and sum over K."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D descends."""
        ...

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """What G descends; `real` is given to relativistic losses only."""
        ...


Penalty = Callable[..., Tensor]


def unconditional(batch: Batch) -> tuple[Batch, Condition | None]:
    """The conditioner of a network that is told nothing."""
    return batch, None


class GAN(LightningModule):
    """Adversarial training of one generator and one discriminator, clocked by images seen.

    Everything random in a step is drawn for the global batch from (seed, images_seen) and sliced
    by rank, so that no draw depends on the number of processes or on where a run was resumed. What
    looks at a whole batch (batch norm, relativistic losses, minibatch groups) sees its rank's.

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
        generator_penalties: Mapping[str, Penalty]
        | None = None,  # name -> (G, styles, condition, normal) -> scalar
        image_penalties: Mapping[str, Penalty]
        | None = None,  # name -> (images, latents, condition, stages) -> scalar, on G's own draw
        intervals: Mapping[str, int]
        | None = None,  # name -> apply every k-th step, k times as strong
        ema: ExponentialAverage | None = None,  # None = the defaults of ExponentialAverage
        conditioner: Conditioner | None = None,  # batch -> batch and what the networks are told
        growth: Growth | None = None,  # images seen -> stage; None = networks stay as they are
        mixing_probability: float = 0.0,  # share of samples made from the styles of two latents
        critic_steps: int = 1,  # discriminator steps per generator step
        seed: int = 0,
        kimg: float = 1000.0,  # length of the run in thousands of images
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.generator_ema = deepcopy(generator).eval().requires_grad_(False)
        self.loss = loss
        self.penalties = dict(penalties or {})
        self.generator_penalties = dict(generator_penalties or {})
        self.image_penalties = dict(image_penalties or {})
        self.intervals = dict(intervals or {})
        self.growth, self.mixing_probability = growth, mixing_probability
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.ema, self.conditioner = ema or ExponentialAverage(), conditioner or unconditional
        self.critic_steps, self.seed, self.kimg = critic_steps, seed, kimg
        check_settings(self)
        self._start_counting()

    def _start_counting(self) -> None:
        """The state of a run that has seen no image."""
        self.images_seen = self.images_before = self.steps = self.images_at_ema = 0
        self.global_batch_size = 0  # images in the current step, over all ranks
        self.tally = Tally()
        self.recipe: dict[str, Any] = {}  # the resolved config, for the checkpoint
        self.mid_step = False  # True while weights are between two consistent states
        self.mid_tick = False  # True from a step's end until every callback has answered it
        self.open_tick: int | None = None  # of a resumed run: the clock before an unanswered step
        self.exact_resume = True  # refuse to continue on other data or another number of processes
        self.pending_random_state: list[dict[str, Any]] | None = []  # one a rank; [] = a fresh run
        self.shown: tuple[Images, Condition | None] | None = None  # to D in the current step

    def configure_optimizers(self) -> list[Optimizer]:
        """Generator first, discriminator second."""
        factories = (self.generator_optimizer, self.discriminator_optimizer)
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return optimizers_of(networks, factories)

    def setup(self, stage: str) -> None:
        """Let a conditioner that needs more than the batch see this system."""
        if hasattr(self.conditioner, "attach"):
            self.conditioner.attach(self)

    def on_fit_start(self) -> None:
        """Refuse half precision where a penalty needs a second derivative; share the schedule."""
        penalties = {**self.penalties, **self.generator_penalties}
        check_precision(str(self.trainer.precision), list(penalties))
        if self.growth is None:
            take_full_size(self)
        else:
            share_schedule(self, self.growth)
            take_first_stage(self, self.growth)
        if self.trainer.is_global_zero:
            printed(penalties)
            if self.growth is not None:
                say_where_it_ends(self.kimg, self.growth)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Move the clock's trailing hand and grow; before the first batch, set random states."""
        self.take_random_state()
        self.images_before = self.images_seen
        if self.growth is not None:
            grow(self, self.growth)

    def take_random_state(self) -> None:
        """Continue the checkpoint's random streams, or begin this rank's, once."""
        if self.pending_random_state is not None:
            restore_random_state(self, self.pending_random_state)
            self.pending_random_state = None

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One discriminator step and, every `critic_steps`, one generator step."""
        optimizers: Any = self.optimizers()
        generator_optimizer, discriminator_optimizer = optimizers
        self.global_batch_size = len(batch) * self.trainer.world_size
        batch, condition = self.conditioner(batch)
        real = self.discriminator.views(batch.image)
        self.mid_step, self.shown = True, (real, condition)
        with fresh_dropout(self.discriminator, self.randomness):
            with self.toggled_optimizer(discriminator_optimizer):
                self.train_discriminator(discriminator_optimizer, real, len(batch), condition)
            self.steps += 1
            self.images_seen += self.global_batch_size
            if self.steps % self.critic_steps == 0:
                with self.toggled_optimizer(generator_optimizer):
                    self.train_generator(generator_optimizer, real, len(batch), condition)
                self.average()
        self.mid_step, self.mid_tick, self.shown = False, True, None
        if self.images_seen >= self.kimg * 1000:
            self.trainer.should_stop = True

    def train_discriminator(
        self, optimizer: Any, real: Images, n: int, condition: Condition | None
    ) -> None:
        """Descend D's loss with the penalties due every step, then each lazy penalty by itself."""
        with torch.no_grad():
            fake = self.draw("discriminator", n, condition).images
        real_logits = self.discriminator(real, condition)
        fake_logits = self.discriminator(fake, condition)
        loss = self.loss.discriminator(real_logits, fake_logits)
        self.tally.add("loss/discriminator", loss)
        self.tally.add("sign/real", (real_logits.detach() > 0).float().mean())
        self.tally.add("sign/fake", (fake_logits.detach() > 0).float().mean())
        for name in self.penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + discriminator_penalty(self, name, real, fake, condition)
        self.descend(optimizer, loss, "discriminator")
        for name in self.lazy(self.penalties, self.steps):
            penalty = discriminator_penalty(self, name, real, fake, condition)
            self.descend(optimizer, self.intervals[name] * penalty, "discriminator", lazy=True)

    def train_generator(
        self, optimizer: Any, real: Images, n: int, condition: Condition | None
    ) -> None:
        """Descend G's loss on fresh latents, with its penalties as D's."""
        drawn = self.draw("generator", n, condition)
        fake_logits = self.discriminator(drawn.images, condition)
        relative = getattr(self.loss, "relativistic", False)
        real_logits = self.discriminator(real, condition) if relative else None
        loss = self.loss.generator(fake_logits, real_logits)
        self.tally.add("loss/generator", loss)
        for name in self.image_penalties:
            loss = loss + image_penalty(self, name, drawn, condition)
        for name in self.generator_penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + generator_penalty(self, name, n, condition)
        self.descend(optimizer, loss, "generator")
        for name in self.lazy(self.generator_penalties, self.steps // self.critic_steps - 1):
            penalty = self.intervals[name] * generator_penalty(self, name, n, condition)
            self.descend(optimizer, penalty, "generator", lazy=True)
        for module in self.generator.modules():
            project: Any = getattr(module, "project_", None)
            if project is not None:
                project()

    def lazy(self, penalties: Mapping[str, Penalty], step: int) -> list[str]:
        """Names of the penalties with an interval that fall due in this step of their network."""
        intervals = {name: self.intervals.get(name, 1) for name in penalties}
        return [name for name, every in intervals.items() if every > 1 and step % every == 0]

    def draw(self, purpose: str, n: int, condition: Condition | None) -> Draw:
        """Generate n images from this rank's share of the global batch's latents."""
        return draw(self, purpose, n, condition)

    @property
    def randomness(self) -> StepRandomness:
        """All draws of the current step, for the global batch, sliced by rank."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return StepRandomness(self.seed, self.images_before, rank, world, self.device)

    def draw_latents(self, purpose: str, n: int) -> Tensor:
        """(n, Z): this rank's rows of the latents that (seed, images_seen, purpose) address."""
        return self.randomness.latents(self.generator, purpose, n)

    def descend(self, optimizer: Any, loss: Tensor, network: str, lazy: bool = False) -> None:
        """Backward and step, unless the loss is not finite; norms are those of losses."""
        self.guard(loss, network)
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        if not lazy and self.steps % PROBE_STEPS == 0:
            parameters = getattr(self, network).parameters()
            gradients = [p.grad for p in parameters if p.grad is not None]
            self.tally.add(f"grad_norm/{network}", get_total_norm(gradients))
        optimizer.step()

    def guard(self, loss: Tensor, network: str) -> None:
        """Stop before a bad loss reaches the weights; on an accelerator look only now and then."""
        after = self.images_before + self.global_batch_size
        if self.shown is None or not broken(loss, self.images_before, after):
            return
        real, condition = self.shown
        latents = self.draw_latents("generator", len(real[-1] if isinstance(real, list) else real))
        found = diagnose(self.generator, self.discriminator, latents, real, condition)
        value, seen = loss.detach().item(), self.images_seen
        raise NonFiniteError(f"the {network}'s loss is {value} at {seen} images; {found}. {ADVICE}")

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
