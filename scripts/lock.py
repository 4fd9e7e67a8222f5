"""The whole set of packages that the suite is run with: requirements.lock, by name and version.

    python scripts/lock.py           # in the environment of `make test`; or: make lock
    pip install -r requirements.lock && pip install --no-deps .

constraints.txt pins what ganlab asks for by name; the lock what these ask for too, as installed in
the Python that its first line names. Both are of CPU builds: a version's local part is left out.
"""

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILE = ROOT / "requirements.lock"


def asked(text: str, extra: str = "test") -> list[Requirement]:
    """What pyproject.toml asks for, with an extra."""
    found = []
    for name in (r"dependencies", re.escape(extra)):
        (block,) = re.findall(rf"^{name} = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
        found += [Requirement(each) for each in re.findall(r'^  "([^"]+)"', block, re.MULTILINE)]
    return found


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Name -> installed version of these and of all that they need here."""
    found: dict[str, str] = {}
    left = [*requirements]
    while left:
        each = left.pop()
        name = canonicalize_name(each.name)
        try:
            installed = version(name)
        except PackageNotFoundError:  # asked for by a package's extra alone, or on other machines
            continue
        news = name not in found
        found[name] = installed.partition("+")[0]
        if news or each.extras:
            left += [need for need in needs(name, each.extras) if need.name not in found]
    return found


def needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    """What a package needs here, with these of its extras."""
    for line in requires(name) or []:
        need = Requirement(line)
        marks = [{"extra": extra} for extra in (*extras, "")]
        if need.marker is None or any(need.marker.evaluate(mark) for mark in marks):
            yield need


def text(pins: dict[str, str]) -> str:
    """The lock."""
    python = ".".join(platform.python_version_tuple()[:2])
    head = f"# Python {python}; made by scripts/lock.py in the environment of `make test`.\n"
    return head + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


def main() -> None:
    """Write it."""
    FILE.write_text(text(closure(asked((ROOT / "pyproject.toml").read_text()))))
    print(f"{FILE.name}: {len(FILE.read_text().splitlines()) - 1} packages", file=sys.stderr)


if __name__ == "__main__":
    main()
