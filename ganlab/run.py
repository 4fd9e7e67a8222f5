"""The two things a user does: train a recipe, evaluate a checkpoint. A config in, a dict out."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, LightningModule
from omegaconf import DictConfig, OmegaConf, open_dict

from ganlab.cli import conf_dir, register_resolvers
from ganlab.config import (
    ConfigError,
    Settings,
    build,
    check,
    check_top_level,
    differences,
    resolved,
)
from ganlab.loggers import finish as end_loggers
from ganlab.provenance import config_hash, provenance
from ganlab.report.html import write_report
from ganlab.report.results import write_result
from ganlab.systems.checkpoint import Checkpointing, load_checkpoint
from ganlab.systems.trainer import quieten

RECIPE = ("model", "data", "features", "metrics", "seed")
# Keys that may change between a run and its continuation: they only move or lengthen it.
FREE = ("model.kimg", "data.path", "data.cache_dir", "data.memory_budget_mb")


def train(config: DictConfig) -> Settings:
    """Train what the config describes, or resume `config.ckpt`; leave everything in `run_dir`.

    Returns:
        The content of `result.json`, with `exit_code` (0, or 128 + the signal that stopped it).

    Raises:
        ConfigError: a key or target that cannot be, or a resume with a changed recipe.
        CheckpointError: `ckpt` is missing or no checkpoint of ours.
    """
    quieten()
    checkpoint = load_checkpoint(config.ckpt) if config.ckpt else None
    overrides = task_overrides()
    if checkpoint is not None:
        overrides = merged(checkpoint["recipe"].get("overrides", []), overrides)
        config = composed_again(config, overrides)
    settings = checked(config, "train")
    if checkpoint is not None and settings["resume"] != "force":
        refuse_changed_recipe(checkpoint["recipe"], settings)
    system = build_system(settings, overrides)
    callbacks = [*build_all(settings, "callbacks"), *scores_of(settings)]
    preflight(callbacks)
    checkpointing = Checkpointing(
        Path(settings["run_dir"]) / "checkpoints", settings["checkpoint_every_kimg"]
    )
    trainer = build_trainer(settings, [*callbacks, checkpointing])
    datamodule = build(settings["data"], settings["allow_targets"])
    started = time.monotonic()
    outcome: Settings = {"status": "failed"}
    try:
        trainer.fit(system, datamodule=datamodule, ckpt_path=settings["ckpt"], weights_only=True)
        stopped = checkpointing.signal is not None
        outcome = {"status": "interrupted" if stopped else "done"}
    except BaseException as error:
        outcome["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        outcome["exit_code"] = 128 + checkpointing.signal if checkpointing.signal else 0
        outcome["seconds"] = time.monotonic() - started
        outcome |= {"kind": "train", "images_seen": system.images_seen}
        if trainer.is_global_zero:
            finish(settings, outcome, callbacks, "train")
        end_loggers(trainer.loggers, 1 if outcome["status"] == "failed" else 0)
    if outcome["exit_code"] and trainer.is_global_zero:
        print(
            f"stopped at {system.images_seen / 1000:g} kimg; go on with ckpt={checkpointing.last}"
        )
    return outcome


def evaluate(config: DictConfig) -> Settings:
    """Run `config.study` on the averaged generator of `config.ckpt`, rebuilt from the file alone.

    Returns:
        The content of `result.json`.

    Raises:
        ConfigError: a key or target that cannot be.
        CheckpointError: `ckpt` is missing or no checkpoint of ours.
    """
    quieten()
    checkpoint = load_checkpoint(config.ckpt)
    settings = checked(with_saved_defaults(config, checkpoint["recipe"]), "evaluate")
    system = rebuilt(checkpoint, settings["allow_targets"])
    study: Callback = build(settings["study"], settings["allow_targets"])
    preflight([study])
    trainer = build_trainer(settings, [study])
    datamodule = build(settings["data"], settings["allow_targets"])
    started = time.monotonic()
    outcome: Settings = {"status": "failed", "exit_code": 0}
    try:
        trainer.test(system, datamodule=datamodule, verbose=False)
        outcome["status"] = "done"
    except BaseException as error:
        outcome["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        outcome["seconds"] = time.monotonic() - started
        outcome |= {"kind": "evaluate", "ckpt": str(config.ckpt), "images_seen": system.images_seen}
        if trainer.is_global_zero:
            finish(settings, outcome, [study], "evaluate")
        end_loggers(trainer.loggers, 1 if outcome["status"] == "failed" else 0)
    return outcome


def recipe(name: str, *overrides: str) -> LightningModule:
    """A model as its config makes it, for a notebook: `recipe("dcgan", "data.resolution=64")`.

    Raises:
        ConfigError: a key or target that cannot be.
    """
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", [f"model={name}", "callbacks=none", "logger=csv", *overrides])
    with open_dict(config):
        config.run_dir = "outputs"
        config.pop("hydra", None)
    return build_system(checked(config, "train"))


def checked(config: DictConfig, name: str) -> Settings:
    """Resolve a composed config and refuse what no constructor takes."""
    settings = resolved(config)
    check_top_level(settings, name)
    check(settings, settings["allow_targets"])
    return settings


def build_system(settings: Settings, overrides: list[str] | None = None) -> Any:
    """Seed, build the LightningModule, and tell it its recipe."""
    torch.manual_seed(settings["seed"])
    system = build(settings["model"], settings["allow_targets"])
    # Assigned: as an argument Hydra would build it.
    system.recipe = {key: settings[key] for key in RECIPE} | {"overrides": overrides or []}
    return system


def task_overrides() -> list[str]:
    """The command line's overrides; none outside Hydra's own run."""
    if not HydraConfig.initialized():
        return []
    return [str(override) for override in HydraConfig.get().overrides.task]


def rebuilt(checkpoint: Settings, extra: list[str]) -> Any:
    """The system a checkpoint describes, with its weights and clock, in evaluation mode."""
    system = build(checkpoint["recipe"]["model"], extra)
    system.load_state_dict(checkpoint["state_dict"])
    system.recipe = checkpoint["recipe"]
    system.images_seen = checkpoint["images_seen"]
    return system.eval()


def merged(saved: list[str], now: list[str]) -> list[str]:
    """The overrides a run was started with and today's, which take precedence."""

    def key(override: str) -> str:
        return override.lstrip("+~").split("=")[0]

    said = {key(override) for override in now} | {"ckpt", "resume"}
    return [override for override in saved if key(override) not in said] + now


