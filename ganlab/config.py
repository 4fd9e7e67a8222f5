"""Configs checked before anything is built: known keys, allowed targets, plain containers."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_type_hints

import hydra
from omegaconf import DictConfig, OmegaConf

from ganlab.cli import conf_dir, nearest

# A checkpoint may name a target: the list holds what computes, nothing that acts on the machine.
PARTS = "nn features losses networks data metrics systems interop studies callbacks loggers"
ALLOWED = (*(f"ganlab.{part}" for part in PARTS.split()), "torch.optim", "torch.nn")
HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}

Settings = dict[str, Any]  # a resolved config: dicts, lists, strings, numbers, None


class ConfigError(ValueError):
    """A config that must not or cannot be built; the message names the key."""


def resolved(config: DictConfig) -> Settings:
    """The config as plain containers, interpolations replaced by their values.

    Raises:
        omegaconf.errors.MissingMandatoryValue: a `???` was left unset.
    """
    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def locate(target: str, extra: Sequence[str] = ()) -> Callable[..., Any]:
    """The class or function a `_target_` names, if it is defined where targets may come from.

    Raises:
        ConfigError: it is outside the allowlist, merely imported there, missing, or not callable.
    """
    allowed = (*ALLOWED, *extra)
    refused = ConfigError(
        f"_target_ {target} is not allowed; targets come from {', '.join(allowed)}. "
        "To use your own package: allow_targets=[your_package]"
    )
    module_name, _, name = target.rpartition(".")
    if not _within(module_name, allowed):
        raise refused
    found = getattr(_module(module_name, target), name, None)
    if found is None:
        raise ConfigError(f"_target_ {target}: {module_name} has no {name}")
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise refused
    if not _within(found.__module__, allowed):
        raise refused
    return found


def _module(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"_target_ {target}: there is no module {error.name}") from error


def parameters(target: Callable[..., Any]) -> set[str]:
    """Names that a target takes by keyword; `**options` adds those it hands on.

    A function hands them to the class it returns, a class to its bases.
    """
    signature = inspect.signature(target)
    names = {p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD}
    if len(names) < len(signature.parameters):
        names |= _inherited(target)
    return names


def _inherited(target: Callable[..., Any]) -> set[str]:
    if inspect.isclass(target):
        bases = [base for base in target.__mro__[1:] if "__init__" in vars(base)]
        return parameters(bases[0]) if bases and bases[0] is not object else set()
    returned = get_type_hints(target).get("return")
    return parameters(returned) if inspect.isclass(returned) else set()


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Settings]]:
    """Every node with a `_target_`, outermost first, with its dotted path."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from targets(value, f"{path}[{position}]")


def check(settings: Settings, extra: Sequence[str] = ()) -> None:
    """Refuse any key that no constructor takes and any target that is not allowed.

    Raises:
        ConfigError: names the key and the nearest valid one.
    """
    for path, node in targets(settings):
        known = parameters(locate(node["_target_"], extra))
        for key in node:
            if key not in known and key not in HYDRA_KEYS:
                close = nearest(key, known)
                raise ConfigError(f"{path}.{key} is no parameter of {node['_target_']}{close}")


def check_top_level(settings: Settings, name: str) -> None:
    """Refuse a key that the primary config does not have (a typo in a `_global_` experiment).

    Raises:
        ConfigError: names the key and the nearest valid one.
    """
    known = top_level_keys(name)
    for key in settings:
        if key not in known:
            raise ConfigError(f"there is no config key {key}{nearest(key, known)}")


def top_level_keys(name: str) -> set[str]:
    """Keys and groups of `conf/<name>.yaml`."""
    primary = OmegaConf.load(conf_dir() / f"{name}.yaml")
    plain = OmegaConf.to_container(primary)
    assert isinstance(plain, dict)
    groups = {
        str(key).removeprefix("optional ")
        for entry in plain.pop("defaults", [])
        if isinstance(entry, dict)
        for key in entry
    }
    return {str(key) for key in plain} | groups


def build(node: Settings, extra: Sequence[str] = (), **given: Any) -> Any:
    """Instantiate a checked node; `given` are arguments that no config can hold.

    Raises:
        ConfigError: see `check`.
    """
    check({"node": node}, extra)
    return hydra.utils.instantiate(node, _convert_="all", **given)


def differences(old: Settings, new: Settings, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, each as `key: old -> new`."""
    found: list[str] = []
    for key in sorted({*old, *new}, key=str):
        path, before, after = f"{prefix}{key}", old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{path}.")
        elif before != after:
            found.append(f"{path}: {before!r} -> {after!r}")
    return found
