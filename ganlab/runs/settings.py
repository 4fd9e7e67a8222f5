"""What every run must have: its sections and keys in their places, with values that can be."""

from functools import cache

from omegaconf import DictConfig, OmegaConf

from ganlab.checks.ranges import KIMG, POSITIVE, SEED, text_of
from ganlab.cli import conf_dir, nearest
from ganlab.config import SECTIONS, ConfigError, Settings

LENGTHS = ("log_every_kimg", "sample_every_kimg", "score_every_kimg", "checkpoint_every_kimg")
OPTIONAL = ("score_every_kimg", "checkpoint_every_kimg", "keep_every_kimg")  # null = never


def check_sections(config: DictConfig) -> None:
    """Refuse a section that is no mapping, before anything in it is looked up by others.

    Raises:
        ConfigError: names it.
    """
    for section in SECTIONS:
        node = OmegaConf.to_container(config, resolve=False).get(section)  # type: ignore[union-attr]
        if isinstance(node, str) and node.startswith("${"):
            continue
        built = section in ("model", "data", "trainer", "study") and section in config
        if not isinstance(node, dict) and (built or node is not None):
            raise ConfigError(
                f"{section}={text_of(node)} should be the name of a config or a mapping"
            )
        if isinstance(node, dict) and node.get("_partial_"):
            raise ConfigError(f"{section}._partial_ would leave it unbuilt: leave that out")
        whole = built or section in ("features", "metrics")
        if whole and isinstance(node, dict) and "_target_" not in node:
            raise ConfigError(f"{section}={text_of(node)} has no _target_; choose a config by name")


OPTIONAL_KEYS = ("callbacks", "logger", "grid")  # which a run may be without


def check_complete(config: DictConfig, name: str) -> None:
    """Refuse a config that a key or a section of the primary config was taken out of.

    Raises:
        ConfigError: names it and what to say in its place.
    """
    plain, groups = primary_keys(name)
    chosen = [group for group, option in groups.items() if option is not None]
    there = set(config)  # `in` denies those that have no value yet
    for key in (*sorted(plain - {"hydra"}), *chosen):
        if key not in there and key not in OPTIONAL_KEYS:
            instead = f"choose one, as in {key}={groups[key]}" if key in groups else "keep it"
            raise ConfigError(f"{key} was taken out (~{key}), and every run needs it: {instead}")


def check_top_level(settings: Settings, name: str) -> None:
    """Refuse a key that the primary config does not have (a typo in a `_global_` experiment).

    Raises:
        ConfigError: names the key and the nearest valid one.
    """
    plain, groups = primary_keys(name)
    known = plain | groups.keys()
    for key in settings:
        if key not in known:
            raise ConfigError(f"there is no config key {key}{nearest(key, known)}")


def check_values(settings: Settings) -> None:
    """Refuse top-level values that no run can have.

    Raises:
        ConfigError: names the key and what it takes.
    """
    seed = settings["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not SEED.holds(seed):
        raise ConfigError(f"seed={text_of(seed)} should be a whole number from 0 to 2^63 - 1")
    check_packages(settings["allow_targets"])
    for key in dict.fromkeys(("kimg", *LENGTHS, *OPTIONAL)):
        value = settings.get(key)
        optional = value is None and key in OPTIONAL
        if key in settings and not optional and not _positive(value):
            raise ConfigError(f"{key}={text_of(value)} should be a number of kimg, {KIMG}")
    check_stopping(settings)
    if settings.get("resume", "exact") not in ("exact", "force"):
        raise ConfigError(
            f"resume={text_of(settings['resume'])} should be exact or force; auto is for train.py, "
            "with hydra.run.dir="
        )


def check_stopping(settings: Settings) -> None:
    """Refuse ways to stop a training that cannot be, or that nothing would ever lead to.

    Raises:
        ConfigError: names the key and what it takes.
    """
    hours, stop = settings.get("max_hours"), settings.get("stop", {})
    number = isinstance(hours, int | float) and not isinstance(hours, bool)
    if hours is not None and not (number and POSITIVE.holds(hours)):
        raise ConfigError(f"max_hours={text_of(hours)} should be a number of hours, {POSITIVE}")
    if not isinstance(stop, dict) or stop.keys() - {"patience", "min_delta"}:
        raise ConfigError(
            f"stop={text_of(stop)} should be a mapping of patience and min_delta, as in "
            "stop.patience=5"
        )
    scores = settings.get("scores")
    scores = scores if isinstance(scores, dict) else {}
    if stop.get("patience") is not None and scores.get("every_kimg") is None:
        raise ConfigError(
            f"stop.patience={text_of(stop['patience'])} counts scorings in training, of which "
            "there are none: say how often, as in score_every_kimg=50"
        )
    if stop.get("patience") is not None and scores.get("suite", {}) is None:
        raise ConfigError(
            f"stop.patience={text_of(stop['patience'])} goes by a score, and scores.suite=null "
            "leaves none: leave that out"
        )


def check_packages(packages: object) -> None:
    """Refuse what is no list of packages.

    Raises:
        ConfigError: says what it takes.
    """
    if not isinstance(packages, list) or not all(isinstance(each, str) for each in packages):
        raise ConfigError("allow_targets takes a list of packages, as in allow_targets=[mine]")


def _positive(value: object) -> bool:
    """A number of kimg that is at least one image."""
    return isinstance(value, int | float) and not isinstance(value, bool) and KIMG.holds(value)


@cache
def primary_keys(name: str) -> tuple[set[str], dict[str, str | None]]:
    """Keys that `conf/<name>.yaml` holds, and its groups with the option each takes by default."""
    plain = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"{name}.yaml"))
    assert isinstance(plain, dict)
    chosen = [entry for entry in plain.pop("defaults", []) if isinstance(entry, dict)]
    groups = {
        str(key).removeprefix("optional "): option
        for entry in chosen
        for key, option in entry.items()
        if not str(key).startswith("override ")
    }
    return {str(key) for key in plain}, groups
