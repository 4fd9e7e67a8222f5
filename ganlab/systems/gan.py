"""The one training step of every GAN here; papers differ in values, not in control flow."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Protocol

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from ganlab.data.batch import Batch
from ganlab.networks.base import Condition, Discriminator, Generator, Images
from ganlab.nn.norm import Projected
from ganlab.systems.checks import (
    check_intervals,
    check_labels,
    check_mixing,
    check_penalties,
    check_precision,
)
from ganlab.systems.conditioning import Conditioner
from ganlab.systems.drawing import Draw, Drawing
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.growth import (
    Growth,
    check_growth,
    grow,
    say_where_it_ends,
    share_schedule,
    take_first_stage,
    take_full_size,
)
from ganlab.systems.guard import ADVICE, NonFiniteError, broken, diagnose
from ganlab.systems.optimizers import optimizers_of
from ganlab.systems.penalties import printed
from ganlab.systems.randomness import fresh_dropout, fresh_noise
from ganlab.systems.training import Training

OptimizerFactory = Callable[..., Optimizer]


class Loss(Protocol):
    """A pair of adversarial losses; both take logits, mean over N and sum over K."""

    relativistic: bool  # whether G's loss needs the logits of reals, and is given them

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D descends."""
        ...

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """What G descends."""
        ...


Penalty = Callable[..., Tensor]


