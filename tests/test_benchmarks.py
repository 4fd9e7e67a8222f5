"""Benchmarks are run for their claims of equal work; nothing here is timed."""

import ast
import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bare_loop_is_short_and_knows_no_lightning():
    tree = ast.parse((FOLDER / "overhead.py").read_text())
    bare = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "bare")
    assert bare.end_lineno - bare.lineno + 1 <= 60
    names = {node.id for node in ast.walk(bare) if isinstance(node, ast.Name)}
    assert not names & {"GAN", "Callback", "make_trainer"}


def test_both_loops_end_at_the_same_weights(tmp_path):
    overhead = loaded("overhead")
    data = overhead.synthetic(num=256, resolution=32, channels=1, batch_size=overhead.BATCH)
    data.prepare_data()
    data.setup("fit")
    _, *plain = overhead.bare(data, 4, 8)
    _, *ours = overhead.framework(data, 4, 8, tmp_path)
    gaps = list(map(overhead.largest_difference, plain, ours))
    assert max(gaps) <= 1e-6
    _, *longer = overhead.bare(data, 4, 9)
    assert max(map(overhead.largest_difference, longer, ours)) > 1e-6, "the comparison can fail"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_is_described(path):
    assert f"`{path.name}`" in (FOLDER / "README.md").read_text()
    assert ast.get_docstring(ast.parse(path.read_text()))
