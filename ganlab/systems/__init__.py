"""Lightning: the one training step, its clock, its growth, its averages and its checkpoints."""

from ganlab.systems.checkpoint import Checkpointing
from ganlab.systems.ema import ExponentialAverage
from ganlab.systems.gan import GAN
from ganlab.systems.growth import Growth
from ganlab.systems.penalties import R1, R2

__all__ = ["GAN", "R1", "R2", "Checkpointing", "ExponentialAverage", "Growth"]