class GAN(Training):
    """Adversarial training of one generator and one discriminator, clocked by images seen.

    Everything random in a step is drawn for the global batch from (seed, images_seen) and sliced
    by rank, so that no draw depends on the number of processes or on where a run was resumed. What
    looks at a whole batch (batch norm, relativistic losses, minibatch groups) sees its rank's.

    Raises:
        NonFiniteError: a loss became NaN or infinite; the message names the first bad module.
    """

    discriminator: Discriminator

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
        self.conditioner, self.critic_steps = conditioner or Conditioner(), critic_steps
        self.check()
        self.global_batch_size = 0  # images in the current step, over all ranks
        self.shown: tuple[Images, Condition | None] | None = None  # to D in the current step
        self.begin(ema, seed, kimg)

    def check(self) -> None:
        """Refuse what the networks or penalties cannot have; a ValueError names the key."""
        if self.critic_steps < 1:
            raise ValueError(f"model.critic_steps must be at least 1, got {self.critic_steps}")
        kinds = {"penalties": self.penalties, "generator_penalties": self.generator_penalties}
        check_penalties({**kinds, "image_penalties": self.image_penalties})
        check_intervals(self.intervals, {*self.penalties, *self.generator_penalties})
        check_mixing(self.mixing_probability, self.generator)
        if self.growth is not None:
            check_growth(self.growth, self.networks())

    @property
    def grows(self) -> bool:
        """Where there is a schedule."""
        return self.growth is not None

    def configure_optimizers(self) -> list[Optimizer]:
        """Generator first, discriminator second."""
        factories = (self.generator_optimizer, self.discriminator_optimizer)
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return optimizers_of(networks, factories)

    def setup(self, stage: str) -> None:
        """Let the conditioner see the device, the step's randomness and the data."""
        self.conditioner.attach(self)

    def on_fit_start(self) -> None:
        """Refuse labels that do not fit, and half precision where a penalty needs a second
        derivative; share the schedule.
        """
        penalties = {**self.penalties, **self.generator_penalties}
        check_labels(self.conditioner, self.networks())
        self.conditioner.check(self.data)
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
        """Move the clock's trailing hand, and grow."""
        super().on_train_batch_start(batch, batch_idx)
        if self.growth is not None:
            grow(self, self.growth)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One discriminator step and, every `critic_steps`, one generator step."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)  # `configure_optimizers` made two
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
        self.shown = None
        self.end_step()

    def train_discriminator(
        self, optimizer: LightningOptimizer, real: Images, n: int, condition: Condition | None
    ) -> None:
        """Descend D's loss with the penalties due every step, then each lazy penalty by itself."""
        with torch.no_grad():
            fake = self.drawing.images("discriminator", n, condition).images
        real_logits = self.discriminator(real, condition)
        fake_logits = self.discriminator(fake, condition)
        loss = self.loss.discriminator(real_logits, fake_logits)
        self.tally.add("loss/discriminator", loss)
        self.tally.add("sign/real", (real_logits.detach() > 0).float().mean())
        self.tally.add("sign/fake", (fake_logits.detach() > 0).float().mean())
        for name in self.penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + self.discriminator_penalty(name, real, fake, condition)
        self.descend(optimizer, loss, "discriminator")
        for name in self.lazy(self.penalties, self.steps):
            penalty = self.discriminator_penalty(name, real, fake, condition)
            self.descend(optimizer, self.intervals[name] * penalty, "discriminator", lazy=True)

    def train_generator(
        self, optimizer: LightningOptimizer, real: Images, n: int, condition: Condition | None
    ) -> None:
        """Descend G's loss on fresh latents, with its penalties as D's."""
        drawn = self.drawing.images("generator", n, condition, follow=True)
        fake_logits = self.discriminator(drawn.images, condition)
        real_logits = self.discriminator(real, condition) if self.loss.relativistic else None
        loss = self.loss.generator(fake_logits, real_logits)
        self.tally.add("loss/generator", loss)
        for name in self.image_penalties:
            loss = loss + self.image_penalty(name, drawn, condition)
        for name in self.generator_penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + self.generator_penalty(name, n, condition)
        self.descend(optimizer, loss, "generator")
        for name in self.lazy(self.generator_penalties, self.steps // self.critic_steps - 1):
            penalty = self.intervals[name] * self.generator_penalty(name, n, condition)
            self.descend(optimizer, penalty, "generator", lazy=True)
        for module in self.generator.modules():
            if isinstance(module, Projected):
                module.project_()

    def lazy(self, penalties: Mapping[str, Penalty], step: int) -> list[str]:
        """Names of the penalties with an interval that fall due in this step of their network."""
        intervals = {name: self.intervals.get(name, 1) for name in penalties}
        return [name for name, every in intervals.items() if every > 1 and step % every == 0]

    def discriminator_penalty(
        self, name: str, real: Images, fake: Images, condition: Condition | None
    ) -> Tensor:
        """One penalty of D."""
        uniform, network = self.randomness.uniform("penalty", name), self.discriminator
        return self.term(name, self.penalties, network, real, fake, condition, uniform)

    def generator_penalty(self, name: str, n: int, condition: Condition | None) -> Tensor:
        """One penalty of G on latents, mixing and noise of its own."""
        normal = self.randomness.normal("penalty", name)
        with fresh_noise(self.generator, self.randomness, name), self.full_precision():
            styles = self.drawing.styles(name, n, condition)
            return self.term(
                name, self.generator_penalties, self.generator, styles, condition, normal
            )

    def image_penalty(self, name: str, drawn: Draw, condition: Condition | None) -> Tensor:
        """One penalty on the images that G's loss was taken of."""
        images = drawn.images[-1] if isinstance(drawn.images, list) else drawn.images
        given = images.float(), drawn.latents, condition, self.conditioner.stages
        return self.term(name, self.image_penalties, *given)

    def term(self, name: str, penalties: Mapping[str, Penalty], *given: object) -> Tensor:
        """A named term of a loss, tallied."""
        with self.full_precision():
            value = penalties[name](*given)
        self.tally.add(f"penalty/{name}", value)
        return value

    def full_precision(self) -> torch.autocast:
        """Inside the block nothing is cast: second derivatives do not survive half precision."""
        return torch.autocast(self.device.type, enabled=False)

    @property
    def drawing(self) -> Drawing:
        """How the current step draws images."""
        return Drawing(self.generator, self.randomness, self.mixing_probability)

    def descend(
        self, optimizer: LightningOptimizer, loss: Tensor, network: str, lazy: bool = False
    ) -> None:
        """Backward and step, unless the loss is not finite; norms are those of losses."""
        self.guard(loss, network)
        self.take_step(optimizer, loss, {} if lazy else {network: self.networks()[network]})

    def guard(self, loss: Tensor, network: str) -> None:
        """Stop before a bad loss reaches the weights; on an accelerator look only now and then."""
        after = self.images_before + self.global_batch_size
        if self.shown is None or not broken(loss, self.images_before, after):
            return
        real, condition = self.shown
        images = real[-1] if isinstance(real, list) else real
        latents = self.drawing.latents("generator", len(images))
        found = diagnose(self.generator, self.discriminator, latents, real, condition)
        value, seen = loss.detach().item(), self.images_seen
        raise NonFiniteError(f"the {network}'s loss is {value} at {seen} images; {found}. {ADVICE}")

    def networks(self) -> dict[str, nn.Module]:
        """The three networks by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.generator_ema,
        }
