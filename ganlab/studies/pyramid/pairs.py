"""Fakes of a semantic pyramid beside their references, level by level, for people to judge.

Shocher et al. 2020, section 4.1 and table 2: 75 images a level; `paired` shows a fake beside the
reference whose features it was painted from, `unpaired` beside another one.
"""

from collections.abc import Sequence
from typing import Any

from ganlab.report import images
from ganlab.studies.people.trials import Level
from ganlab.studies.pyramid.edits import samples
from ganlab.studies.stored import random_positions, stored_images


def pyramid_levels(
    system: Any,  # with a pyramid's conditioner
    data: Any,  # module whose images are the references
    levels: Sequence[str],  # names of stages
    num: int,  # references of each level
    seed: int,  # of the references and the latents
    batch_size: int = 100,
) -> list[Level]:
    """For each level `num` fakes and, in the same order, their references.

    Every level has references of its own, chosen at random by key: who saw an image once would
    know it again beside another fake.

    Raises:
        ValueError: more references than there are images.
    """

    def level_of(name: str) -> Level:
        positions = random_positions(len(data.dataset), num, "judged", name, seed)

        def told(addresses: Sequence[int]) -> Any:
            chosen = stored_images(data, [positions[i] for i in addresses], system.device)
            return system.conditioner.condition(chosen.image, name)

        fakes = samples(
            system.generator_ema, told, range(num), seed, None, batch_size, system.device
        )
        references = stored_images(data, positions, system.device).image
        return Level(name, images.cells(fakes), images.cells(references))

    return [level_of(name) for name in levels]
