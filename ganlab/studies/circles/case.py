"""What the figures of artifacts are drawn from: one generator, its worst images, where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from ganlab.networks.base import Generator
from ganlab.sampling import Sampler
from ganlab.studies.circles.maps import commonest_unit, takes_noise


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

    def layer(self, size: int, position: int = 0) -> str:
        """The layer read at a size, see `layer_at`."""
        return layer_at(list(self.points), size, position)

    @cached_property
    def early_layer(self) -> str:
        """Figures 6, 7 and 8: the second layer of 8x8."""
        return self.layer(self.ablate_size, -1)

    @property
    def late_layer(self) -> str:
        """Figures 9 and 10: the first layer of 128x128."""
        return self.layer(self.late_ablate_size)

    @cached_property
    def common_unit(self) -> tuple[int, float]:
        """Figures 7 and 8: the unit of the early layer most of the worst images have in common."""
        return commonest_unit(self.sampler, self.worst, self.points, self.early_layer)

    def below(self, num: int) -> str:
        """What a caption says of the first `num` images, see `under_threshold`."""
        return under_threshold(self.worst[:num], self.affected[:num])


def side_of(layer: str) -> int:
    """Px of a layer's maps, by its name: `8x8/1` -> 8."""
    return int(layer.partition("x")[0])


def layer_at(layers: Sequence[str], size: int, position: int = 0) -> str:
    """The first (0) or last (-1) layer of the largest size up to `size`; of the smallest if none.

    `layers` run from input to output.
    """
    sides = sorted({side_of(layer) for layer in layers})
    chosen = max((side for side in sides if side <= size), default=sides[0])
    return [layer for layer in layers if side_of(layer) == chosen][position]


def noise_words(sampler: Sampler) -> str:
    """What a caption says of noise: that nothing in the figure is due to it, and why."""
    if not takes_noise(sampler.generator):
        return "a generator without noise"
    if sampler.noise == "fixed":
        return "fixed noise: each layer's own plane in all pictures"
    return "noise drawn for each latent, the same in all its pictures"


def under_threshold(indices: Sequence[int], affected: Sequence[bool]) -> str:
    """What a caption says of shown images that the detector does not call affected, if any."""
    below = [str(i) for i, hit in zip(indices, affected, strict=True) if not hit]
    if not below:
        return ""
    if len(below) == len(indices):
        return "; no image shown is over the detector's threshold: these are the nearest to it"
    return f"; under the detector's threshold: {', '.join(below)}"
