"""The named terms of a step's losses: what stands in a config under a name, logged under it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganlab.networks.base import Condition, Images
from ganlab.systems.drawing import Draw, styles_of
from ganlab.systems.randomness import fresh_noise

if TYPE_CHECKING:
    from ganlab.systems.gan import GAN


def discriminator_penalty(
    system: "GAN", name: str, real: Images, fake: Images, condition: Condition | None
) -> Tensor:
    """One penalty of D in full precision: second derivatives do not survive autocast."""
    uniform = system.randomness.uniform("penalty", name)
    with torch.autocast(system.device.type, enabled=False):
        value = system.penalties[name](system.discriminator, real, fake, condition, uniform)
    system.tally.add(f"penalty/{name}", value)
    return value


def generator_penalty(system: "GAN", name: str, n: int, condition: Condition | None) -> Tensor:
    """One penalty of G on latents, mixing and noise of its own, in full precision."""
    latents, normal = system.draw_latents(name, n), system.randomness.normal("penalty", name)
    with (
        torch.autocast(system.device.type, enabled=False),
        fresh_noise(system.generator, system.randomness, name),
    ):
        styles = styles_of(system, latents, name, condition)
        value = system.generator_penalties[name](system.generator, styles, condition, normal)
    system.tally.add(f"penalty/{name}", value)
    return value


def image_penalty(system: "GAN", name: str, drawn: Draw, condition: Condition | None) -> Tensor:
    """One penalty on the images that G's loss was taken of, in full precision."""
    stages = getattr(system.conditioner, "stages", None)
    images = drawn.images[-1] if isinstance(drawn.images, list) else drawn.images
    with torch.autocast(system.device.type, enabled=False):
        value = system.image_penalties[name](images.float(), drawn.latents, condition, stages)
    system.tally.add(f"penalty/{name}", value)
    return value
