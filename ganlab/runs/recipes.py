"""A run's recipe: what a checkpoint keeps of its config, and what may follow from it."""

import inspect
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ganlab.arguments import checkpoint_of, quote
from ganlab.checks.defaults import value_or_default
from ganlab.checks.ranges import text_of
from ganlab.config import (
    SECTIONS,
    ConfigError,
    Settings,
    build,
    check,
    differences,
    locate,
    resolve,
)
from ganlab.data import NoImages
from ganlab.interop import NAMED
from ganlab.interop.hub import is_address
from ganlab.nn.skip_init import own_tensors, skip_init
from ganlab.runs.checkpoint_files import open_checkpoint, open_own
from ganlab.runs.earlier import unsaid
from ganlab.runs.image_shape import check_data_shape, check_shape
from ganlab.runs.provenance import origin
from ganlab.runs.saved_options import (
    READ,
    additions,
    continue_words,
    plain_part,
    records_of,
    refuse_all_but_places,
    say_left,
    say_read,
    with_places,
    without_places,
)
from ganlab.runs.settings import (
    check_complete,
    check_packages,
    check_sections,
    check_top_level,
    check_values,
)
from ganlab.studies import Scores
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint
from ganlab.systems.pretrained import Pretrained
from ganlab.systems.system import System

RECIPE = ("model", "data", "features", "metrics", "seed", "precision")
WATCHED = ("scores", "callbacks")  # what looks at a run: compared where both runs have it
PRETRAINED = f"{Pretrained.__module__}.{Pretrained.__name__}"
RECORDS = ("choices", "source", "begun_from")  # said of a run in results, in names and numbers
OF_A_START = ("ckpt=", "resume=", "init=")  # words that are no part of what a run is
# Keys that may change between a run and its continuation: they only move or lengthen it.
FREE = (
    *("model.kimg", "data.path", "data.cache_dir", "data.max_pixels", "data.memory_budget_mb"),
    "metrics.reducible",  # changes what is scored only where nothing could be
)
# Keys of what looks at a run that may change in the middle of it. Scores are compared by name, so
# another monitor begins a best of its own; what is scored is `metrics`, and compared as such.
FREE_WATCHED = ("every_kimg", "batch_size", "monitor", "suite")


def check_config(config: DictConfig, name: str) -> Settings:
    """Resolve a composed config and refuse what no run can have."""
    check_complete(config, name)
    check_sections(config)
    settings = resolve(config)
    check_top_level(settings, name)
    check_values(settings)
    for key in ("ckpt", "init"):
        if not isinstance(place := settings.get(key), str | Path | None):
            raise ConfigError(f"{key}={text_of(place)} should be the name of a file")
    check_shape(settings, settings["allow_targets"])
    check(settings, settings["allow_targets"])
    check_data_shape(settings)
    return settings


def check_beginning(config: DictConfig) -> None:
    """Refuse an evaluation's settings that are looked at before the others can be.

    Raises:
        ConfigError: names the key and what it takes.
    """
    check_complete(config, "evaluate")
    given: Any = OmegaConf.to_container(config)
    if given.get("fake") is not None and given.get("ckpt") is not None:
        raise ConfigError(f"ckpt={given['ckpt']} and fake={given['fake']} are two: give one")
    if given.get("fake") is None and not isinstance(given.get("ckpt"), str):
        raise ConfigError(f"ckpt={text_of(given.get('ckpt'))} should be the name of a checkpoint")
    check_packages(given.get("allow_targets"))
    for section in ("model", "data", "features"):
        if not isinstance(node := given.get(section), dict | None):
            raise ConfigError(
                f"{section}={text_of(node)} should be the name of a config or a mapping"
            )


def resume_words(words: list[str]) -> list[str]:
    """The words of a resume: those its run was started with, what it left unsaid, then today's.

    Raises:
        CheckpointError: nothing to go on from.
        UntrustedError: see `saved_options.continue_words`.
    """
    ckpt = checkpoint_of(words)
    if ckpt is None:
        return words
    if ckpt in NAMED:
        raise CheckpointError(
            f"ckpt={ckpt} was trained elsewhere: it can be evaluated, not trained further; "
            f"data=generated data.ckpt={ckpt} trains on its images"
        )
    if is_address(ckpt):
        raise CheckpointError(
            f"ckpt={ckpt} can be evaluated, not resumed: init={ckpt} begins a run from its networks"
        )
    recipe = open_own(ckpt, f"init={ckpt} begins a run from its networks").get("recipe")
    recipe = recipe if isinstance(recipe, dict) else {}
    saved = recipe.get("overrides")
    known = [word for word in (saved if isinstance(saved, list) else []) if isinstance(word, str)]
    return continue_words(
        words, [*known, *unsaid(plain_part(recipe.get("model"), "model"), "model")]
    )


