"""The house rules that a machine can check."""

import ast
import statistics
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ganlab"
SOURCES = sorted(PACKAGE.rglob("*.py"))
RANKS = {
    "arguments": 0,
    "downloads": 0,
    "nn": 0,
    "places": 0,
    "processes": 0,
    "slurm": 0,
    "hydra_versions": 0,
    "storage": 0,
    "cli": 1,
    "features": 1,
    "losses": 1,
    "networks": 1,
    "checks": 2,
    "sampling": 2,
    "data": 3,
    "metrics": 3,
    "report": 3,
    "interop": 4,
    "loggers": 4,
    "scoring": 4,
    "systems": 4,
    "callbacks": 5,
    "config": 5,
    "studies": 5,
    "runs": 6,
    "app": 7,
    "run": 7,
    "grid": 8,
    "__main__": 9,
}
PURE = {"nn", "losses", "networks"}  # torch and the standard library only
FOREIGN = {"lightning", "hydra", "omegaconf", "torchmetrics", "logging", "numpy", "wandb"}
MAX_FILE_LINES, MAX_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 400, 40, 10


def part(module: str) -> str:
    """`ganlab.nn.tracing` -> `nn`."""
    return module.split(".")[1] if "." in module else ""


def owner(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path) -> set[str]:
    """Modules a file imports at any depth, those for type checking alone left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def length(node: ast.FunctionDef) -> int:
    """Lines of the body: the signature's argument table and the docstring do not count."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_from_lower_ranks(path):
    here = owner(path)
    if here == "__init__":
        return
    assert here in RANKS, f"give {here} a rank in this file and in CONTRIBUTING.md"
    for module in imported(path):
        there = part(module) if module.startswith("ganlab.") else ""
        if there in RANKS and there != here:
            assert RANKS[there] < RANKS[here], f"{path} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_parts_import_torch_alone(path):
    if owner(path) in PURE:
        foreign = {module.split(".")[0] for module in imported(path)} & FOREIGN
        assert not foreign, f"{path} imports {foreign}"


def test_no_modules_import_each_other_in_a_circle():
    """Not even for type checking: what two files say of each other belongs into a third."""
    names = {p: ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in SOURCES}
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    graph = {}
    for name, path in modules.items():
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        pairs = [(f"{n.module}.{alias.name}", n.module) for n in nodes for alias in n.names]
        named = {whole if whole in modules else module for whole, module in pairs}
        graph[name] = (named & modules.keys()) - {name}
    leaves = True
    while leaves:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, f"in circles, or on the way to one: {sorted(graph)}"


def test_networks_do_not_import_each_other():
    for path in (PACKAGE / "networks").glob("*.py"):
        inside = {m for m in imported(path) if m.startswith("ganlab.networks.")}
        others = {m for m in inside if not m.startswith("ganlab.networks.base")}
        assert path.stem == "__init__" or not others, f"{path} imports {others}"


def test_hooks_live_in_tracing_alone():
    users = [
        p
        for p in SOURCES
        if "register_forward" in p.read_text() or "register_full" in p.read_text()
    ]
    assert users == [PACKAGE / "nn" / "tracing.py"]


def test_no_file_is_too_long():
    long = {str(p): n for p in SOURCES if (n := len(p.read_text().splitlines())) > MAX_FILE_LINES}
    assert not long


def test_no_function_is_too_long():
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length(node)
        for path in SOURCES
        for node in functions(path)
        if length(node) > MAX_FUNCTION_LINES
    }
    assert not long


def test_functions_are_short_in_the_middle():
    lengths = [length(node) for path in SOURCES for node in functions(path)]
    assert statistics.median(lengths) < MEDIAN_FUNCTION_LINES


def test_importing_the_package_is_cheap():
    """`--help` must not wait for torch."""
    light = [
        PACKAGE / "__init__.py",
        PACKAGE / "arguments.py",
        PACKAGE / "cli.py",
        PACKAGE / "places.py",
        PACKAGE / "runs" / "__init__.py",
        PACKAGE / "runs" / "locks.py",
        PACKAGE / "runs" / "directory.py",
        PACKAGE / "runs" / "beginning.py",
        ROOT / "train.py",
        ROOT / "evaluate.py",
    ]
    for path in light:
        top = [
            n
            for n in ast.parse(path.read_text()).body
            if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        names = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in top}
        assert not {name for name in names if name.split(".")[0] in {"torch", "lightning"}}, path


def test_ranks_form_a_ladder():
    values = sorted(set(RANKS.values()))
    assert all(b - a == 1 for a, b in pairwise(values))
