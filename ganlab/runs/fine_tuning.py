"""`init=<file>`: a new run from the networks of a file, a checkpoint's or another project's.

The file's architecture becomes words of the run, so that a resume has it and needs no file.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ganlab.arguments import checkpoint_of, key_of, quote, value_of
from ganlab.cli import conf_dir
from ganlab.config import SECTIONS, ConfigError, check_node
from ganlab.runs import recipes
from ganlab.runs.checkpoint_files import open_named
from ganlab.runs.saved_options import records_of, with_places
from ganlab.systems.checkpoint import CheckpointError
from ganlab.systems.gan import GAN

KEY = re.compile(r"[\w/-]+", re.ASCII)  # of an option that is a mapping
SHARED = {"resolution": "data.resolution", "channels": "data.channels"}


def resume_words(words: list[str]) -> list[str]:
    """The words of a resume, for which no file is read again, or of a run from a file.

    Raises:
        ConfigError: see `words_of`.
        CheckpointError, UntrustedError: see `recipes.resume_words`.
    """
    if checkpoint_of(words) is None:
        return words_of(words)
    return recipes.resume_words([word for word in words if key_of(word) != "init"])


def words_of(words: list[str]) -> list[str]:
    """The words of a run with the architecture of the file that `init=` names.

    Raises:
        ConfigError: a word that contradicts the file; names it.
        CheckpointError, UntrustedError: see `model_of`.
    """
    if (place := value_of(words, "init")) is None:
        return words
    model = model_of(str(place), value_of(words, "allow_targets") or [])
    said = {key_of(word) for word in words}
    name = model["generator"]["_target_"].split(".")[-2]
    chosen = value_of(words, "model") if "model" in said else name
    if chosen != name and (conf_dir() / "model" / f"{chosen}.yaml").is_file():
        raise ConfigError(f"model={chosen}, but init={place} holds networks of model={name}")
    added = [] if "model" in said else [f"model={name}"]
    for key, value in architecture(model).items():
        refuse_odd_keys(value, f"init={place}: {key}")
        if key not in said:
            added.append(f"++{key}={hydra_text(value)}")
        elif value_of(words, key) != value:
            raise ConfigError(
                f"{key}={value_of(words, key)}, but the networks of init={place} have "
                f"{hydra_text(value)}: leave it out"
            )
    return [*words, *added]


def model_of(place: str, extra: Sequence[str] = ()) -> dict[str, Any]:
    """What a file says of its networks, once that is known to be plain parameters of theirs.

    `extra` names packages besides ours that they may come from.

    Raises:
        CheckpointError: it describes none.
        ConfigError: a target or a parameter that cannot be.
        UntrustedError: no plain data, or it names a file.
    """
    model = open_named("init", place)["recipe"].get("model")
    node = model.get("generator") if isinstance(model, dict) else None
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise CheckpointError(f"init={place}: its recipe describes no model.generator")
    found: dict[str, Any] = {}
    for network in ("generator", "discriminator"):
        path = f"model.{network}"
        found[network] = with_places(model.get(network), path, {})
        check_node(found[network], path, SECTIONS["model"], extra)
    return found


def architecture(model: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys of what the networks are built with."""
    found: dict[str, Any] = {}
    for network in ("generator", "discriminator"):
        for option, value in (model.get(network) or {}).items():
            if option in SHARED:
                found[SHARED[option]] = value
            elif option != "_target_":
                found[f"model.{network}.{option}"] = value
    if labels := model["generator"].get("num_labels"):
        target = {"_target_": "ganlab.systems.conditioning.Labels", "num_labels": labels}
        found["model.conditioner"] = target
    return found


def refuse_odd_keys(value: object, name: str) -> None:
    """Refuse a mapping that would be read as more than it says, or as what to look up.

    Raises:
        ConfigError: names the option and the key.
    """
    for key, each in value.items() if isinstance(value, Mapping) else ():
        if not KEY.fullmatch(str(key)):
            raise ConfigError(f"{name} has the key {key!a:.60}, which no option has")
        refuse_odd_keys(each, name)


def hydra_text(value: object) -> str:
    """A plain value in Hydra's grammar."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{hydra_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(hydra_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return quote(value) if isinstance(value, str) else repr(value)


def refuse_other_classes(own: int, checkpoint: Mapping[str, Any], place: str) -> None:
    """Refuse a file whose generator is told another number of classes than this run's.

    Raises:
        ConfigError: says both numbers and the ways on.
    """
    theirs = checkpoint["recipe"]["model"]["generator"].get("num_labels") or 0
    if own == theirs:
        return
    way = f"num_labels={theirs}" if theirs else "leave model/conditioner=labels out"
    raise ConfigError(
        f"init={place} holds a generator of {theirs or 'no'} classes, and that of this run is told "
        f"{own or 'none'}: {way}, or begin from a file of {own or 'none'}"
    )


def take_networks(system: object, place: str | None) -> None:
    """Give a new system the weights of a file: G and its average, and D where there is one.

    Without a file it keeps its own.

    Raises:
        ConfigError: the system's networks are others, or blocks are frozen that no file holds.
    """
    frozen = system.frozen if isinstance(system, GAN) else 0
    if place is None and frozen:
        raise ConfigError(
            f"model.freeze_discriminator={frozen} freezes blocks that nothing has trained: say "
            "init=<file>"
        )
    if place is None:
        return
    checkpoint = open_named("init", place)
    if not isinstance(system, GAN):
        raise ConfigError(
            f"init={place} begins a GAN, and model._target_ is {type(system).__name__}"
        )
    told = system.conditioner.num_labels or system.generator.num_labels
    refuse_other_classes(told, checkpoint, place)
    pairs: list[tuple[str, nn.Module]] = [("generator_ema", system.generator_ema)]
    pairs += [("generator_ema", system.generator), ("discriminator", system.discriminator)]
    for name, network in pairs:
        prefix = f"{name}."
        state = checkpoint["state_dict"].items()
        weights = {key.removeprefix(prefix): v for key, v in state if key.startswith(prefix)}
        if not weights and name == "discriminator" and frozen:
            raise ConfigError(
                f"init={place} holds no discriminator, so that model.freeze_discriminator={frozen} "
                "would freeze blocks that nothing has trained"
            )
        if not weights:
            continue
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            _, first, *_ = str(error).splitlines()
            why = f"init={place} holds another {name} than model=: {first.strip()}"
            raise ConfigError(why) from error
    source = records_of(checkpoint["recipe"].get("source")) or {"file": str(Path(place).absolute())}
    system.recipe["begun_from"] = {key: str(value) for key, value in source.items()}