def composed_again(config: DictConfig, overrides: list[str]) -> DictConfig:
    """The training config with these overrides, in the same directory."""
    if not HydraConfig.initialized():
        return config
    again = compose("train", overrides)
    with open_dict(again):
        again.run_dir = config.run_dir
    return again


def refuse_changed_recipe(saved: Settings, settings: Settings) -> None:
    """Refuse to call a different run the continuation of this one.

    Raises:
        ConfigError: names every key that differs.
    """
    before = {key: saved.get(key) for key in RECIPE}
    after = {key: settings[key] for key in RECIPE}
    changed = [line for line in differences(before, after) if not line.startswith(FREE)]
    if changed:
        raise ConfigError(
            f"the recipe differs from the checkpoint's: {'; '.join(changed)}. "
            "Undo that, start a new run without ckpt=, or say resume=force"
        )


def with_saved_defaults(config: DictConfig, saved: Settings) -> DictConfig:
    """Fill in the data and features that the command line left to the checkpoint."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    for key in ("data", "features"):
        if config.get(key) is None:
            config[key] = saved[key]
    return config


def build_all(settings: Settings, group: str) -> list[Any]:
    """Build each entry of a group that maps names to targets."""
    nodes = (settings.get(group) or {}).values()
    return [build(node, settings["allow_targets"]) for node in nodes if node]


def scores_of(settings: Settings) -> list[Callback]:
    """The scoring callback, unless `scores=null`."""
    node = settings["scores"]
    return [build(node, settings["allow_targets"])] if node and settings["metrics"] else []


def preflight(callbacks: list[Callback]) -> None:
    """Ask each callback for what it will need, before hours are spent without it."""
    for callback in callbacks:
        if hasattr(callback, "preflight"):
            callback.preflight()


def build_trainer(settings: Settings, callbacks: list[Callback]) -> Any:
    """The trainer with its callbacks and loggers, loggers told the config."""
    loggers = build_all(settings, "logger")
    for logger in loggers:
        logger.log_hyperparams(settings)
    return build(
        settings["trainer"],
        settings["allow_targets"],
        callbacks=callbacks,
        loggers=loggers,
        directory=settings["run_dir"],
    )


def finish(settings: Settings, outcome: Settings, callbacks: list[Any], kind: str) -> None:
    """Write `result.json` and `report.html`; the report must never cost the result."""
    directory = Path(settings["run_dir"])
    records = [record for each in callbacks for record in getattr(each, "records", [])]
    outcome |= provenance(settings, kind) | {"scores": records}
    write_result(directory, outcome)
    with suppress(OSError, ValueError, KeyError):
        write_report(directory)


__all__ = ["config_hash", "evaluate", "recipe", "train"]
