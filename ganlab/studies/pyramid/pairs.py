"""Fakes of a semantic pyramid beside their references, level by level, for people to judge.

Shocher et al. 2020, section 4.1 and table 2: 75 images a level; `paired` shows a fake beside the
reference whose features it was painted from, `unpaired` beside another one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ganlab.report import images
from ganlab.sampling import Sampler
from ganlab.studies.people.trials import Level
from ganlab.studies.stored import random_positions, stored_images


def pyramid_levels(
    sampler: Sampler,  # of a pyramid's averaged generator
    conditioner: Any,  # the pyramid's
    data: Any,  # module whose images are the references
    levels: Sequence[str],  # names of stages
    num: int,  # references of each level
) -> list[Level]:
    """For each level `num` fakes and, in the same order, their references.

    Every level has references of its own, chosen at random by key: who saw an image once would
    know it again beside another fake.

    Raises:
        ValueError: more references than there are images.
    """

    def level_of(name: str) -> Level:
        positions = random_positions(len(data.dataset), num, "judged", name, sampler.seed)

        def told(addresses: Sequence[int]) -> Any:
            chosen = stored_images(data, [positions[i] for i in addresses], sampler.place)
            return conditioner.condition(chosen.image, name)

        fakes = replace(sampler, condition_at=told).images(range(num))
        references = stored_images(data, positions, sampler.place).image
        return Level(name, images.cells(fakes), images.cells(references))

    return [level_of(name) for name in levels]
