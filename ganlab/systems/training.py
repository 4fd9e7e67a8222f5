"""What every training here has: a clock in images, averages, running means, an exact resume."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ganlab import __version__
from ganlab.data.batch import Batch
from ganlab.networks.base import Generator
from ganlab.nn.randomness import derived_seed
from ganlab.nn.ranks import average_gradients
from ganlab.systems.early_stopping import Patience
from ganlab.systems.ema import NO_AVERAGE, ExponentialAverage
from ganlab.systems.optimizers import renew_settings, set_rates, step_alike
from ganlab.systems.random_state import (
    FORMAT,
    begin_random_state,
    gather,
    random_state,
    set_random_state,
)
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.rendezvous import Ranks
from ganlab.systems.running_means import RunningMeans
from ganlab.systems.schedules import Schedule
from ganlab.systems.scorer import scorers
from ganlab.systems.system import System

PROBE_STEPS = 8  # gradient norms are read off every eighth step: enough for a curve, nearly free


class Training(System):
    """A system that trains, on the clock of images seen.

    A subclass says in `training_step` when a step begins and ends, and which networks an average
    follows in `averages`.
    """

    generator: Generator
    images_before: int  # the clock at the start of the current batch
    steps: int
    images_at_ema: int  # the clock when the averages last followed
    running_means: RunningMeans
    seed: int
    mid_step: bool  # True while weights are between two consistent states
    mid_tick: bool  # True from a step's end until every callback has answered it
    open_tick: int | None  # of a resumed run: the clock before an unanswered step
    exact_resume: bool  # refuse to continue on other data or another number of processes
    pending_random_state: list[dict[str, Any]] | None  # one a rank; [] = a fresh run
    patience: Patience  # whether the run goes on where its score no longer improves
    schedule: Schedule | None = None  # of the learning rates
    fused: bool = False  # whether Adam's step is one kernel

    def begin(self, ema: ExponentialAverage | None, seed: int, kimg: float) -> None:
        """Stand at the state of a run that has seen no image."""
        self.automatic_optimization = False
        self.ema, self.seed, self.kimg = ema or NO_AVERAGE, seed, kimg
        self.images_seen = self.images_before = self.steps = self.images_at_ema = 0
        self.running_means, self.recipe = RunningMeans(), {}
        self.mid_step = self.mid_tick = False
        self.open_tick, self.exact_resume = None, True
        self.pending_random_state = []
        self.patience = Patience()

    @property
    def averages(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each average with the network that it follows."""
        return [(self.generator_ema, self.generator)]

    @property
    def moving(self) -> set[str]:
        """Settings of the optimizers that change as it trains."""
        return set() if self.schedule is None else {"lr"}

    def configure_optimizers(self) -> list[Optimizer]:
        """Fresh ones, as the config says."""
        raise NotImplementedError

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Move the clock's trailing hand; before the first batch, set the random states."""
        self.take_random_state()
        self.images_before = self.images_seen
        self.patience.look(scorers(self.trainer))
        if self.schedule is not None:
            for optimizer in self.trainer.optimizers:
                set_rates(optimizer, None, self.rate_share)

    @property
    def rate_share(self) -> float:
        """The learning rates of this batch as a share of what is configured."""
        return 1.0 if self.schedule is None else self.schedule(self.images_seen)

    def share(self, name: str) -> float:
        """What is so called, in this batch, as a share of what is configured."""
        return 1.0

    @property
    def complete(self) -> bool:
        """Whether it has reached its length, or its score has not improved for too long."""
        return super().complete or self.patience.exhausted

    def take_random_state(self) -> None:
        """Continue the checkpoint's random streams, or begin this rank's, once."""
        if self.pending_random_state is not None:
            self.restore_random_state(self.pending_random_state)
            self.pending_random_state = None

    @property
    def randomness(self) -> StepRandomness:
        """All draws of the current step, for the global batch, sliced by rank."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return StepRandomness(self.seed, self.images_before, rank, world, self.device)

    def end_step(self) -> None:
        """Both states are consistent again; the run ends with its last image."""
        self.mid_step, self.mid_tick = False, True
        if self.complete:
            self.trainer.should_stop = True

    def take_step(
        self,
        optimizer: LightningOptimizer,
        losses: Sequence[Callable[[], Tensor]],  # whose mean is descended
        networks: Mapping[str, nn.Module],
    ) -> None:
        """Backward and step; now and then the gradients' norms are tallied by these names."""
        for number, loss in enumerate(losses):
            value = loss()
            if number == 0:  # here, or the forward pass faults in the memory that they had
                optimizer.zero_grad(set_to_none=True)
            self.manual_backward(value if len(losses) == 1 else value / len(losses))
            del value  # its graph, before the next
        if isinstance(self.trainer.strategy, Ranks):
            average_gradients(each for group in optimizer.param_groups for each in group["params"])
        if self.steps % PROBE_STEPS == 0:
            for name, network in networks.items():
                gradients = [p.grad for p in network.parameters() if p.grad is not None]
                self.running_means.add(f"grad_norm/{name}", get_total_norm(gradients))
        optimizer.step()

    def average(self) -> None:
        """Let the averages follow; counts the images of all ranks and steps since the last time."""
        images = self.images_seen - self.images_at_ema
        for average, source in self.averages:
            self.ema.update(average, source, images, self.images_seen, self.share("ema"))
        self.images_at_ema = self.images_seen

    def train(self, mode: bool = True) -> "Training":
        """Set the mode of everything but the averages, which always evaluate."""
        super().train(mode)
        for average, _ in self.averages:
            average.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add recipe, clock, counters, curve in progress, data position, every random state."""
        counters = {"images_seen": self.images_seen, "steps": self.steps}
        checkpoint |= {
            "format": FORMAT,
            "version": __version__,
            "recipe": self.recipe,
            "counters": counters | {"images_at_ema": self.images_at_ema},
            "images_seen": self.images_seen,
            "tally": gather(self.running_means.state_dict()),
            # Every image drawn is seen exactly once; the data's content says what a position means.
            "sampler": {"position": self.images_seen, "content": self.data_content},
            "random": gather(random_state(self.device)),
            "moments": [len(optimizer.state) for optimizer in self.trainer.optimizers],
            "open_tick": self.images_before if self.mid_tick else None,
            "patience": self.patience.state_dict(),
        }

    @property
    def data_content(self) -> str | None:
        """Hash of the images a run is trained on; None outside a datamodule of ours."""
        return None if self.data is None else self.data.content_key

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the clock, counters, running means and data position; random states wait.

        Of a forced resume, also change the optimizers' settings in the checkpoint, from which
        Lightning restores them next, to those of the present config.

        Raises:
            ValueError: an exact resume on other data.
        """
        counters, means = checkpoint["counters"], checkpoint["tally"]
        self.images_seen = self.images_before = counters["images_seen"]
        self.steps, self.images_at_ema = counters["steps"], counters["images_at_ema"]
        own = means[min(self.trainer.global_rank, len(means) - 1)]
        self.running_means.load_state_dict(own, self.device)
        self.pending_random_state = checkpoint["random"]
        self.open_tick = checkpoint["open_tick"]
        if "patience" in checkpoint:
            self.patience.load_state_dict(checkpoint["patience"])
        saved = checkpoint["sampler"]["content"]
        if self.exact_resume and saved is not None and saved != self.data_content:
            raise ValueError(
                "the data is not what this run was trained on (other images, labels or "
                "preprocessing): restore it, or say resume=force"
            )
        states, fresh = checkpoint["optimizer_states"], self.configure_optimizers()
        if not self.exact_resume:  # a changed recipe holds from here on, its rates too
            renew_settings(states, fresh)
        step_alike(states, fresh)
        if self.data is not None:
            self.data.position = checkpoint["sampler"]["position"]

    def restore_random_state(self, states: list[dict[str, Any]]) -> None:
        """Continue every rank's own stream; a fresh run gives each rank an unrelated one.

        Raises:
            ValueError: the checkpoint was written by another number of processes.
        """
        rank, world = self.trainer.global_rank, self.trainer.world_size
        if not states:
            begin_random_state(self.seed, rank)
        elif len(states) != world and not self.exact_resume:
            torch.manual_seed(derived_seed("rank", self.seed, rank, self.images_seen))
        elif len(states) != world:
            raise ValueError(
                f"the checkpoint was written by {len(states)} processes and this run has {world}; "
                "set trainer.devices to match, or resume=force to go on inexactly"
            )
        else:
            set_random_state(states[rank], self.device)