def recipe_of(settings: Settings) -> Settings:
    """What a checkpoint keeps: resolved sections, and the words and choices that made them."""
    kept = {key: settings[key] for key in RECIPE if key in settings}
    kept["precision"] = value_or_default(settings["trainer"], "precision")
    kept |= {key: without_places(settings.get(key), key)[0] for key in WATCHED}
    kept["overrides"], kept["choices"] = [], {}
    if started := origin():
        words = started.overrides
        kept["overrides"] = [word for word in words if not word.startswith(OF_A_START)]
        kept["choices"] = {key: str(started.choices.get(key)) for key in ("model", "data")}
    return kept


def build_system(settings: Settings) -> Any:
    """Seed, build the LightningModule, and tell it its recipe."""
    torch.manual_seed(settings["seed"])
    system = build(settings["model"], "model", settings["allow_targets"])
    system.configure_optimizers()  # refused now rather than after the data is read
    system.recipe = recipe_of(settings)  # assigned: as an argument Hydra would build it
    return system


def sketch_system(node: Settings, extra: list[str]) -> Any:
    """The system on the meta device: every shape, no memory."""
    with torch.device("meta"):
        return build(node, "model", extra)


def rebuild_system(checkpoint: Settings, extra: list[str], given: Settings | None = None) -> Any:
    """The system a checkpoint describes, with its weights and clock, in evaluation mode.

    `given` are the files of the model that this command line names, in the model's shape.

    Raises:
        ConfigError: its recipe names what it may not.
        CheckpointError: the weights do not fit the recipe.
        UntrustedError: its recipe is no plain data, or names a file that `given` does not.
    """
    check_packages(extra)
    recipe = checkpoint["recipe"]
    for key in ("model", "data"):
        if not isinstance(found := recipe.get(key), dict) or found.get("_partial_"):
            raise CheckpointError(f"the checkpoint's recipe describes no {key}")
    refuse_all_but_places(given or {}, "model")
    node = with_places(recipe["model"], "model", given or {})
    sketch = sketch_system(node, extra)
    if numbers(sketch.state_dict()) > numbers(checkpoint["state_dict"]):  # before it takes memory
        wrong = misfit(checkpoint, sketch)
        raise CheckpointError(f"the checkpoint's weights do not fit its recipe: {wrong}")
    bare = node.get("_target_") == PRETRAINED  # networks alone, all of which is in the file
    with skip_init() if bare else nullcontext():
        system = build(node, "model", extra)
    state = (
        own_tensors(checkpoint["state_dict"], sketch.state_dict())
        if bare
        else checkpoint["state_dict"]
    )
    try:
        system.load_state_dict(state, assign=bare)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its recipe: {error}") from error
    system.recipe = recipe | {key: records_of(recipe.get(key)) for key in RECORDS}
    system.images_seen = checkpoint["images_seen"]
    return system.eval()


def check_resume(checkpoint: Settings, settings: Settings) -> None:
    """Refuse a resume that is not exact, or that would cost what a run has come to.

    Raises:
        ConfigError: see `refuse_changed_recipe` and `refuse_lost_progress`.
    """
    refuse_changed_recipe(checkpoint["recipe"], settings)
    refuse_lost_progress(checkpoint, settings)


def refuse_other_networks(checkpoint: Settings, system: System) -> None:
    """Refuse weights that do not fit: no resume, forced or not, changes what networks are.

    Raises:
        ConfigError: names the first weight that differs.
    """
    if wrong := misfit(checkpoint, system):
        raise ConfigError(
            f"the checkpoint's networks are not this config's: {wrong}. resume=force changes rates "
            "and losses, not networks: undo that, or start a new run without ckpt="
        )


def numbers(state: Settings) -> int:
    """How many numbers the weights of a state are; a sketch has at most as many as its network."""
    return sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor))


def shapes(state: Settings) -> dict[str, tuple[int, ...]]:
    """Name -> shape; () for what is no tensor."""
    return {
        name: tuple(value.shape) if isinstance(value, torch.Tensor) else ()
        for name, value in state.items()
    }


def misfit(checkpoint: Settings, system: System) -> str | None:
    """The first weight whose shape differs, in one phrase; None where all fit."""
    saved, wanted = shapes(checkpoint["state_dict"]), shapes(system.state_dict())
    for name in dict.fromkeys([*wanted, *saved]):
        if saved.get(name) != wanted.get(name):
            there, here = (state.get(name, "missing") for state in (saved, wanted))
            return f"{name} is {there} there and {here} here"
    return None


def refuse_changed_recipe(saved: Settings, settings: Settings) -> None:
    """Refuse to call a different run the continuation of this one.

    Raises:
        ConfigError: names every key that differs.
    """
    today = recipe_of(settings)
    before = without_addresses({key: saved.get(key) for key in RECIPE})
    after = without_addresses({key: today.get(key) for key in RECIPE})
    changed = [line for line in differences(before, after) if not line.startswith(FREE)]
    changed += changed_watchers(saved, today)
    if changed:
        raise ConfigError(
            f"the recipe differs from the checkpoint's: {'; '.join(changed)}. "
            "Undo that, start a new run without ckpt=, or, unless networks change, say resume=force"
        )


