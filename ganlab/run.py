"""The two things a user does: train a recipe, evaluate a checkpoint. A config in, a dict out."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from lightning import Callback, LightningDataModule, Trainer
from omegaconf import DictConfig, open_dict

from ganlab.callbacks.agreement import SameConfig
from ganlab.callbacks.curves import CurvesCut
from ganlab.checks.ranges import text_of
from ganlab.cli import conf_dir, nearest, register_resolvers
from ganlab.config import ConfigError, Settings, build
from ganlab.data import ImageData
from ganlab.hydra_versions import BASE
from ganlab.loggers import finish as end_loggers
from ganlab.loggers import show_scores
from ganlab.metrics import Suite
from ganlab.networks.base import Generator
from ganlab.report.images import showing
from ganlab.runs.admission import refuse_damaged, refuse_too_large, refuse_unfitting
from ganlab.runs.classes import count_classes
from ganlab.runs.comparison import build_data
from ganlab.runs.directory import make_directory, result_of
from ganlab.runs.directory_watch import DirectoryWatch
from ganlab.runs.fake_images import stored_images
from ganlab.runs.fine_tuning import resume_words, take_networks
from ganlab.runs.kinds import of_kind
from ganlab.runs.locks import is_lost
from ganlab.runs.outcome import (
    again_later,
    conclude,
    concluding,
    ended_early,
    how_to_resume,
    interruptible,
    is_finished,
    mend_last,
    refusals_kept,
    stopping,
)
from ganlab.runs.parts import Parts
from ganlab.runs.provenance import config_hash, provenance
from ganlab.runs.recipes import (
    build_system,
    check_beginning,
    check_config,
    check_resume,
    open_checkpoint,
    rebuild_system,
    refuse_other_networks,
    with_saved_defaults,
    without_reals,
)
from ganlab.runs.saved_options import additions, records_of
from ganlab.scoring.reals import precompute
from ganlab.studies import Question, Study
from ganlab.systems.checkpoint import Checkpointing, load_checkpoint
from ganlab.systems.checkpoint_io import CheckpointWriter
from ganlab.systems.divergence import at_the_end
from ganlab.systems.early_stopping import Patience
from ganlab.systems.ranks import Watch, lost_ranks_named
from ganlab.systems.scorer import Scorer
from ganlab.systems.system import System
from ganlab.systems.trainer import quieten
from ganlab.systems.training import Training


@refusals_kept("train")
def train(config: DictConfig) -> Settings:
    """Train what the config describes, or resume `config.ckpt`; leave everything in `run_dir`.

    Returns:
        The content of `result.json`, with `exit_code` (0, or 128 + the signal that stopped it).

    Raises:
        ConfigError: a key, value or target that cannot be, or a resume with a changed recipe.
        CheckpointError: `ckpt` is missing or no checkpoint of ours.
    """
    quieten()
    settings = check_config(count_classes(config), "train")
    checkpoint = load_checkpoint(settings["ckpt"]) if settings["ckpt"] else None
    forced = settings["resume"] == "force"
    if checkpoint is not None:
        refuse_damaged(checkpoint, settings)
        if not forced:
            check_resume(checkpoint, settings)
        older = result_of(Path(settings["run_dir"]))
        if is_finished(checkpoint, settings, older):
            if older["images_seen"] == checkpoint["images_seen"]:
                mend_last(Path(settings["ckpt"]))
            return older | {"exit_code": 0}
    refuse_too_large(settings)
    system = system_to_train(settings, checkpoint)
    callbacks = [*build_all(settings, "callbacks"), *scores_of(settings)]
    preflight(callbacks)
    system.conditioner.preflight()
    parts = Parts(settings)
    checkpointing = checkpointing_of(settings, parts)
    begins_at = checkpoint["images_seen"] if checkpoint else 0
    observers = [DirectoryWatch(settings["run_dir"]), CurvesCut(), *callbacks, parts, checkpointing]
    trainer = build_trainer(settings, observers, begins_at)
    if checkpoint is not None:
        refuse_unfitting(checkpoint, settings, system, trainer)
    datamodule = build_data(settings)
    with (
        showing(settings["data"].get("show")),
        recorded_run(settings, trainer, system, callbacks, checkpointing, parts) as outcome,
        interruptible(),
    ):
        outcome |= sources(system, datamodule)
        hand_over(trainer, settings["ckpt"], checkpoint)
        with lost_ranks_named(trainer):
            trainer.fit(
                system, datamodule=datamodule, ckpt_path=settings["ckpt"], weights_only=True
            )
    return outcome


@refusals_kept("evaluate")
def evaluate(config: DictConfig) -> Settings:
    """Run `config.study` on the averaged generator of `config.ckpt`, rebuilt from the file alone.

    With `config.fake` in its place, score the images there.

    Returns:
        The content of `result.json`.

    Raises:
        ConfigError: a key, value or target that cannot be.
        CheckpointError: `ckpt` is missing or no checkpoint of ours.
    """
    quieten()
    system, config = system_to_evaluate(config)
    settings = check_config(config, "evaluate")
    study = build_study(settings)
    preflight([study])
    relabel(settings)
    trainer = build_trainer(settings, [DirectoryWatch(settings["run_dir"]), study])
    datamodule = build_data(settings)
    if isinstance(datamodule, ImageData) and isinstance(study, Study) and not study.scores:
        datamodule.defer()  # a checkpoint paints where its training images are not
    with (
        showing(settings["data"].get("show")),
        recorded_run(settings, trainer, system, [study]) as outcome,
        interruptible(),
    ):
        outcome |= sources(system, datamodule)
        with lost_ranks_named(trainer):
            trainer.test(system, datamodule=datamodule, verbose=False)
    return outcome


def system_to_evaluate(config: DictConfig) -> tuple[System, DictConfig]:
    """The system of `ckpt=` or of `fake=`, and the config with what these say of it.

    Raises:
        ConfigError: see `recipes.check_beginning` and `fake_images.stored_images`.
        CheckpointError: see `open_checkpoint`.
    """
    check_beginning(config)
    if config.get("fake") is not None:
        return stored_images(config)
    checkpoint = open_checkpoint(config.ckpt)
    system: System = rebuild_system(
        checkpoint, list(config.allow_targets), additions(config.get("model"))
    )
    return system, without_reals(with_saved_defaults(config, system.recipe), config.ckpt)


def statistics(config: DictConfig) -> tuple[Path, bool]:
    """Compute the statistics of the reals that a training of this config would score against.

    Returns:
        The file they are in, and whether it was there already.

    Raises:
        ConfigError: a key, value or target that cannot be, or nothing to score with.
    """
    quieten()
    settings = check_config(count_classes(config), "train")
    reals = [each.scoring.reals for each in scores_of(settings) if each.scoring.reals is not None]
    if not reals:
        raise ConfigError("scores=null leaves nothing to compute statistics for")
    data = build_data(settings)
    trainer = build(settings["trainer"], "trainer", settings["allow_targets"])
    return precompute(reals[0], data, trainer.strategy.root_device)


def generator_of(ckpt: str | Path, allow_targets: Sequence[str] = ()) -> Generator:
    """The averaged generator of a checkpoint (a file, or `faces`), for a notebook.

    `allow_targets` names packages besides ours that its recipe may build from.

    Raises:
        ConfigError: the checkpoint's recipe names what it may not.
        CheckpointError: `ckpt` is missing or of no known kind.
    """
    generator: Generator = rebuild_system(open_checkpoint(ckpt), list(allow_targets)).generator_ema
    return generator


def recipe(name: str, *overrides: str) -> System:
    """A model as its config makes it, for a notebook: `recipe("dcgan", "data.resolution=64")`.

    Raises:
        ConfigError: a key, value or target that cannot be.
    """
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), **BASE):
        config = compose("train", [f"model={name}", "callbacks=none", "logger=csv", *overrides])
    with open_dict(config):
        config.run_dir = "outputs"
    system: System = build_system(check_config(count_classes(config), "train"))
    return system


def data_of(system: System, allow_targets: Sequence[str] = ()) -> LightningDataModule:
    """The images that the recipe of a system names, for a notebook."""
    return build_data({"data": system.recipe["data"], "allow_targets": list(allow_targets)})


def suite_of(system: System, allow_targets: Sequence[str] = ()) -> Suite:
    """The scores that the recipe of a system names, for a notebook."""
    suite: Suite = build(system.recipe["metrics"], "metrics", list(allow_targets))
    return suite


def checkpointing_of(settings: Settings, parts: Parts) -> Checkpointing:
    """What writes a run's checkpoints and answers what stops it; `parts` hears of each file."""
    home = Path(settings["run_dir"])
    return Checkpointing(
        home / "checkpoints",
        settings["checkpoint_every_kimg"],
        parts.update,
        partial(is_lost, home),
        settings["keep_every_kimg"],
        settings["max_hours"],
    )


