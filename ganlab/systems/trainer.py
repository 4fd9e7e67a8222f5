"""A Lightning trainer with the settings that adversarial training needs."""

import logging
import warnings

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from ganlab.systems.channels_last import ChannelsLast
from ganlab.systems.checkpoint_io import CheckpointWriter
from ganlab.systems.rendezvous import Ranks, strategy_of
from ganlab.systems.speed import Speed


def make_trainer(
    accelerator: str = "auto",
    devices: int | str | list[int] = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",  # 32-true or bf16-mixed
    deterministic: bool | str = False,  # true = refuse operations without a deterministic version
    benchmark: bool | None = None,  # let cudnn time its algorithms; off while shapes change
    channels_last: bool = False,  # layout of convolutions: faster where bf16 has matrix units
    tf32: bool = False,  # on GPUs, factors of float32 products are rounded to 10 bits in training
    fused: bool = False,  # Adam's step is one kernel
    compile: str | None = None,  # backend of torch.compile for blocks that need no gradients
    resident_mb: float = 0.0,  # images up to this size lie on the device as bytes; 0.0 = none
    callbacks: list[Callback] | None = None,
    loggers: list[Logger] | None = None,
    directory: str | None = None,  # where Lightning may write
) -> Trainer:
    """Build it: no epochs, no step limit, no sampler, bar, checkpoint or log cadence of its own.

    Raises:
        ValueError: there is no such accelerator here, weights would not be stored in single
            precision, or several processes would not train one network; says what would do.
    """
    quieten()
    refuse_absent(accelerator)
    refuse_stored(precision)
    speed = Speed(tf32, fused, compile, resident_mb)
    callbacks = [*(callbacks or []), *([ChannelsLast()] if channels_last else []), speed]
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy_of(strategy),
        precision=precision,  # type: ignore[arg-type]
        deterministic=deterministic,  # type: ignore[arg-type]
        benchmark=benchmark,
        callbacks=callbacks,
        plugins=[CheckpointWriter()],
        logger=loggers or False,
        default_root_dir=directory,
        max_epochs=-1,  # the system stops the run by its clock
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,  # ImageStream shards by rank itself
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(each, Checkpoint) for each in callbacks),
        inference_mode=False,  # guided backpropagation and path lengths need gradients
    )
    refuse_others(trainer, strategy)
    trainer._signal_connector = NoSignals(trainer)
    trainer._checkpoint_connector = NamedCheckpoints(trainer)
    return trainer


def refuse_absent(accelerator: str) -> None:
    """Refuse a GPU where torch sees none.

    Raises:
        ValueError: names the key and the way that works here.
    """
    there = torch.cuda.is_available() or torch.backends.mps.is_available()
    if accelerator in ("gpu", "cuda") and not there:
        raise ValueError(
            f"trainer.accelerator={accelerator} (trainer=gpu), and torch {torch.__version__} sees "
            "no GPU here: trainer=cpu works without one"
        )


def refuse_stored(precision: str) -> None:
    """Refuse to store weights and images in another precision than single.

    Raises:
        ValueError: names the key and what it takes.
    """
    if str(precision).endswith("true") and precision != "32-true":
        raise ValueError(
            f"trainer.precision={precision} would store weights and images so, and here they are "
            "in single precision: 32-true, or bf16-mixed for half the bits in convolutions"
        )


def refuse_others(trainer: Trainer, strategy: str) -> None:
    """Refuse several processes whose gradients the system does not average.

    Raises:
        ValueError: names the key and the strategy that does.
    """
    if trainer.world_size > 1 and not isinstance(trainer.strategy, Ranks):
        raise ValueError(
            f"trainer.strategy={strategy} trains no network in {trainer.world_size} processes: "
            "trainer.strategy=ddp does (trainer=ddp, trainer=gpus)"
        )


class NoSignals(_SignalConnector):
    """Leaves signals to `Checkpointing` and `outcome.interruptible`.

    Lightning's answer to SIGUSR1 under SLURM is a checkpoint of its own, perhaps in mid-step, and
    its answer to SIGTERM a collective inside the handler, in which ranks may wait for each other.
    """

    def register_signal_handlers(self) -> None:
        """Register none."""


class NamedCheckpoints(_CheckpointConnector):
    """Opens the checkpoint it is told to, never one that it finds beside the run under SLURM."""

    @property
    def _hpc_resume_path(self) -> None:
        return None


def quieten() -> None:
    """Silence Lightning's hints that do not apply to an endless, self-sharded, clocked loop."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for pattern in ALIENS:
        warnings.filterwarnings("ignore", message=pattern)


ALIENS = (
    r".*does not have many workers.*",
    r".*your dataloader is not resumable.*",
    r".*`IterableDataset` has `__len__` defined.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*`max_epochs` was not set.*",
    r".*Found .* module\(s\) in eval mode at the start of training.*",
    r".*treespec.*LeafSpec.*",
    r".*trainer already configured with model summary.*",
)
