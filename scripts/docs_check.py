"""Compare every number in the docs that names a result with the result it names.

In a sentence a number is a link, `[4.41](docs/results/demo.json#fid1k_classifier)`: the text is the
value, rounded; the file is a run's `result.json`; the fragment names a score or a dotted key. Above
a table stands where its numbers come from, a row and a column each:

    <!-- results/neurons.json#tables.table
    columns: - lr_neurons realism,realism_std,_
    rows: bottom_2000 top_2000 -
    -->

`-` is a row or a column without numbers of this file; the numbers of a cell are named in their
order, `_` is one of the paper's; a cell without numbers stands for a value that is missing. Further
files follow in the same comment; columns stay as they were said last. Each file must say its
command, commit and seed.

Every file of docs/results must say of how many its numbers are (`n`, or `n_fake` of each score),
have been made at a commit without changes of its own, and by a command that still composes, whose
inputs some command of these pages makes. One that cannot be made anew says so in `reservation`, a
sentence that stands on every page with a number of it. Exit code 1, one line for each that fails.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+\.json)#([^)\s]+)\)")
TABLE = re.compile(r"<!-- (\S+\.json#[^>]*)-->\n((?:\|.*\n)+)")
BLOCK = re.compile(
    r"(\S+\.json)#(\S*)\n\s*(?:columns:((?:\s+(?!rows:)\S+)+)\s+)?rows:((?:\s+(?!\S+\.json#)\S+)+)"
)
NUMBER = re.compile(r"(?<![\w.])-?[\d,]*\d(?:\.\d+)?(?!\w)")
PROVENANCE = ("command", "commit", "seed")


@dataclass(frozen=True)
class Claim:
    """A number of a page: as it is printed, and where it is from."""

    text: str | None  # None = the table says that there is none
    target: str  # the result's file, relative to the page
    key: str  # a score's name, or a dotted key


def value_of(result: dict[str, Any], key: str) -> float | None:
    """The score of that name, or the value under a dotted key; KeyError where there is neither."""
    for record in result.get("scores", []):
        if record["metric"] == key and not record.get("intervention"):
            return float(record["value"])
    node: Any = result
    for part in key.split("."):
        node = node[part]
    return None if node is None else float(node)


def agrees(text: str, value: float) -> bool:
    """Whether the printed text is the value rounded to the digits it shows."""
    digits = text.replace(",", "").strip()
    decimals = len(digits.partition(".")[2])
    return abs(float(digits) - value) <= 0.5 * 10.0**-decimals * (1 + 1e-9)


def check(page: Path, claim: Claim) -> str | None:
    """What is wrong with one number, if anything."""
    path = (page.parent / claim.target).resolve()
    if not path.is_file():
        return f"{claim.target} does not exist"
    result = json.loads(path.read_text())
    missing = [name for name in PROVENANCE if result.get(name) is None]
    if missing:
        return f"{claim.target} does not say its {', '.join(missing)}"
    try:
        value = value_of(result, claim.key)
    except KeyError:
        return None if claim.text is None else f"{claim.target} has no {claim.key}"
    if claim.text is None or value is None:
        same = claim.text is None and value is None
        return None if same else f"says {claim.text}, {claim.target} has {claim.key} = {value}"
    try:
        ok = agrees(claim.text, value)
    except ValueError:
        return f"{claim.text!r} is no number"
    return None if ok else f"says {claim.text}, {claim.target} has {claim.key} = {value:g}"


def linked(text: str) -> Iterator[Claim]:
    """The numbers of sentences."""
    for match in LINK.finditer(text):
        yield Claim(*match.groups())


def cells_of(line: str) -> list[str]:
    """`| a | b |` -> a, b."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tabled(comment: str, table: str) -> Iterator[Claim]:
    """The numbers of a table, as the comment above it says.

    Raises:
        ValueError: the comment does not fit the table.
    """
    blocks = BLOCK.findall(comment)
    rows = [cells_of(line) for line in table.strip().splitlines()[2:]]
    columns: list[str] = []
    for target, prefix, said, keys in blocks:
        columns = said.split() or columns
        if len(keys.split()) != len(rows) or any(len(row) != len(columns) for row in rows):
            there = ", ".join(sorted({str(len(row)) for row in rows}))
            raise ValueError(
                f"{target}: {len(keys.split())} rows and {len(columns)} columns are named above a "
                f"table of {len(rows)} rows and {there} columns"
            )
        for key, row in zip(keys.split(), rows, strict=True):
            for names, cell in zip(columns, row, strict=True):
                if "-" not in (key, names):
                    yield from cell_claims(cell, target, f"{prefix}.{key}".strip("."), names)
    if not blocks:
        raise ValueError(f"the comment {comment.split()[0]} names no rows")


def cell_claims(cell: str, target: str, row: str, names: str) -> Iterator[Claim]:
    """The numbers of one cell, which `names` names in their order.

    Raises:
        ValueError: it has another number of numbers.
    """
    numbers, keys = NUMBER.findall(cell), names.split(",")
    if numbers and len(numbers) != len(keys):
        raise ValueError(f"the cell {cell!r} should hold {len(keys)} numbers ({names})")
    for text, key in zip(numbers or [None] * len(keys), keys, strict=True):
        if key != "_":
            yield Claim(text, target, f"{row}.{key}")


