"""The one training step of every GAN here; papers differ in values, not in control flow."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from ganlab.data.batch import Batch
from ganlab.losses.adversarial import Loss
from ganlab.networks.base import Condition, Discriminator, Generator, Images, StyleGenerator
from ganlab.nn.norm import Projected
from ganlab.nn.precision import to_single
from ganlab.nn.ranks import mean_over_ranks
from ganlab.systems.accumulation import Part, check_parts, parts_of, warn_of_differences
from ganlab.systems.annealing import check_annealing, set_beta2
from ganlab.systems.augment import Augmentation, Shown
from ganlab.systems.checks import (
    check_intervals,
    check_labels,
    check_mixing,
    check_network,
    check_penalties,
    check_precision,
    freeze,
)
from ganlab.systems.conditioning import Conditioner
from ganlab.systems.drawing import Draw, Drawing
from ganlab.systems.ema import AVERAGE, ExponentialAverage
from ganlab.systems.growth import (
    Growth,
    batches_of,
    check_growth,
    grow,
    share_schedule,
    take_first_stage,
    take_full_size,
    warn_if_too_short,
)
from ganlab.systems.nonfinite import ADVICE, NonFiniteError, diagnose, is_broken
from ganlab.systems.optimizers import optimizers_of
from ganlab.systems.penalties import report_strengths
from ganlab.systems.power_averages import PowerAverages
from ganlab.systems.random_state import gather
from ganlab.systems.randomness import dropping, fresh_noise
from ganlab.systems.schedules import Schedule
from ganlab.systems.training import Training

OptimizerFactory = Callable[..., Optimizer]
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
        ema: ExponentialAverage | None = AVERAGE,  # None = none: the weights as they stand
        conditioner: Conditioner | None = None,  # batch -> batch and what the networks are told
        power_averages: PowerAverages | None = None,  # kept beside the ordinary one; None = none
        growth: Growth | None = None,  # images seen -> stage; None = networks stay as they are
        mixing_probability: float = 0.0,  # share of samples made from the styles of two latents
        critic_steps: int = 1,  # discriminator steps per generator step
        accumulate: int = 1,  # parts of a step's batch that go through the networks one by one
        freeze_discriminator: int = 0,  # finest blocks of D that learn nothing
        schedule: Schedule | None = None,  # images seen -> share of the learning rates; None = all
        annealing: Mapping[str, Schedule]
        | None = None,  # name of a penalty, beta2, ema or augment -> share of what is configured
        augment: Augmentation | None = None,  # of what D sees, reals and fakes; None = as it is
        seed: int = 0,
        kimg: float = 1000.0,  # length of the run in thousands of images
    ) -> None:
        super().__init__()
        check_network("generator", generator, Generator)
        check_network("discriminator", discriminator, Discriminator)
        self.generator, self.discriminator = generator, discriminator
        self.generator_ema = deepcopy(generator).eval().requires_grad_(False)
        self.power_averages = power_averages
        if power_averages is not None:
            power_averages.follow(generator)
        self.loss = loss
        self.penalties = dict(penalties or {})
        self.generator_penalties = dict(generator_penalties or {})
        self.image_penalties = dict(image_penalties or {})
        self.intervals = dict(intervals or {})
        self.growth, self.mixing_probability = growth, mixing_probability
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.conditioner, self.critic_steps = conditioner or Conditioner(), critic_steps
        self.accumulate, self.schedule = accumulate, schedule
        self.annealing = dict(annealing or {})
        self.frozen, self.augment = freeze_discriminator, augment
        freeze(discriminator, freeze_discriminator)
        self.check()
        self.global_batch_size = 0  # images in the current step, over all ranks
        self.shown: tuple[Images, Condition | None] | None = None  # to D in the current step
        self.begin(ema, seed, kimg)

    def check(self) -> None:
        """Refuse what the networks or penalties cannot have; a ValueError names the key."""
        for key, count in (("critic_steps", self.critic_steps), ("accumulate", self.accumulate)):
            if count < 1:
                raise ValueError(f"model.{key} must be at least 1, got {count}")
        kinds = {"penalties": self.penalties, "generator_penalties": self.generator_penalties}
        kinds |= {"image_penalties": self.image_penalties}
        check_penalties(kinds)
        check_annealing(self.annealing, [n for each in kinds.values() for n in each], self.augment)
        check_intervals(self.intervals, {*self.penalties, *self.generator_penalties})
        check_mixing(self.mixing_probability, self.generator)
        if self.augment is not None:
            self.augment.check(self.loss, self.discriminator)
        if self.growth is not None:
            check_growth(self.growth, self.networks())
            if self.power_averages is not None:
                raise ValueError("model.power_averages are of networks that do not grow")

    @property
    def moving(self) -> set[str]:
        """Rates under a schedule, which growth is too; betas that are annealed."""
        rates = self.growth is not None or self.schedule is not None
        return {*(["lr"] if rates else []), *(["betas"] if "beta2" in self.annealing else [])}

    def share(self, name: str) -> float:
        """By its schedule in `annealing`."""
        schedule = self.annealing.get(name)
        return 1.0 if schedule is None else schedule(self.images_before)

    def configure_optimizers(self) -> list[Optimizer]:
        """Generator first, discriminator second."""
        factories = (self.generator_optimizer, self.discriminator_optimizer)
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return optimizers_of(networks, factories, self.fused)

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
        self.check_accumulation()
        if self.trainer.is_global_zero:
            report_strengths(penalties)
            if self.growth is not None:
                warn_if_too_short(self.kimg, self.growth)

    def check_accumulation(self) -> None:
        """Refuse a batch that cannot be shared among parts; say what looks at a part of it."""
        if self.accumulate == 1 or self.data is None:
            return
        batch, world = self.data.batch_size, self.trainer.world_size
        check_parts(self.networks(), batches_of(self.growth, batch), world, self.accumulate)
        if self.trainer.is_global_zero:
            each = batch // world // self.accumulate
            warn_of_differences(self.networks(), self.loss, self.generator_penalties, each)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Move the clock's trailing hand, anneal, and grow."""
        super().on_train_batch_start(batch, batch_idx)
        if "beta2" in self.annealing:
            set_beta2(self.trainer.optimizers, self.share("beta2"))
        if self.augment is not None:
            self.augment.anneal(self.share("augment"))
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
        split = (self.randomness, self.discriminator, self.accumulate)
        parts = parts_of(real, condition, len(batch), *split)
        with self.toggled_optimizer(discriminator_optimizer):
            self.train_discriminator(discriminator_optimizer, parts)
        self.steps += 1
        self.images_seen += self.global_batch_size
        if self.steps % self.critic_steps == 0:
            with self.toggled_optimizer(generator_optimizer):
                self.train_generator(generator_optimizer, parts)
            self.average()
        if self.augment is not None:
            self.augment.advance(self.images_seen, self.steps, self.running_means)
        self.shown = None
        self.end_step()

    def train_discriminator(self, optimizer: LightningOptimizer, parts: Sequence[Part]) -> None:
        """Descend D's loss with the penalties due every step, then each lazy penalty by itself."""
        with torch.no_grad():
            fakes = [
                self.drawing(part).images("discriminator", part.n, part.condition).images
                for part in parts
            ]
        shown = list(zip(parts, fakes, strict=True))
        losses = [partial(self.discriminator_loss, part, fake) for part, fake in shown]
        self.descend(optimizer, losses, "discriminator")
        for name in self.lazy(self.penalties, self.steps):
            due = [partial(self.discriminator_penalty, name, *each) for each in shown]
            self.descend(optimizer, due, "discriminator", lazy=self.intervals[name])

    def discriminator_loss(self, part: Part, fake: Images) -> Tensor:
        """D's loss on a part, with the penalties due every step."""
        with dropping(self.discriminator, part.masks):
            real_logits = to_single(self.judge(part, "real")(part.real, part.condition))
            fake_logits = to_single(self.judge(part, "fake")(fake, part.condition))
        if self.augment is not None:
            self.augment.note(real_logits)
        loss = self.loss.discriminator(real_logits, fake_logits)
        self.running_means.add("loss/discriminator", loss)
        self.running_means.add("sign/real", (real_logits.detach() > 0).float().mean())
        self.running_means.add("sign/fake", (fake_logits.detach() > 0).float().mean())
        for name in self.penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + self.discriminator_penalty(name, part, fake)
        return loss

    def train_generator(self, optimizer: LightningOptimizer, parts: Sequence[Part]) -> None:
        """Descend G's loss on fresh latents, with its penalties as D's."""
        means: list[Tensor] = []
        losses = [partial(self.generator_loss, part, means) for part in parts]
        self.descend(optimizer, losses, "generator")
        if isinstance(self.generator, StyleGenerator):  # Karras et al. 2019, appendix B
            mean = means[0] if len(means) == 1 else torch.stack(means).mean(dim=0)
            self.generator.update_mean_style(mean_over_ranks(mean))
        for name in self.lazy(self.generator_penalties, self.steps // self.critic_steps - 1):
            due = [partial(self.generator_penalty, name, part) for part in parts]
            self.descend(optimizer, due, "generator", lazy=self.intervals[name])
        for module in self.generator.modules():
            if isinstance(module, Projected):
                module.project_()

    def generator_loss(self, part: Part, means: list[Tensor]) -> Tensor:
        """G's loss on a part, with the penalties due every step; `means` takes its mean style."""
        drawn = self.drawing(part).images("generator", part.n, part.condition)
        means += [] if drawn.mean_style is None else [drawn.mean_style]
        with dropping(self.discriminator, part.masks):
            judge, relative = self.judge(part, "generator"), self.loss.relativistic
            fake_logits = to_single(judge(drawn.images, part.condition))
            judge = self.judge(part, "generator/real")
            real_logits = to_single(judge(part.real, part.condition)) if relative else None
        loss = self.loss.generator(fake_logits, real_logits)
        self.running_means.add("loss/generator", loss)
        for name in self.image_penalties:
            loss = loss + self.image_penalty(name, drawn, part.condition)
        for name in self.generator_penalties:
            if self.intervals.get(name, 1) == 1:
                loss = loss + self.generator_penalty(name, part)
        return loss

    def lazy(self, penalties: Mapping[str, Penalty], step: int) -> list[str]:
        """Names of the penalties with an interval that fall due in this step of their network."""
        intervals = {name: self.intervals.get(name, 1) for name in penalties}
        return [name for name, every in intervals.items() if every > 1 and step % every == 0]

    def discriminator_penalty(self, name: str, part: Part, fake: Images) -> Tensor:
        """One penalty of D."""
        # Of the images before they are changed, through the change: Karras et al.'s code for ADA
        # takes R1 so (training/loss.py, `run_D` of `real_img_tmp`).
        network = self.judge(part, f"penalty/{name}")
        uniform = part.randomness.uniform("penalty", name)
        given = network, part.real, fake, part.condition, uniform
        with dropping(self.discriminator, part.masks):
            return self.term(name, self.penalties, *given)

    def generator_penalty(self, name: str, part: Part) -> Tensor:
        """One penalty of G on latents, mixing and noise of its own."""
        normal = part.randomness.normal("penalty", name)
        with fresh_noise(self.generator, part.randomness, name), self.full_precision():
            styles = self.drawing(part).styles(name, part.n, part.condition)
            given = self.generator, styles, part.condition, normal
            return self.term(name, self.generator_penalties, *given)

    def image_penalty(self, name: str, drawn: Draw, condition: Condition | None) -> Tensor:
        """One penalty on the images that G's loss was taken of, at all of their scales."""
        images = drawn.images
        single = [*map(to_single, images)] if isinstance(images, list) else to_single(images)
        given = single, drawn.latents, condition, self.conditioner.stages
        return self.term(name, self.image_penalties, *given)

    def term(self, name: str, penalties: Mapping[str, Penalty], *given: object) -> Tensor:
        """A named term of a loss, tallied."""
        with self.full_precision():
            value = self.share(name) * penalties[name](*given)
        self.running_means.add(f"penalty/{name}", value)
        return value

    def full_precision(self) -> torch.autocast:
        """Inside the block nothing is cast: second derivatives do not survive half precision."""
        return torch.autocast(self.device.type, enabled=False)

    def judge(self, part: Part, purpose: str) -> nn.Module:
        """The discriminator, with what it sees changed by draws of this purpose."""
        if self.augment is None:
            return self.discriminator
        return Shown(self.discriminator, self.augment, part.randomness, purpose)

    def drawing(self, part: Part) -> Drawing:
        """How images of a part of the current step are drawn."""
        return Drawing(self.generator, part.randomness, self.mixing_probability)

    def descend(
        self,
        optimizer: LightningOptimizer,
        losses: Sequence[Callable[[], Tensor]],  # of each part
        network: str,
        lazy: int = 0,  # the interval of a lazy penalty, k times as strong; norms are of losses
    ) -> None:
        """Backward and step, unless a loss is not finite."""

        def guarded(loss: Callable[[], Tensor]) -> Tensor:
            value = lazy * loss() if lazy else loss()
            self.guard(value, network)
            return value

        networks = {} if lazy else {network: self.networks()[network]}
        self.take_step(optimizer, [partial(guarded, loss) for loss in losses], networks)

    def guard(self, loss: Tensor, network: str) -> None:
        """Stop before a bad loss reaches the weights; on an accelerator look only now and then."""
        after = self.images_before + self.global_batch_size
        if self.shown is None or not is_broken(loss, self.images_before, after):
            return
        real, condition = self.shown
        images = real[-1] if isinstance(real, list) else real
        latents = self.randomness.latents(self.generator, "generator", len(images))
        found = diagnose(self.generator, self.discriminator, latents, real, condition)
        value, seen = loss.detach().item(), self.images_seen
        raise NonFiniteError(f"the {network}'s loss is {value} at {seen} images; {found}. {ADVICE}")

    def average(self) -> None:
        """Let the power averages follow, too."""
        before = self.images_at_ema
        super().average()
        if self.power_averages is not None:
            self.power_averages.update(self.generator, before, self.images_seen)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the augmentation's state of every rank."""
        super().on_save_checkpoint(checkpoint)
        if self.augment is not None:
            checkpoint["augment"] = gather(self.augment.state_dict())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back; what was trained without one begins anew."""
        super().on_load_checkpoint(checkpoint)
        if self.augment is not None:
            states = checkpoint.get("augment") or [{}]
            own = states[min(self.trainer.global_rank, len(states) - 1)]
            self.augment.load_state_dict(own, self.images_seen, self.device)

    def networks(self) -> dict[str, nn.Module]:
        """The three networks by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.generator_ema,
        }
