"""What the figures of artifacts are drawn from: one generator, its worst images, where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ganlab.networks.base import Generator
from ganlab.sampling import Sampler


@dataclass(frozen=True, eq=False)
class CircleCase:
    """One generator with the artifacts found in its images."""

    sampler: Sampler  # of the averaged generator
    worst: Sequence[int]  # addresses, the worst image first
    place: Tensor  # (N, 2) where each has its artifact, as shares of height and width, on the CPU
    affected: Sequence[bool]  # whether each is over the detector's threshold
    points: Mapping[str, nn.Module]  # layer -> the module that is read there, input to output
    map_size: int = 128  # px of Figures 3 and 4; the largest there is, if there is no such layer
    ablate_size: int = 8  # px of Figures 6, 7 and 8
    late_ablate_size: int = 128  # px of Figures 9 and 10
    num_shown: int = 4  # images of Figure 7

    @property
    def generator(self) -> Generator:
        """What makes the images."""
        return self.sampler.generator