def problems(pages: list[Path]) -> list[str]:
    """One line for every number of these pages that does not hold."""
    found = []
    for page in pages:
        try:
            said = [check(page, claim) for claim in claims(page)]
        except ValueError as error:
            said = [str(error)]
        found += [f"{page.name}: {problem}" for problem in said if problem]
    return found


def claims(page: Path) -> list[Claim]:
    """Every number of a page that names a result; ValueError: see `tabled`."""
    text = page.read_text()
    tables = [claim for comment, table in TABLE.findall(text) for claim in tabled(comment, table)]
    return [*linked(text), *tables]


def counted(result: dict[str, Any]) -> bool:
    """Whether a result says of how many its numbers are."""
    records = [*result.get("scores", [])]
    for cell in result.get("cells", {}).values():
        records += cell.get("scores", [])
    if any(record.get("n_fake") is None for record in records):
        return False
    return bool(result.get("n") or records)


def uncomposed(command: str) -> str | None:
    """Why a command would not begin today, if it would not."""
    try:
        python, script, *words = shlex.split(command)
    except ValueError as error:
        return f"its command is none: {error}"
    if python != "python" or not (ROOT / script).is_file():
        return f"its command names no script: {script}"
    if script not in ("train.py", "evaluate.py"):
        text = (ROOT / script).read_text()
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown = [flag for flag in flags if not re.search(rf"\b{flag[2:]}\b", text)]
        return f"its command has {unknown[0]}, which {script} has not" if unknown else None
    return _refused(script.removesuffix(".py"), words)


def _refused(name: str, words: Iterable[str]) -> str | None:
    """Why Hydra does not compose a config under these words, of several values the first."""
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from ganlab.cli import conf_dir, register_resolvers
    from ganlab.hydra_versions import BASE

    register_resolvers()
    given = [word for word in words if not word.startswith("-")]
    try:
        parsed = OverridesParser.create().parse_overrides(given)
        single = [
            f"{each.key_or_group}={next(iter(each.sweep_string_iterator()))}"
            if each.is_sweep_override()
            else str(each.input_line)
            for each in parsed
        ]
        with initialize_config_dir(str(conf_dir()), **BASE):
            compose(name, single)
    except (HydraException, OmegaConfBaseException) as error:
        return f"its command does not compose: {str(error).splitlines()[0]}"
    return None


def unmade(command: str, pages: str) -> str | None:
    """An input of a command that no text of the pages makes, if there is one."""
    for path in re.findall(r"outputs/[\w./+-]+", command):
        run = re.sub(r"/(checkpoints|samples|[^/]+\.(npz|png|npy))(/.*)?$", "", path)
        above = [str(each) for each in Path(run).parents if len(each.parts) > 2]  # of a grid's cell
        if not any(each in pages for each in (path, run if "/" in run else path, *above)):
            return f"no command makes its input {path}"
    return None


def wanting(path: Path, pages: str) -> list[str]:
    """What a result file lacks."""
    result = json.loads(path.read_text())
    found = []
    if not counted(result):
        found.append("does not say of how many its numbers are")
    if "+" in str(result.get("commit")):
        found.append(f"was made at {result['commit']}, a commit with changes")
    command = str(result.get("command", ""))
    found += [wrong for wrong in (uncomposed(command), unmade(command, pages)) if wrong]
    return found


def flat(text: str) -> str:
    """Words with one space between them."""
    return " ".join(text.split())


def record_problems(files: Iterable[Path], pages: Iterable[Path], makers: str) -> list[str]:
    """One line for everything that result files lack and do not own up to on their pages."""
    texts = {page: page.read_text() for page in pages}
    found = []
    for path in sorted(files):
        reservation = json.loads(path.read_text()).get("reservation")
        wrong = wanting(path, makers)
        if reservation is None:
            found += [f"{path.name}: {each}" for each in wrong]
            continue
        if not wrong:
            found.append(f"{path.name}: has a reservation and lacks nothing")
        silent = [
            page.name
            for page, text in texts.items()
            if re.search(rf"(?<!\w){re.escape(path.name)}#", text)
            and flat(reservation) not in flat(text)
        ]
        found += [f"{page}: has numbers of {path.name} without: {reservation}" for page in silent]
    return found


def makers_of(pages: Iterable[Path]) -> str:
    """The text of all that says how things are made, the Makefile's own words written out."""
    rules = (ROOT / "Makefile").read_text()
    for name, value in re.findall(r"^(\w+) := (\S+)$", rules, re.MULTILINE):
        rules = rules.replace(f"$({name})", value)
    return "\n".join([rules, *(page.read_text() for page in pages)])


def main() -> None:
    """Check README.md, CONTRIBUTING.md, docs/ and benchmarks/."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    results = ROOT.glob("docs/results/*.json")
    found = problems(sorted(pages)) + record_problems(results, pages, makers_of(pages))
    if found:
        print("\n".join(found))
        sys.exit(1)
    print(f"{sum(len(claims(page)) for page in pages)} numbers agree with their results")


if __name__ == "__main__":
    main()