def changed_watchers(saved: Settings, today: Settings) -> list[str]:
    """What differs in scores and callbacks of ours that watched the run before and watch it now.

    They never steer: one may come or go, but scores and pictures of one run are of one kind.
    """
    pairs: dict[str, tuple[Any, Any]] = {"scores": (saved.get("scores"), today["scores"])}
    before, after = saved.get("callbacks"), today["callbacks"]
    if isinstance(before, dict) and isinstance(after, dict):
        pairs |= {f"callbacks.{name}": (before.get(name), after[name]) for name in after}
    found: list[str] = []
    for name, (old, new) in pairs.items():
        both = isinstance(old, dict) and isinstance(new, dict)
        if both and str(new.get("_target_")).startswith("ganlab."):
            found += differences(without_free(old), without_free(new), f"{name}.")
    return found


def without_free(watcher: Settings) -> Settings:
    """Settings of what watches a run, without those that may change in the middle of it."""
    return {key: value for key, value in watcher.items() if key not in FREE_WATCHED}


def refuse_lost_progress(checkpoint: Settings, settings: Settings) -> None:
    """Refuse to go on from a checkpoint where that would write over a later one of the same run.

    Raises:
        ConfigError: names the later one and the ways on.
    """
    last = Path(settings["run_dir"], "checkpoints", "last.ckpt")
    if not last.is_file() or last.samefile(Path(settings["ckpt"]).expanduser()):
        return
    with suppress(CheckpointError):
        before, after = checkpoint["images_seen"], load_checkpoint(last)["images_seen"]
        if before < after:
            raise ConfigError(
                f"ckpt={settings['ckpt']} is at {before / 1000:g} kimg and {last} beside it at "
                f"{after / 1000:g}: what came between would be written over. ckpt={last} goes on; "
                "hydra.run.dir=<a new folder> begins a branch; resume=force writes over it"
            )


def without_addresses(node: object) -> Any:
    """A part of a recipe without any `url`: a checkpoint may not say what is fetched from where."""
    if isinstance(node, dict):
        return {key: without_addresses(each) for key, each in node.items() if key != "url"}
    return [without_addresses(each) for each in node] if isinstance(node, list) else node


def with_saved_defaults(config: DictConfig, saved: Settings) -> DictConfig:
    """Fill in the data and features that the command line left to the checkpoint.

    Raises:
        ConfigError: other data than the generator's in size or channels.
        UntrustedError: no plain data, or a file of weights that the command line does not name.
    """
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("model", None)  # files of the checkpoint's model, which is built by now
    data, places = without_places(plain_part(saved["data"], "data"), "data")
    if (given := additions(config.get("data"))) is not None:
        config.data = OmegaConf.merge(data, given)
        said = {f"data.{key}" for key in given}
        say_left([f"{key}={quote(place)}" for key, place in places.items() if key not in said])
        for key in sorted({*READ} - said):
            say_read(key, data.get(key.removeprefix("data.")))
    if (given := additions(config.get("features"))) is not None:
        config.features = with_places(saved.get("features"), "features", given)
    for key in ("resolution", "channels"):
        if config.data.get(key) != data.get(key):
            raise ConfigError(
                f"data.{key}={config.data.get(key)}, but the checkpoint's generator was trained at "
                f"{data.get(key)}: scores need the same, data.{key}={data.get(key)}"
            )
    return config


def names(node: DictConfig, section: str, kind: type, extra: Sequence[str]) -> bool:
    """Whether a node's target is of a kind.

    Raises:
        ConfigError: see `config.locate`.
    """
    if "_target_" not in node:
        return False
    target = locate(str(node["_target_"]), SECTIONS[section], extra)
    return inspect.isclass(target) and issubclass(target, kind)


def without_reals(config: DictConfig, ckpt: str) -> DictConfig:
    """Score nothing where there is no real image to compare with: `study.suite` becomes null.

    Raises:
        ConfigError: a study that does nothing but score.
    """
    extra = list(config.allow_targets)
    if not names(config.data, "data", NoImages, extra):
        return config
    if names(config.study, "study", Scores, extra):
        raise ConfigError(
            f"study=scores needs real images and ckpt={ckpt} names none: give some, as in "
            f"data=folder data.path=<folder> data.resolution={config.data.resolution}"
        )
    if config.study.get("suite") is not None:
        print(f"ckpt={ckpt} comes without real images: nothing is scored", file=sys.stderr)
    config.metrics = config.study.suite = None
    return config


__all__ = [
    "build_system",
    "check_beginning",
    "check_config",
    "check_resume",
    "open_checkpoint",
    "rebuild_system",
    "recipe_of",
    "refuse_other_networks",
    "resume_words",
    "sketch_system",
    "with_saved_defaults",
    "without_reals",
]
