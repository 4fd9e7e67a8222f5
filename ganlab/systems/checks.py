"""What a system refuses before it starts, by the names of the keys."""

from itertools import combinations
from typing import TYPE_CHECKING

from ganlab.losses.penalties import check_strength
from ganlab.systems.growth import check_growth

if TYPE_CHECKING:
    from ganlab.systems.gan import GAN


def check_settings(system: "GAN") -> None:
    """Refuse steps, intervals, mixing or growth that the networks or penalties cannot have.

    Raises:
        ValueError: names the key.
    """
    if system.critic_steps < 1:
        raise ValueError(f"model.critic_steps must be at least 1, got {system.critic_steps}")
    kinds = ("penalties", "generator_penalties", "image_penalties")
    for one, other in combinations(kinds, 2):
        if both := sorted(getattr(system, one).keys() & getattr(system, other).keys()):
            raise ValueError(f"model.{one} and model.{other} share {both}")
    for kind in kinds:
        for name, penalty in getattr(system, kind).items():
            weight = getattr(penalty, "keywords", {}).get("weight", 0)
            check_strength(f"model.{kind}.{name}.weight", weight)
    unknown = sorted(set(system.intervals) - {*system.penalties, *system.generator_penalties})
    if unknown:
        raise ValueError(f"model.intervals names no penalty of model.penalties: {unknown}")
    for name, every in system.intervals.items():
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(
                f"model.intervals.{name} must be a whole number of steps, at least 1, got {every}; "
                f"to do without the penalty: ~model.penalties.{name} ~model.intervals.{name}"
            )
    probability = system.mixing_probability
    if not 0 <= probability <= 1:
        raise ValueError(f"model.mixing_probability must be from 0.0 to 1.0, got {probability}")
    if probability and not hasattr(system.generator, "map"):
        raise ValueError(
            f"model.mixing_probability={probability} needs a generator with styles; set it to 0.0"
        )
    if system.growth is not None:
        check_growth(system.growth, system.networks())


def check_precision(precision: str, penalties: list[str]) -> None:
    """Refuse half precision where a penalty needs a second derivative.

    Raises:
        ValueError: names the penalties.
    """
    if penalties and precision.startswith("16"):
        raise ValueError(
            f"trainer.precision={precision} overflows in the penalties {', '.join(penalties)}; "
            "use bf16-mixed or 32-true"
        )
