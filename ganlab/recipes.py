"""A run's recipe: what a checkpoint keeps of its config, and what may follow from it."""

from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ganlab.arguments import continued
from ganlab.config import (
    ConfigError,
    Settings,
    build,
    check,
    check_top_level,
    check_values,
    differences,
    resolved,
)
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

RECIPE = ("model", "data", "features", "metrics", "seed", "precision")
# Keys that may change between a run and its continuation: they only move or lengthen it.
FREE = ("model.kimg", "data.path", "data.cache_dir", "data.memory_budget_mb")


def checked(config: DictConfig, name: str) -> Settings:
    """Resolve a composed config and refuse what no run can have."""
    settings = resolved(config)
    check_top_level(settings, name)
    check_values(settings)
    check(settings, settings["allow_targets"])
    return settings


def resumed(words: list[str]) -> list[str]:
    """The words of a resume: those its run was started with, then today's."""
    ckpt = next(word for word in words if word.startswith("ckpt="))
    if ckpt in ("ckpt=null", "ckpt=None"):
        return words
    recipe = load_checkpoint(ckpt.removeprefix("ckpt=").strip("'\"")).get("recipe")
    saved = recipe.get("overrides", []) if isinstance(recipe, dict) else []
    return continued(words, [word for word in saved if isinstance(word, str)])


def recipe_of(settings: Settings) -> Settings:
    """What a checkpoint keeps: resolved sections, and the words and choices that made them."""
    kept = {key: settings[key] for key in RECIPE if key in settings}
    kept["precision"] = settings["trainer"]["precision"]
    kept["overrides"], kept["choices"] = [], {}
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        words = [str(word) for word in hydra.overrides.task]
        kept["overrides"] = [word for word in words if not word.startswith(("ckpt=", "resume="))]
        kept["choices"] = {key: str(hydra.runtime.choices.get(key)) for key in ("model", "data")}
    return kept


def build_system(settings: Settings) -> Any:
    """Seed, build the LightningModule, and tell it its recipe."""
    torch.manual_seed(settings["seed"])
    system = build(settings["model"], "model", settings["allow_targets"])
    system.recipe = recipe_of(settings)  # assigned: as an argument Hydra would build it
    return system


def rebuilt(checkpoint: Settings, extra: list[str]) -> Any:
    """The system a checkpoint describes, with its weights and clock, in evaluation mode.

    Raises:
        ConfigError: its recipe names what it may not.
        CheckpointError: the weights do not fit the recipe.
    """
    recipe = checkpoint["recipe"]
    for key in ("model", "data"):
        if not isinstance(recipe, dict) or not isinstance(recipe.get(key), dict):
            raise CheckpointError(f"the checkpoint's recipe describes no {key}")
    system = build(recipe["model"], "model", extra)
    try:
        system.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, AttributeError, TypeError) as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its recipe: {error}") from error
    system.recipe, system.images_seen = recipe, checkpoint["images_seen"]
    return system.eval()


def refuse_changed_recipe(saved: Settings, settings: Settings) -> None:
    """Refuse to call a different run the continuation of this one.

    Raises:
        ConfigError: names every key that differs.
    """
    today = recipe_of(settings)
    before = {key: saved.get(key) for key in RECIPE}
    after = {key: today.get(key) for key in RECIPE}
    changed = [line for line in differences(before, after) if not line.startswith(FREE)]
    if changed:
        raise ConfigError(
            f"the recipe differs from the checkpoint's: {'; '.join(changed)}. "
            "Undo that, start a new run without ckpt=, or say resume=force"
        )


def with_saved_defaults(config: DictConfig, saved: Settings) -> DictConfig:
    """Fill in the data and features that the command line left to the checkpoint.

    Raises:
        ConfigError: other data than the generator's in size or channels.
    """
    config = config.copy()
    OmegaConf.set_struct(config, False)
    data = {key: value for key, value in saved["data"].items() if key != "cache_dir"}
    if config.get("data") is None or "_target_" not in config.data:
        config.data = OmegaConf.merge(data, config.get("data") or {})
    if config.get("features") is None:
        config.features = saved["features"]
    for key in ("resolution", "channels"):
        if config.data.get(key) != data.get(key):
            raise ConfigError(
                f"data.{key}={config.data.get(key)}, but the checkpoint's generator was trained at "
                f"{data.get(key)}: scores need the same"
            )
    return config


__all__ = [
    "build_system",
    "checked",
    "rebuilt",
    "recipe_of",
    "refuse_changed_recipe",
    "resumed",
    "with_saved_defaults",
]
