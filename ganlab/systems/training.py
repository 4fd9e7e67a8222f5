"""What every training here has: a clock in images, averages, a tally, an exact resume."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from ganlab.data.batch import Batch
from ganlab.networks.base import Generator
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.state import Run, restore_counters, restore_random_state, run_state
from ganlab.systems.system import System
from ganlab.systems.tally import Tally

PROBE_STEPS = 8  # gradient norms are read off every eighth step: enough for a curve, nearly free


class Training(System, Run):
    """A system that trains, on the clock of images seen.

    A subclass trains the networks of `averaged`, each followed by `<name>_ema`, and says in
    `training_step` when a step begins and ends.
    """

    generator: Generator
    averaged: ClassVar[tuple[str, ...]] = ("generator",)  # networks that an average follows

    def begin(self, ema: ExponentialAverage | None, seed: int, kimg: float) -> None:
        """Stand at the state of a run that has seen no image."""
        self.automatic_optimization = False
        self.ema, self.seed, self.kimg = ema or ExponentialAverage(), seed, kimg
        self.images_seen = self.images_before = self.steps = self.images_at_ema = 0
        self.tally, self.recipe = Tally(), {}
        self.mid_step = self.mid_tick = False
        self.open_tick, self.exact_resume = None, True
        self.pending_random_state = []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Move the clock's trailing hand; before the first batch, set the random states."""
        self.take_random_state()
        self.images_before = self.images_seen

    def take_random_state(self) -> None:
        """Continue the checkpoint's random streams, or begin this rank's, once."""
        if self.pending_random_state is not None:
            restore_random_state(self, self.pending_random_state)
            self.pending_random_state = None

    @property
    def randomness(self) -> StepRandomness:
        """All draws of the current step, for the global batch, sliced by rank."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return StepRandomness(self.seed, self.images_before, rank, world, self.device)

    def end_step(self) -> None:
        """Both states are consistent again; the run ends with its last image."""
        self.mid_step, self.mid_tick = False, True
        if self.images_seen >= self.kimg * 1000:
            self.trainer.should_stop = True

    def take_step(self, optimizer: Any, loss: Tensor, networks: Mapping[str, nn.Module]) -> None:
        """Backward and step; now and then the gradients' norms are tallied by these names."""
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        if self.steps % PROBE_STEPS == 0:
            for name, network in networks.items():
                gradients = [p.grad for p in network.parameters() if p.grad is not None]
                self.tally.add(f"grad_norm/{name}", get_total_norm(gradients))
        optimizer.step()

    def average(self) -> None:
        """Let the averages follow; counts the images of all ranks and steps since the last time."""
        images = self.images_seen - self.images_at_ema
        for name in self.averaged:
            average, source = getattr(self, f"{name}_ema"), getattr(self, name)
            self.ema.update(average, source, images, self.images_seen)
        self.images_at_ema = self.images_seen

    def train(self, mode: bool = True) -> "Training":
        """Set the mode of everything but the averages, which always evaluate."""
        super().train(mode)
        for name in self.averaged:
            getattr(self, f"{name}_ema").eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe, the clock, the counters and every random state."""
        checkpoint.update(run_state(self))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the clock and counters; random states wait for the first batch."""
        restore_counters(self, checkpoint)