def system_to_train(settings: Settings, checkpoint: Settings | None) -> Any:
    """The system of a config, with the networks of `init=` where it begins from a file.

    Raises:
        ConfigError: the networks are not those of the checkpoint, or of the file.
    """
    system = build_system(settings)
    if checkpoint is None:
        take_networks(system, settings["init"])
    else:
        refuse_other_networks(checkpoint, system)
        if begun := records_of(checkpoint["recipe"].get("begun_from")):
            system.recipe["begun_from"] = begun
    system.exact_resume = settings["resume"] != "force"
    system.patience = Patience(**settings["stop"])
    return system


def hand_over(trainer: Trainer, ckpt: str | None, checkpoint: Settings | None) -> None:
    """Let Lightning take up what was read and checked here, instead of the file once more."""
    if checkpoint is not None:
        writer = trainer.strategy.checkpoint_io
        assert isinstance(writer, CheckpointWriter)  # `make_trainer` gave it
        writer.opened[str(ckpt)] = checkpoint


@contextmanager
def recorded_run(
    settings: Settings,
    trainer: Trainer,
    system: System,
    callbacks: Sequence[Callback],
    checkpointing: Checkpointing | None = None,  # of a training run
    parts: Parts | None = None,  # of a training run
) -> Iterator[Settings]:
    """Yield the outcome to be; at the end, however it comes, complete and write it."""
    started, kind = time.monotonic(), "evaluate" if checkpointing is None else "train"
    outcome = Settings({"status": "failed", "exit_code": 0}) | provenance(settings, kind)
    try:
        yield outcome
        outcome["status"] = "done"
    except BaseException as error:
        outcome |= {"error": f"{type(error).__name__}: {error}", "exit_code": 1}
        if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
            outcome |= {"status": "interrupted", "exit_code": error.code}
        stopped = checkpointing is not None and checkpointing.signal is not None
        if checkpointing is None or not stopped or checkpointing.lost(system.images_seen):
            raise
    finally:
        with concluding():
            if checkpointing is not None:
                outcome |= stopping(checkpointing, system, outcome["status"])
            outcome["seconds"] = time.monotonic() - started
            outcome["images_seen"] = system.images_seen
            if trainer.is_global_zero and not is_lost(Path(settings["run_dir"])):
                if parts is not None:
                    outcome |= at_the_end(cast(Training, system))
                    outcome |= ended_early(cast(Training, system))
                    outcome |= parts.close(system.images_seen, outcome["status"])
                conclude(settings, outcome, callbacks, None if parts is None else parts.trained)
                show_scores(trainer.loggers, outcome["scores"])
            end_loggers(trainer.loggers, 1 if outcome["status"] == "failed" else 0)
            if trainer.is_global_zero:
                again_later(outcome, checkpointing)


