"""One generator pass of a training step, with mixing and fresh noise where there are styles."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganlab.networks.base import Condition, Images
from ganlab.nn.ranks import mean_over_ranks
from ganlab.nn.style import mix
from ganlab.systems.randomness import fresh_noise

if TYPE_CHECKING:
    from ganlab.systems.gan import GAN


@dataclass(frozen=True)
class Draw:
    """One generator pass: what went in, what stood between, what came out."""

    latents: Tensor  # (N, Z)
    images: Images
    styles: Tensor | None = None  # (N, L, W) in style generators, after mixing


def draw(
    system: "GAN",
    purpose: str,  # of the pass: every purpose has latents and noise of its own
    n: int,  # images of this rank
    condition: Condition | None,
) -> Draw:
    """Latents to images; a style generator goes by way of its styles."""
    generator: Any = system.generator
    latents = system.draw_latents(purpose, n)
    with fresh_noise(generator, system.randomness, purpose):
        if not hasattr(generator, "map"):
            return Draw(latents, generator(latents, condition))
        styles = generator.map(latents, condition)
        if purpose == "generator":  # once a step, before mixing (Karras et al. 2019, appendix B)
            generator.update_mean_style(mean_over_ranks(styles.mean(dim=0, keepdim=True)))
        styles = mixed(system, styles, purpose, condition)
        return Draw(latents, generator.synthesize(styles, noise="random"), styles)


def styles_of(
    system: "GAN",
    latents: Tensor,  # (N, Z)
    purpose: str,
    condition: Condition | None,
) -> Tensor:
    """What the generator makes images of: mixed styles, (N, L, W), or the latents themselves."""
    generator: Any = system.generator
    if not hasattr(generator, "map"):
        return latents
    return mixed(system, generator.map(latents, condition), purpose, condition)


def mixed(
    system: "GAN",
    styles: Tensor,  # (N, L, W)
    purpose: str,
    condition: Condition | None,
) -> Tensor:
    """Styles of which some continue, from a random layer on, with those of a second latent.

    Mixing regularization: Karras et al. 2019 (arXiv:1812.04948), section 3.1. Only layers of the
    present stage count as places to cross over.
    """
    if not system.mixing_probability:
        return styles
    generator: Any = system.generator
    other = system.draw_latents(f"{purpose}/mixing", len(styles))
    count = getattr(generator, "active_styles", generator.num_styles)
    crossover = system.randomness.crossovers(purpose, len(styles), count, system.mixing_probability)
    return mix(styles, generator.map(other, condition), crossover)
