"""Compare every number in the docs that links to a result with the result it links to.

A number stands in Markdown as `[4.41](docs/results/demo.json#fid1k_classifier)`: the text is the
value, rounded; the file is a run's `result.json`; the fragment names a score or a dotted key. Each
file must say its command, commit and seed. Exit code 1 and one line for each that fails.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+\.json)#([^)\s]+)\)")
PROVENANCE = ("command", "commit", "seed")


def value_of(result: dict[str, Any], key: str) -> float:
    """The score of that name, or the value under a dotted key; KeyError where there is neither."""
    for record in result.get("scores", []):
        if record["metric"] == key and not record.get("intervention"):
            return float(record["value"])
    node: Any = result
    for part in key.split("."):
        node = node[part]
    return float(node)


def agrees(text: str, value: float) -> bool:
    """Whether the printed text is the value rounded to the digits it shows."""
    digits = text.replace(",", "").strip()
    decimals = len(digits.partition(".")[2])
    return abs(float(digits) - value) <= 0.5 * 10.0**-decimals * (1 + 1e-9)


def check_link(page: Path, text: str, target: str, key: str) -> str | None:
    """What is wrong with one link, if anything."""
    path = (page.parent / target).resolve()
    if not path.is_file():
        return f"{target} does not exist"
    result = json.loads(path.read_text())
    missing = [name for name in PROVENANCE if result.get(name) is None]
    if missing:
        return f"{target} does not say its {', '.join(missing)}"
    try:
        value = value_of(result, key)
        return None if agrees(text, value) else f"says {text}, {target} has {key} = {value:g}"
    except KeyError:
        return f"{target} has no {key}"
    except ValueError:
        return f"{text!r} is no number"


def problems(pages: list[Path]) -> list[str]:
    """One line for every link of these pages that does not hold."""
    found = []
    for page in pages:
        for match in LINK.finditer(page.read_text()):
            if problem := check_link(page, *match.groups()):
                found.append(f"{page.name}: {problem}")
    return found


def main() -> None:
    """Check README.md, CONTRIBUTING.md, docs/ and benchmarks/."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    found = problems(sorted(pages))
    count = sum(len(LINK.findall(page.read_text())) for page in pages)
    print("\n".join(found) if found else f"{count} numbers agree with their results")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
