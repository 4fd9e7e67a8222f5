"""Notebooks as text: Python in Jupytext's percent format, run and shown.

    python scripts/notebooks.py                     # all of docs/notebooks
    python scripts/notebooks.py train scores        # some

Each is run as it is printed; what its cells show goes into docs/notebooks/<name>.json and
docs/images/notebooks, from where the site takes it without a kernel. `page` makes a notebook's
Markdown. A cell begins with `# %%`; one tagged `parameters` holds what a test makes smaller.
"""

import ast
import builtins
import contextlib
import hashlib
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

ROOT = Path(__file__).parents[1]
HOME = ROOT / "docs" / "notebooks"
PICTURES = ROOT / "docs" / "images" / "notebooks"
HEAD = re.compile(r'^# %%(?P<markdown> \[markdown\])?(?: tags=\["(?P<tag>\w+)"\])?\n', re.MULTILINE)
LARGE = 120_000  # bytes; a larger PNG becomes a JPEG

Shown = dict[str, str]  # kind -> its text, or the name of the picture's file
Keep = Callable[[int, bytes], str]  # a cell's number and its PNG -> the name of the file


@runtime_checkable
class Pictured(Protocol):
    """What shows itself in a notebook as a picture."""

    def _repr_png_(self) -> bytes: ...


@runtime_checkable
class Tabled(Protocol):
    """What shows itself in a notebook as Markdown."""

    def _repr_markdown_(self) -> str: ...


@dataclass(frozen=True)
class Cell:
    """One part of a notebook."""

    markdown: bool
    tag: str  # its only one, or nothing
    source: str
    line: int  # at which the source begins, from 0


def cells(text: str) -> list[Cell]:
    """The parts of a notebook in the percent format; each must begin with its line `# %%`."""
    heads = [*HEAD.finditer(text)]
    ends = [*(head.start() for head in heads[1:]), len(text)]
    found = []
    for head, end in zip(heads, ends, strict=True):
        source, markdown = text[head.end() : end].strip("\n"), head["markdown"] is not None
        if markdown:
            source = re.sub(r"^# ?", "", source, flags=re.MULTILINE)
        line = text.count("\n", 0, head.end())
        found.append(Cell(markdown, head["tag"] or "", source, line))
    return found


def digest(text: str) -> str:
    """What the code of a notebook is known by, whatever is said about it."""
    code = "\n".join(cell.source for cell in cells(text) if not cell.markdown)
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def run(
    path: Path, given: Mapping[str, Any], keep: Keep
) -> tuple[dict[str, Any], dict[int, Shown]]:
    """Run a notebook with these parameters in the place of its own.

    Returns its parameters, and what each of its cells shows by the cell's number.

    Raises:
        KeyError: no such parameter.
    """
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    parameters: dict[str, Any] = {}
    shown = {}
    for number, cell in enumerate(cells(path.read_text())):
        if cell.markdown:
            continue
        known = {*names}
        said = executed(cell, names, str(path), lambda png, number=number: keep(number, png))
        if said:
            shown[number] = said
        if cell.tag == "parameters":
            parameters = {name: names[name] for name in names.keys() - known}
            if unknown := given.keys() - parameters.keys():
                raise KeyError(f"{path.name} has no parameter {', '.join(sorted(unknown))}")
            names |= given
    return parameters | dict(given), shown


def executed(cell: Cell, names: dict[str, Any], file: str, keep: Callable[[bytes], str]) -> Shown:
    """Run a cell as a notebook does: its last line is shown, if it is an expression."""
    tree, last = ast.parse("\n" * cell.line + cell.source, file), None
    if isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, file, "exec"), names)
        value = None if last is None else eval(compile(last, file, "eval"), names)
    said = {"text": printed.getvalue().rstrip()} if printed.getvalue().strip() else {}
    if isinstance(value, Tabled):
        said["markdown"] = value._repr_markdown_()
    elif isinstance(value, Pictured):
        said["picture"] = keep(value._repr_png_())
    elif value is not None:
        said["text"] = "\n".join([*said.values(), repr(value)])
    return said


def page(path: Path) -> str:
    """The notebook as Markdown, with what its last run showed."""
    text, record = path.read_text(), path.with_suffix(".json")
    last = json.loads(record.read_text()) if record.is_file() else {"shown": {}}
    return "\n\n".join([*parts(cells(text), last["shown"]), *footer(path, last)]) + "\n"


def parts(found: list[Cell], shown: Mapping[str, Shown]) -> Iterator[str]:
    """Each cell, and under it what it shows; a comment on its last line is its picture's name."""
    for number, cell in enumerate(found):
        if cell.markdown:
            yield cell.source
            continue
        yield f"```python\n{cell.source}\n```"
        said = shown.get(str(number), {})
        if "text" in said:
            yield f"```text\n{said['text']}\n```"
        if "markdown" in said:
            yield said["markdown"].strip()
        if "picture" in said:
            _, _, name = cell.source.rpartition("\n")[2].partition("  # ")
            yield f"![{name}](../images/notebooks/{said['picture']})"


def footer(path: Path, last: Mapping[str, Any]) -> Iterator[str]:
    """How the notebook is run, and how what is shown was made."""
    where = f"`docs/notebooks/{path.name}`"
    yield (
        f"This page is {where}, a notebook kept as text: it runs as it is in an editor that knows "
        "`# %%` cells, with `jupytext --to ipynb` in Jupyter, and with "
        f"`python scripts/notebooks.py {path.stem}`."
    )
    if "command" in last:
        sizes = ", ".join(f"`{name}={value!r}`" for name, value in last["parameters"].items())
        yield (
            f"What it shows is of `{last['command']}` at commit `{last['commit']}`, {sizes}: "
            f"{last['seconds']} s on {last['threads']} core(s)."
        )


def kept(name: str, place: Path) -> Keep:
    """What writes a cell's picture there; a large one as a JPEG."""

    def keep(number: int, png: bytes) -> str:
        data, ending = png, "png"
        if len(png) > LARGE:
            file = io.BytesIO()
            Image.open(io.BytesIO(png)).convert("RGB").save(file, "JPEG", quality=88)
            data, ending = file.getvalue(), "jpg"
        place.mkdir(parents=True, exist_ok=True)
        for older in place.glob(f"{name}_{number}.*"):
            older.unlink()
        (place / f"{name}_{number}.{ending}").write_bytes(data)
        return f"{name}_{number}.{ending}"

    return keep


def show(path: Path, record: Path, place: Path) -> None:
    """Run a notebook at its own size and keep what it shows."""
    import torch

    from ganlab.runs.provenance import commit

    started = time.monotonic()
    parameters, shown = run(path, {}, kept(path.stem, place))
    last = {
        "command": f"python scripts/notebooks.py {path.stem}",
        "commit": commit(),
        "code": digest(path.read_text()),
        "parameters": parameters,
        "seconds": round(time.monotonic() - started),
        "threads": torch.get_num_threads(),
        "shown": shown,
    }
    record.write_text(json.dumps(last, indent=1) + "\n")


def main(names: list[str]) -> None:
    """Run these notebooks, or all."""
    for path in sorted(HOME.glob("*.py")):
        if not names or path.stem in names:
            show(path, path.with_suffix(".json"), PICTURES)
            print(path.with_suffix(".json").relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