def build_study(settings: Settings) -> Study:
    """The study; one that takes an `opener` is told how to open other checkpoints."""
    node, extra = settings["study"], settings["allow_targets"]
    offered = {"opener": partial(generator_of, allow_targets=extra)}
    built: Study | Question = build(node, "study", extra, offered)
    study = Study(built) if isinstance(built, Question) else built
    if study.scoring.suite is not None and node.get("suite") != settings["metrics"]:
        study.scoring.suite.key = "study.suite"  # it asks for images of its own
    return study


def sources(system: System, datamodule: LightningDataModule) -> Settings:
    """Where a generator trained elsewhere and images drawn from a generator come from."""
    source, choices = system.recipe.get("source"), system.recipe.get("choices") or {}
    found = {
        "model": source["name"] if source else choices.get("model"),
        "source": source,
        "begun_from": system.recipe.get("begun_from"),
        "data_source": datamodule.origin if isinstance(datamodule, ImageData) else None,
    }
    return {key: value for key, value in found.items() if value}


def relabel(settings: Settings) -> None:
    """Tell a tracker that this run is an evaluation."""
    for node in (settings.get("logger") or {}).values():
        if node.get("job_type") == "train":
            node["job_type"] = "evaluate"


def build_all(settings: Settings, group: str) -> list[Any]:
    """Build each entry of a group that maps names to targets.

    Raises:
        ConfigError: an entry that names no target, or see `config.check`.
    """
    nodes = {name: node for name, node in (settings.get(group) or {}).items() if node}
    for name, node in nodes.items():
        if not isinstance(node, dict):
            raise ConfigError(f"{group}.{name}={text_of(node)} should be a mapping with a _target_")
        if "_target_" not in node:
            raise ConfigError(f"{group}.{name} has no _target_{nearest(name, nodes)}")
        if node.get("_partial_"):
            raise ConfigError(f"{group}.{name}._partial_ would leave it unbuilt: leave that out")
    built = {name: build(node, group, settings["allow_targets"]) for name, node in nodes.items()}
    return [of_kind(each, f"{group}.{name}") for name, each in built.items()]


def scores_of(settings: Settings) -> list[Any]:
    """The scoring callback, unless `scores=null`."""
    node = settings["scores"]
    return [of_kind(build(node, "scores", settings["allow_targets"]), "scores")] if node else []


def preflight(callbacks: Sequence[Callback]) -> None:
    """Ask what scores for what it will need, before hours are spent without it."""
    for callback in callbacks:
        if isinstance(callback, Scorer):
            callback.preflight()


def build_trainer(settings: Settings, callbacks: list[Callback], begins_at: int = 0) -> Trainer:
    """The trainer with its callbacks and loggers, loggers told the config.

    All ranks must begin at the same number of images.
    """
    make_directory(Path(settings["run_dir"]))
    loggers = build_all(settings, "logger")
    for logger in loggers:
        logger.log_hyperparams(settings)
    last = next((each.last for each in callbacks if isinstance(each, Checkpointing)), None)
    watch = Watch(partial(how_to_resume, last))
    same = SameConfig(f"{config_hash(settings)} from {begins_at} images on")
    callbacks = [same, watch, *callbacks]
    given = {"callbacks": callbacks, "loggers": loggers, "directory": settings["run_dir"]}
    trainer: Trainer = build(settings["trainer"], "trainer", settings["allow_targets"], **given)
    return trainer


__all__ = ["data_of", "evaluate", "generator_of", "recipe"]
__all__ += ["resume_words", "statistics", "suite_of", "train"]
