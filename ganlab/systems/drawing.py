"""How a training step draws images: latents, mixed styles and fresh noise, all by key."""

from dataclasses import dataclass

from torch import Tensor

from ganlab.networks.base import Condition, Generator, Images, StyleGenerator
from ganlab.nn.style import mix
from ganlab.systems.randomness import StepRandomness, fresh_noise


@dataclass(frozen=True)
class Draw:
    """One generator pass: what went in, what stood between, what came out."""

    latents: Tensor  # (N, Z)
    images: Images
    styles: Tensor | None = None  # (N, L, W) in style generators, after mixing
    mean_style: Tensor | None = None  # (1, L, W), of the styles before mixing


@dataclass(frozen=True)
class Drawing:
    """Draws for one step from one generator; every purpose has latents and noise of its own."""

    generator: Generator
    randomness: StepRandomness
    mixing_probability: float = 0.0  # share of samples made from the styles of two latents

    def latents(self, purpose: str, n: int) -> Tensor:
        """(n, Z): this rank's rows of the latents that (seed, images_seen, purpose) address."""
        return self.randomness.latents(self.generator, purpose, n)

    def images(self, purpose: str, n: int, condition: Condition | None) -> Draw:
        """n images of this rank."""
        latents, network = self.latents(purpose, n), self.generator
        with fresh_noise(network, self.randomness, purpose):
            if not isinstance(network, StyleGenerator):
                return Draw(latents, network(latents, condition))
            styles = network.map(latents, condition)
            mean = styles.detach().mean(dim=0, keepdim=True)
            styles = self.mixed(styles, purpose, condition)
            return Draw(latents, network.synthesize(styles, noise="random"), styles, mean)

    def styles(self, purpose: str, n: int, condition: Condition | None) -> Tensor:
        """What n images would be made of: mixed styles, (n, L, W), or the latents themselves."""
        latents = self.latents(purpose, n)
        if not isinstance(self.generator, StyleGenerator):
            return latents
        return self.mixed(self.generator.map(latents, condition), purpose, condition)

    def mixed(self, styles: Tensor, purpose: str, condition: Condition | None) -> Tensor:
        """(N, L, W) styles, some of which continue with a second latent's from a random layer on.

        Karras et al. 2019 (arXiv:1812.04948), section 3.1; layers of the present stage only.
        """
        network, n, probability = self.generator, len(styles), self.mixing_probability
        if not probability or not isinstance(network, StyleGenerator):
            return styles
        crossover = self.randomness.crossovers(purpose, n, network.active_styles, probability)
        other = self.latents(f"{purpose}/mixing", n)
        return mix(styles, network.map(other, condition), crossover)
