"""What a checkpoint must hold besides weights so that a resumed run is the same run."""

import random
from typing import Any

import numpy as np
import torch
from torch import distributed

from ganlab import __version__
from ganlab.nn.randomness import derived_seed
from ganlab.systems.optimizers import renew_settings
from ganlab.systems.tally import Tally

FORMAT = 1  # of checkpoints; raise when an older program would read a newer file wrongly
COUNTERS = ("images_seen", "steps", "images_at_ema")


class Run:
    """What a checkpoint keeps of a run, and what a resume takes back."""

    images_seen: int  # real images shown so far, over all ranks: the clock
    images_before: int  # the clock at the start of the current batch
    steps: int
    images_at_ema: int  # the clock when the averages last followed
    tally: Tally
    recipe: dict[str, Any]  # the resolved config
    seed: int
    kimg: float  # length of the run in thousands of images
    mid_step: bool  # True while weights are between two consistent states
    mid_tick: bool  # True from a step's end until every callback has answered it
    open_tick: int | None  # of a resumed run: the clock before an unanswered step
    exact_resume: bool  # refuse to continue on other data or another number of processes
    pending_random_state: list[dict[str, Any]] | None  # one a rank; [] = a fresh run
    trainer: Any
    device: Any
    configure_optimizers: Any


def random_state(device: torch.device) -> dict[str, Any]:
    """This process's random states as tensors and integers, readable under `weights_only`.

    Of accelerators, that of its own: others may not be there when the run goes on.
    """
    numpy_state: Any = np.random.get_state()  # noqa: NPY002 (the global stream is the one to keep)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": [torch.from_numpy(numpy_state[1].astype(np.int64)), *map(float, numpy_state[2:])],
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Undo time: continue this process's random streams where `random_state` read them.

    A run that moved from an accelerator to a CPU, or back, has no stream of that kind to continue.
    """
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and isinstance(state["cuda"], torch.Tensor):
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    keys, position, has_gauss, cached = state["numpy"]
    words = keys.numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, int(position), int(has_gauss), cached))  # noqa: NPY002
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def gathered(value: Any) -> list[Any]:
    """`value` of every rank, in rank order."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def run_state(system: Run) -> dict[str, Any]:
    """Recipe, clock, counters, curve in progress, sampler position, random state of every rank."""
    return {
        "format": FORMAT,
        "version": __version__,
        "recipe": system.recipe,
        "counters": {name: getattr(system, name) for name in COUNTERS},
        "images_seen": system.images_seen,
        "tally": gathered(system.tally.state_dict()),
        # Every image drawn is seen exactly once; the data's content says what a position means.
        "sampler": {"position": system.images_seen, "content": data_content(system)},
        "random": gathered(random_state(system.device)),
        "moments": [len(optimizer.state) for optimizer in system.trainer.optimizers],
        "open_tick": system.images_before if system.mid_tick else None,
    }


def data_content(system: Run) -> str | None:
    """Hash of the images a run is trained on; None outside a datamodule of ours."""
    content: str | None = getattr(getattr(system.trainer, "datamodule", None), "content_key", None)
    return content


def restore_counters(system: Run, checkpoint: dict[str, Any]) -> None:
    """Set the clock, the counters, the tally and the data position.

    Of a forced resume, also the optimizers' settings, in the checkpoint, from which Lightning
    restores them next: those of the present config.
    """
    for name in COUNTERS:
        setattr(system, name, checkpoint["counters"][name])
    system.images_before = system.images_seen
    tallies, rank = checkpoint["tally"], system.trainer.global_rank
    system.tally.load_state_dict(tallies[min(rank, len(tallies) - 1)], system.device)
    system.pending_random_state = checkpoint["random"]
    system.open_tick = checkpoint["open_tick"]
    saved = checkpoint["sampler"]["content"]
    if system.exact_resume and saved is not None and saved != data_content(system):
        raise ValueError(
            "the data is not what this run was trained on (other images, labels or "
            "preprocessing): restore it, or say resume=force"
        )
    if not system.exact_resume:  # a changed recipe holds from here on, its rates too
        fresh: Any = system.configure_optimizers()
        renew_settings(
            checkpoint["optimizer_states"], fresh if isinstance(fresh, list) else [fresh]
        )
    datamodule = getattr(system.trainer, "datamodule", None)
    if datamodule is not None:
        datamodule.position = checkpoint["sampler"]["position"]


def restore_random_state(system: Run, states: list[dict[str, Any]]) -> None:
    """Continue every rank's own stream; a fresh run gives each rank an unrelated one.

    Raises:
        ValueError: the checkpoint was written by another number of processes.
    """
    rank, world = system.trainer.global_rank, system.trainer.world_size
    if not states:
        seed = derived_seed("rank", system.seed, rank)
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (a user's augmentation may draw from it)
    elif len(states) != world and not system.exact_resume:
        torch.manual_seed(derived_seed("rank", system.seed, rank, system.images_seen))
    elif len(states) != world:
        raise ValueError(
            f"the checkpoint was written by {len(states)} processes and this run has {world}; "
            "set trainer.devices to match, or resume=force to go on inexactly"
        )
    else:
        set_random_state(states[rank], system.device)
