"""What is said otherwise to the versions of Hydra.

Hydra 1.4 has an execution whitelist, without which 1.5 will refuse to build. Ours is
`config.SECTIONS`, checked before anything is built; Hydra is told the same, and that it builds its
own callbacks, launchers and sweepers of `AROUND` alone. 1.3 has none, and wants to be told its own
version, which 1.4 does not. With 1.4 comes OmegaConf 2.4, whose resolvers have another name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.utils import instantiate
from omegaconf import OmegaConf

SINCE_1_4 = tuple(map(int, hydra.__version__.split(".")[:2])) >= (1, 4)
BASE: dict[str, str] = {} if SINCE_1_4 else {"version_base": "1.3"}  # for `main` and `initialize`
_register: Callable[..., None] = (
    OmegaConf.register_resolver if SINCE_1_4 else OmegaConf.register_new_resolver
)
AROUND = ("ganlab.grid", "ganlab.runs", "hydra_plugins", "hydra._internal.core_plugins")


def whitelist(packages: Sequence[str] = AROUND) -> AbstractContextManager[object]:
    """Inside the block Hydra builds what these packages hold, or what is named in full, alone."""
    if not SINCE_1_4:
        return nullcontext()
    patterns = [name for package in packages for name in (package, f"{package}.*")]
    block: AbstractContextManager[object] = import_module("hydra.utils").execution_whitelist(
        patterns, reset=True
    )
    return block


@contextmanager
def listed_as_found() -> Iterator[None]:
    """Inside the block Hydra copies none of its configs to list the options of a group.

    It does so for each group that its help lists, lest words of a search path change what it holds;
    where no word is given none does.
    """
    asked = ConfigLoaderImpl.get_group_options

    def options(
        self: ConfigLoaderImpl,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        if config_name or overrides:
            return asked(self, group_name, results_filter, config_name, overrides)
        return self.repository.get_group_options(group_name, results_filter)

    ConfigLoaderImpl.get_group_options = options  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.get_group_options = asked  # type: ignore[method-assign]


def build_node(node: Mapping[str, Any], packages: Sequence[str], given: Mapping[str, Any]) -> Any:
    """What a node of plain values says, out of these packages, with further arguments.

    Raises:
        hydra.errors.InstantiationException: it cannot be built.
    """
    with whitelist(packages):
        return instantiate(node, _convert_="all", **given)


def register_resolver(name: str, function: Callable[..., object]) -> None:
    """Let `${name:...}` in a config be what the function makes of its words."""
    _register(name, function, replace=True)
