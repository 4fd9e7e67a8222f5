"""What a constructor takes where a config says nothing: a key at that value says nothing either.

So options can be listed in a config without changing what older runs were. Defaults are read from
the source, and nothing is imported for it: the driver of grids does without torch. One that is no
plain value there is not known, and a key of it is compared as it stands.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
TARGET = "_target_"
Definition = ast.ClassDef | ast.FunctionDef


def without_defaults(node: object) -> Any:
    """A config without those keys of its targets that are at their defaults."""
    if isinstance(node, list | tuple):
        return [without_defaults(each) for each in node]
    if not isinstance(node, dict):
        return node
    target = node.get(TARGET)
    silent = defaults_of(target) if isinstance(target, str) else {}
    return {
        key: without_defaults(value)
        for key, value in node.items()
        if not (key in silent and same(value, silent[key]))
    }


def value_or_default(node: Mapping[Any, Any], key: Any) -> Any:
    """What a node of a config says of a key; where it says nothing, its constructor's default."""
    target = str(node.get(TARGET))
    return node.get(key, {**handed_on(target), **defaults_of(target)}.get(key))


def same(value: object, default: object) -> bool:
    """Whether a config's value is a default, lists being tuples and true not 1."""
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        return len(value) == len(default) and all(map(same, value, default))
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)


@cache
def defaults_of(target: str) -> Mapping[str, Any]:
    """The plain defaults of a class or a function of ours, by parameter; none of anybody else's."""
    place = definition_of(*target.rpartition(".")[::2])
    return {} if place is None else dict(default_parameters(*place))


@cache
def handed_on(target: str) -> Mapping[str, Any]:
    """Those of the class that a function of ours returns and hands its `**options` to."""
    module, node = definition_of(*target.rpartition(".")[::2]) or ("", None)
    if not (isinstance(node, ast.FunctionDef) and node.args.kwarg):
        return {}
    returned = node.returns.id if isinstance(node.returns, ast.Name) else ""
    place = definition_of(module, returned)
    return {} if place is None else dict(default_parameters(*place))


@cache
def body_of(module: str) -> list[ast.stmt]:
    """The statements of a module of ours; none of another's."""
    first, *rest = module.split(".")
    if first != PACKAGE.name or not all(part.isidentifier() for part in rest):
        return []
    path = PACKAGE.joinpath(*rest)
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(found.read_text(encoding="utf-8")).body if found.is_file() else []


def definition_of(module: str, name: str) -> tuple[str, Definition] | None:
    """Where something is defined that a module has, and its definition."""
    for statement in body_of(module):
        if isinstance(statement, Definition) and statement.name == name:
            return module, statement
        if isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return definition_of(statement.module, alias.name)
    return None


def default_parameters(module: str, node: Definition) -> Iterator[tuple[str, Any]]:
    """Parameters with plain defaults: of a function, an `__init__`, or a dataclass's fields."""
    constants = constants_of(module)
    if isinstance(node, ast.FunctionDef):
        yield from arguments(node.args, constants)
        return
    own = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    if made := [each for each in own if each.name == "__init__"]:
        yield from arguments(made[0].args, constants)
        return
    for base in node.bases:
        if isinstance(base, ast.Name) and (place := definition_of(module, base.id)):
            yield from default_parameters(*place)
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field.annotation):
            continue
        if isinstance(field.target, ast.Name) and field.value:
            yield from plain_constants(field.target.id, field.value, constants)


def arguments(taken: ast.arguments, constants: Mapping[str, ast.expr]) -> Iterator[tuple[str, Any]]:
    """Parameters of a signature with plain defaults."""
    named = [*taken.posonlyargs, *taken.args]
    pairs = list(zip(named[::-1], taken.defaults[::-1], strict=False))
    pairs += [(a, d) for a, d in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if d]
    for argument, default in pairs:
        yield from plain_constants(argument.arg, default, constants)


def plain_constants(
    name: str, value: ast.expr, constants: Mapping[str, ast.expr]
) -> Iterator[tuple[str, Any]]:
    """The pair, where the value is plain, or a module's constant that is."""
    if isinstance(value, ast.Name):
        value = constants.get(value.id, value)
    try:
        yield name, ast.literal_eval(value)
    except ValueError:
        return


def constants_of(module: str) -> dict[str, ast.expr]:
    """What names of a module are set to, once each."""
    found = [
        each for each in body_of(module) if isinstance(each, ast.Assign) and len(each.targets) == 1
    ]
    return {
        each.targets[0].id: each.value for each in found if isinstance(each.targets[0], ast.Name)
    }
