"""What moves along the clock besides the learning rates, each by a schedule of its own.

A schedule gives the share of what is configured: of a penalty's strength, by the penalty's name; of
the second beta of both Adams, `beta2`; of the average's half-life, `ema`; of the probability that
an image is changed, `augment`. Huang et al. 2024 (arXiv:2501.05441), appendix D, anneal all of them
and the rates, so that a run begins smoothly.
"""

from collections.abc import Collection, Iterable, Mapping

from torch.optim import Optimizer

from ganlab.systems.augment import ADA, Augmentation
from ganlab.systems.optimizers import RATE_SHARE
from ganlab.systems.schedules import Schedule

KEY = "model.annealing"
OTHERS = ("beta2", "ema", "augment")  # besides penalties


def check_annealing(
    schedules: Mapping[str, Schedule], penalties: Collection[str], augment: Augmentation | None
) -> None:
    """Refuse a schedule of nothing.

    Raises:
        ValueError: names the key.
    """
    known = [*penalties, *OTHERS]
    if unknown := sorted(set(schedules) - set(known)):
        raise ValueError(
            f"{KEY}.{unknown[0]} is of nothing here; there are {', '.join(known)}, and no penalty "
            "of model.penalties besides"
        )
    if "augment" in schedules and not (isinstance(augment, ADA) and not augment.adapts):
        raise ValueError(
            f"{KEY}.augment needs a fixed probability: model/augment=ada model.augment.p=0.3"
        )


def set_beta2(optimizers: Iterable[Optimizer], share: float) -> None:
    """Set the second beta of every group to a share of the one that it was made with.

    Raises:
        ValueError: an optimizer without betas.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if "betas" not in group:
                raise ValueError(f"{KEY}.beta2: {type(optimizer).__name__} has no betas")
            beta1, beta2 = group.setdefault("initial_betas", group["betas"])
            # Of lazy Adam beta ** c is taken (`optimizers.lazy_adam`), and so its share ** c.
            group["betas"] = (beta1, beta2 * share ** optimizer.defaults.get(RATE_SHARE, 1.0))
