"""Which layers the figures of artifacts look at, and what their captions must say."""

from collections.abc import Sequence

from ganlab.sampling import Sampler
from ganlab.studies.circles.maps import takes_noise


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
