"""Lightning: the one training step, its clock, its averages and its checkpoints."""

from ganlab.systems.checkpoint import Checkpointing
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.gan import GAN

__all__ = ["GAN", "Checkpointing", "ExponentialAverage"]
