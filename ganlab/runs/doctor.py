"""`python -m ganlab doctor`: what a report of a problem should say of the machine it came from.

No user, no host and no folder of anybody's is named, so that the text can be shown as it is.
"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch

from ganlab import __version__
from ganlab.downloads import cache_dir
from ganlab.runs.provenance import commit

REQUIREMENT = re.compile(
    r"""(?P<name>[\w.-]+)(?P<bounds>[^;]*?)\s*(?:;\s*extra\s*==\s*['"](?P<extra>[\w-]+)['"])?"""
)
OURS = ("images", "generated", "indices", "reals", "fashion_mnist", "faces", "eyes", "hub")
GIB = 2**30


def report() -> str:
    """Versions, devices, optional parts and caches, a section each."""
    sections = {
        "versions": versions(),
        "devices": devices(),
        "optional parts": parts(),
        "kept files": cache_sizes(cache_dir()),
    }
    return "\n\n".join(
        "\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items()
    )


def versions() -> Iterator[str]:
    """ganlab with its commit, Python, the system, and each package that ganlab requires."""
    known = commit()
    yield f"ganlab {__version__}" + (f" (commit {known})" if known else "")
    yield f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    for name, bounds, extra in requirements():
        if extra is None:
            yield f"{name} {installed_version(name) or 'is missing'} (asked for: {bounds or 'any'})"


def devices() -> Iterator[str]:
    """What torch can compute on, and the memory of each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    yield f"{cores} CPU cores, {torch.get_num_threads()} threads of torch, {memory:.0f} GiB memory"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield f"cuda:{index} {device.name}, {device.total_memory / GIB:.0f} GiB"
    if not torch.cuda.is_available():
        built = torch.version.cuda
        yield f"no GPU ({f'torch is built for CUDA {built}' if built else 'torch is a CPU build'})"
    if torch.backends.mps.is_available():
        yield "mps"


def parts() -> Iterator[str]:
    """Each extra of ganlab: its packages' versions, or how to install it."""
    extras: dict[str, list[str]] = {}
    for name, _, extra in requirements():
        if extra is not None:
            extras.setdefault(extra, []).append(name)
    for extra, names in extras.items():
        found = {name: installed_version(name) for name in names}
        there = ", ".join(f"{name} {known}" for name, known in found.items() if known)
        missing = ", ".join(name for name, known in found.items() if not known)
        hint = f"without {missing}: pip install ganlab[{extra}]" if missing else ""
        yield f"{extra}: {'; '.join(filter(None, (there, hint)))}"


def cache_sizes(folder: Path) -> Iterator[str]:
    """Sizes of what is kept for all runs, and the disk that is left there."""
    if not folder.is_dir():
        yield f"none yet, in {place()}"
        return
    sizes: dict[str, int] = {}
    for path in sorted(folder.iterdir()):
        name = path.name if path.name in OURS else "other files"  # may be called after anything
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        sizes[name] = sizes.get(name, 0) + sum(each.stat().st_size for each in files)
    for name in (*OURS, "other files"):
        if name in sizes:
            yield f"{name}: {sizes[name] / 1e6:.1f} MB"
    yield f"in {place()}, {shutil.disk_usage(folder).free / GIB:.1f} GiB free"


def place() -> str:
    """Where things are kept, without what a user called it."""
    chosen = [name for name in ("GANLAB_CACHE", "XDG_CACHE_HOME") if os.environ.get(name)]
    return f"the folder of {chosen[0]}" if chosen else "~/.cache/ganlab"


def requirements() -> Iterator[tuple[str, str, str | None]]:
    """Name, bounds and extra of each package that ganlab's metadata name; none without metadata."""
    try:
        lines = requires("ganlab") or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        if found := REQUIREMENT.fullmatch(line):
            yield found["name"], found["bounds"].strip(), found["extra"]


def installed_version(name: str) -> str | None:
    """The version of a package that is there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
