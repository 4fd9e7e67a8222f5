"""Configs checked before anything is built: known keys, allowed targets, plain containers."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_type_hints

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from ganlab.checks import defaults
from ganlab.checks.annotations import annotations
from ganlab.checks.values import HYDRAS, refusal, type_problem
from ganlab.cli import conf_dir, nearest
from ganlab.hydra_versions import build_node

# What each section of a config may build: classes, and the functions of BUILDERS. A checkpoint
# names targets too, so nothing that a model is made of acts on the machine when it is built.
SECTIONS = {
    "model": (
        "ganlab.networks",
        "ganlab.nn",
        "ganlab.losses",
        "ganlab.systems",
        "ganlab.features",
        "torch.nn",
        "torch.optim",
    ),
    "data": ("ganlab.data",),
    "features": ("ganlab.features",),
    "metrics": ("ganlab.metrics", "ganlab.features"),
    "scores": ("ganlab.studies", "ganlab.metrics", "ganlab.features"),
    "study": ("ganlab.studies", "ganlab.metrics", "ganlab.features"),
    "callbacks": ("ganlab.callbacks", "ganlab.studies"),  # some studies watch a training run too
    "logger": ("ganlab.loggers",),
    "trainer": ("ganlab.systems.trainer",),
}
# Of ganlab.systems, which trains, writes and signals, these alone; by where they are defined.
MODEL_PARTS = {
    "ganlab.systems.augment.ADA",
    "ganlab.systems.augment.DiffAugment",
    "ganlab.systems.conditioning.CoarseReals",
    "ganlab.systems.conditioning.Labels",
    "ganlab.systems.ema.ExponentialAverage",
    "ganlab.systems.gan.GAN",
    "ganlab.systems.growth.Growth",
    "ganlab.systems.optimizers.lazy_adam",
    "ganlab.systems.penalties.R1",
    "ganlab.systems.penalties.R2",
    "ganlab.systems.power_averages.PowerAverages",
    "ganlab.systems.pretrained.Pretrained",
    "ganlab.systems.schedules.Schedule",
    "ganlab.systems.semantic.PyramidFeatures",
    "ganlab.systems.vae.VAE",
}
TRAINERS = {"ganlab.systems.trainer.make_trainer"}
BUILDERS = re.compile(r"ganlab\.(data|losses)\.\w+|ganlab\.loggers\.\w+_tracker")
LISTED = ("data", "features", "losses", "metrics", "studies", "callbacks", "loggers")  # by __all__
# What files of an earlier version name, with its name of today; what it may be is judged by that.
MOVED = {"ganlab.networks.stylegan2.Mapping": "ganlab.nn.style.Mapping"}

Settings = dict[str, Any]  # a resolved config: dicts, lists, strings, numbers, None


class ConfigError(ValueError):
    """A config that must not or cannot be built; the message names the key."""


def resolve(config: DictConfig) -> Settings:
    """The config as plain containers, interpolations replaced by their values, names by today's.

    Raises:
        omegaconf.errors.MissingMandatoryValue: a `???` was left unset.
        ConfigError: a value is taken from a key of something that has no keys.
    """
    try:
        settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except InterpolationResolutionError as error:
        if "raised while resolving" not in str(error) or error.parent_node is None:
            raise
        text = OmegaConf.to_container(error.parent_node, resolve=False)[error.key]  # type: ignore[index]
        raise ConfigError(f"{error.full_key}={text} cannot be: there is no such key") from error
    assert isinstance(settings, dict)
    return {str(key): rename_moved(value) for key, value in settings.items()}


def rename_moved(node: object) -> Any:
    """A plain value in which every `_target_` that has moved since has its name of today."""
    if isinstance(node, list):
        return [rename_moved(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: rename_moved(each) for key, each in node.items()}
    if isinstance(target := found.get("_target_"), str):
        found["_target_"] = MOVED.get(target, target)
    return found


def _within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def locate(target: str, packages: Sequence[str], extra: Sequence[str] = ()) -> Callable[..., Any]:
    """The class or function a `_target_` names, if it is public in a package that may be named.

    Raises:
        ConfigError: it is elsewhere, merely imported there, not public, missing, or not callable.
    """
    allowed, target = (*packages, *extra), MOVED.get(target, target)
    module_name, _, name = target.rpartition(".")
    whose = module_name.partition(".")[0]
    own = whose if whose.isidentifier() and whose not in ("ganlab", "torch") else "your_package"
    refused = ConfigError(
        f"_target_ {target} is not allowed here; targets come from {', '.join(allowed)}. "
        f"To use your own package: allow_targets=[{own}]"
    )
    if not _within(module_name, allowed):
        raise refused
    found = getattr(_module(module_name, target), name, None)
    if found is None:
        raise ConfigError(f"_target_ {target}: {module_name} has no {name}")
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise refused
    if not (
        _within(found.__module__, allowed)
        and (_within(module_name, extra) or _public(target, found, packages))
    ):
        raise refused
    return found


def _public(target: str, found: Any, packages: Sequence[str]) -> bool:
    """Whether a target of ours or of torch is one that configs are meant to name."""
    module_name, _, name = target.rpartition(".")
    package = module_name.split(".")[1]
    if module_name.startswith("torch."):
        return inspect.isclass(found) and issubclass(found, _bases(package))
    if package == "systems":
        home = f"{found.__module__}.{found.__name__}"
        return home in (MODEL_PARTS if "ganlab.systems" in packages else TRAINERS)
    if package in LISTED:
        known = module_name == f"ganlab.{package}" and name in _module(module_name, target).__all__
        return known and (inspect.isclass(found) or BUILDERS.fullmatch(target) is not None)
    return inspect.isclass(found) and issubclass(found, _bases("nn"))


def _bases(package: str) -> type:
    base = (
        _module("torch.optim", "").Optimizer
        if package == "optim"
        else _module("torch.nn", "").Module
    )
    assert isinstance(base, type)
    return base


def _module(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        way = "install what has it, or name the folder that it is in by PYTHONPATH"
        raise ConfigError(f"_target_ {target}: there is no module {error.name}: {way}") from error


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


def targets(node: object, path: str = "") -> Iterator[tuple[str, Settings]]:
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
    """Refuse any target that its section may not name and any key or value its constructor refuses.

    Raises:
        ConfigError: names the key and the nearest valid one, or the type it should have.
    """
    for section, packages in SECTIONS.items():
        check_node(settings.get(section), section, packages, extra)


def check_node(node: object, path: str, packages: Sequence[str], extra: Sequence[str]) -> None:
    """`check` of one section or of a part of one."""
    if (text := _interpolated(node)) is not None:
        raise ConfigError(f"{path} holds {text!r}: an interpolation is not resolved a second time")
    found = [(*named, located(*named, packages, extra)) for named in targets(node, path)]
    for where, each, target in found:
        known, hints = parameters(target), annotations(target)
        for key, value in each.items():
            if key not in known and key not in HYDRAS:
                close = nearest(str(key), known)
                raise ConfigError(f"{where}.{key} is no parameter of {each['_target_']}{close}")
            hint, target_name = hints.get(key, Any), str(each["_target_"])
            if wrong := type_problem(f"{where}.{key}", value, hint, target_name):
                raise ConfigError(_choice(f"{where}.{key}", value) or wrong)


def located(
    where: str, node: Settings, packages: Sequence[str], extra: Sequence[str]
) -> Callable[..., Any]:
    """`locate` what a node names; a refusal says where in the config that stands."""
    try:
        return locate(str(node["_target_"]), packages, extra)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error


def _choice(key: str, value: object) -> str | None:
    """What a key should have been spelled as that is given the name of an option of its group."""
    group = conf_dir() / key.replace(".", "/")
    if not isinstance(value, str) or value not in {path.stem for path in group.glob("*.yaml")}:
        return None
    return f"{key}={value} is a choice: say {key.replace('.', '/')}={value}"


def _interpolated(node: object) -> str | None:
    """The first string in a node that OmegaConf would resolve when it is built."""
    if isinstance(node, str):
        return node if "${" in node else None
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return next((text for value in values if (text := _interpolated(value)) is not None), None)


def build(
    node: Settings,
    section: str,
    extra: Sequence[str] = (),
    offered: Mapping[str, object] | None = None,  # given where there is a parameter of the name
    **given: object,
) -> Any:
    """Instantiate a node of a section; `given` and `offered` are what no config can hold.

    Raises:
        ConfigError: see `check`; or what a constructor refuses, by the key of its node.
    """
    node = rename_moved(node)
    check_node(node, section, SECTIONS[section], extra)
    if "_target_" not in node:
        raise ConfigError(f"{section} has no _target_: there is nothing to build")
    taken = parameters(locate(str(node["_target_"]), SECTIONS[section], extra))
    given |= {name: each for name, each in (offered or {}).items() if name in taken}
    try:
        return build_node(node, [*SECTIONS[section], *extra], given)
    except InstantiationException as error:
        if isinstance(error.__cause__, OSError):  # a file's trouble, which it names itself
            raise
        raise ConfigError(refusal(node, section, error)) from error


def differences(old: Settings, new: Settings, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, each as `key: old -> new`; moved names are no difference."""
    found: list[str] = []
    if not prefix:  # what is inside of them is renamed with them
        old, new = rename_moved(old), rename_moved(new)
    for key in sorted({*old, *new}, key=str):
        path = f"{prefix}{key}"
        before, after = (defaults.value_or_default(node, key) for node in (old, new))
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{path}.")
        elif not defaults.same(before, after):
            found.append(f"{path}: {before!r} -> {after!r}")
    return found
