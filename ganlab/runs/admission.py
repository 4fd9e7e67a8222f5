"""Whether a training may begin: it has the memory, and the checkpoint it goes on from is whole."""

from lightning import Trainer

from ganlab.config import ConfigError, Settings
from ganlab.data.sampler import local_batch
from ganlab.runs.recipes import sketch_system
from ganlab.systems.accumulation import check_parts
from ganlab.systems.checkpoint import CheckpointError
from ganlab.systems.compatibility import unfitting
from ganlab.systems.gan import GAN
from ganlab.systems.growth import batches_of
from ganlab.systems.memory import GIB, available, bytes_needed
from ganlab.systems.schema import RUN, complaint
from ganlab.systems.training import Training


def refuse_too_large(settings: Settings) -> None:
    """Refuse a training of what is not trained here, or without the memory it takes at the least.

    Raises:
        ConfigError: says what can be trained, or how much memory it is and which keys to lower.
        ValueError: a batch that the processes cannot share equally, or not in equal parts.
    """
    trainer, batch = settings["trainer"], settings["data"]["batch_size"]
    devices = trainer.get("devices")
    here = len(devices) if isinstance(devices, list) else devices if isinstance(devices, int) else 1
    world = max(here, 1) * trainer.get("num_nodes", 1)
    share = local_batch(batch, world)
    system = sketch_system(settings["model"], settings["allow_targets"])
    if not isinstance(system, Training):
        raise ConfigError(
            f"model of {settings['model']['generator']['_target_']} makes images and is not "
            "trained here: open a trained one with evaluate.py ckpt=<file>, or choose another model"
        )
    if isinstance(system, GAN) and system.accumulate > 1:
        batches = batches_of(system.growth, batch)
        check_parts(system.networks(), batches, world, system.accumulate)
    wanted = bytes_needed(system, share, "16" in str(trainer.get("precision")))
    if wanted > (there := available(str(trainer.get("accelerator")))):
        raise ConfigError(
            f"this training takes at least {wanted / GIB:,.0f} GiB of memory and there are "
            f"{there / GIB:,.0f}: lower data.batch_size={batch}, data.resolution, or the widths, "
            "latent_dim and hidden of model.generator and model.discriminator"
        )


def refuse_damaged(checkpoint: Settings, settings: Settings) -> None:
    """Refuse a checkpoint to go on from that lacks a field, or has one that cannot be.

    Raises:
        CheckpointError: names the file and the field.
    """
    if wrong := complaint(checkpoint, RUN):
        raise CheckpointError(f"ckpt={settings['ckpt']}: {wrong}")


def refuse_unfitting(
    checkpoint: Settings, settings: Settings, system: Training, trainer: Trainer
) -> None:
    """Refuse one whose parts this run's networks, optimizers and trainer cannot take.

    Raises:
        CheckpointError: names the file and the part.
    """
    if wrong := unfitting(checkpoint, system, trainer):
        raise CheckpointError(f"ckpt={settings['ckpt']}: {wrong}")
