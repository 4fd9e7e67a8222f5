"""Where a result came from: config, overrides, versions, commit."""

import hashlib
import json
import platform
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ganlab import __version__
from ganlab.arguments import PLAIN, SEARCHED, quote
from ganlab.checks.defaults import without_defaults

PACKAGES = ("torch", "lightning", "hydra-core", "torchmetrics", "numpy")


@dataclass(frozen=True)
class Origin:
    """What a run was started with."""

    overrides: list[str]  # the words of the command line
    choices: dict[str, str]  # config group -> option
    grid: str = ""  # name of the grid it is a cell of
    cell: dict[str, Any] = field(default_factory=dict)  # swept key -> value


_declared: list[Origin] = []  # of a process that Hydra did not start


def declare(origin: Origin) -> None:
    """Say what this process's run was started with, where Hydra is not there to tell."""
    _declared[:] = [origin]


def origin() -> Origin | None:
    """What this process's run was started with; None where nobody said."""
    if _declared:
        return _declared[0]
    if not HydraConfig.initialized():
        return None
    hydra = HydraConfig.get()
    choices = {name: str(value) for name, value in hydra.runtime.choices.items()}
    return Origin([*search_path_words(hydra), *raw_words(hydra.overrides.task)], choices)


def search_path_words(hydra: HydraConf) -> list[str]:
    """The word for the folders and packages that a command line adds to the configs' path."""
    places = [
        f"{source.schema}://{source.path}"
        for source in hydra.runtime.config_sources
        if "command-line" in source.provider
    ]
    shown = [place if PLAIN.fullmatch(place) else quote(place) for place in places]
    return [f"{SEARCHED}=[{','.join(shown)}]"] if shown else []


def raw_words(words: Sequence[str]) -> list[str]:
    """Override words as they were typed: an interpolation in one waits for its run."""
    plain: Any = OmegaConf.to_container(words, resolve=False)
    return [str(word) for word in plain]


def config_hash(
    settings: dict[str, Any],
    anywhere: bool = False,  # True: paths in the output directory count by what follows it
) -> str:
    """Twelve hexadecimal digits that agree for equal configs.

    A key at its constructor's default counts as none. With `anywhere` their output directories and
    how a run was continued may differ; without, whatever writes to one tells them apart, as it must
    the ranks of one run.
    """
    kept = without_defaults(recipe_in(settings) if anywhere else _told_apart(settings))
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def recipe_in(settings: dict[str, Any]) -> dict[str, Any]:
    """What of a config says what is trained: paths in its directory count by what follows it."""
    kept = _told_apart(settings)
    if "resume" in kept:  # a word on the way here
        kept["resume"] = "exact"
    home = settings.get("run_dir")
    found: dict[str, Any] = _within(kept, str(home)) if home else kept
    return found


def _told_apart(settings: dict[str, Any]) -> dict[str, Any]:
    left_out = ("run_dir", "ckpt", "logger", "grid")
    return {key: value for key, value in settings.items() if key not in left_out}


def _within(node: object, home: str) -> Any:
    if isinstance(node, dict):
        return {key: _within(value, home) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_within(value, home) for value in node]
    return relative_value(node, home)


def relative_value(value: Any, home: str) -> Any:
    """A setting's value; of a path in this directory only what follows it, after a dot."""
    inside = isinstance(value, str) and f"{value}/".startswith(f"{home}/")
    return f".{value.removeprefix(home)}" if inside else value


def commit() -> str | None:
    """Commit of the source tree, with `+` when it has changes; None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def provenance(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """The part of `result.json` that lets a reader repeat the run, asked for as it starts."""
    facts: dict[str, Any] = {
        "kind": kind,
        "config_hash": config_hash(settings, anywhere=True),
        "seed": settings["seed"],
        "config": settings,
        "commit": commit(),
        "versions": {
            "ganlab": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    facts |= start_record(kind)
    if facts.get("data") in (None, "None"):  # an evaluation on its checkpoint's data
        facts["data"] = settings["data"].get("name")
    return facts


def start_record(kind: str) -> dict[str, Any]:
    """The command, the choices and the grid of this process's run; nothing where nobody said."""
    said = origin()
    if said is None:
        return {}
    facts: dict[str, Any] = {"overrides": said.overrides}
    names = ("model", "data", "study")
    facts |= {name: said.choices[name] for name in names if name in said.choices}
    facts |= {"grid": said.grid, "cell": said.cell} if said.grid else {}
    facts["command"] = shlex.join(["python", f"{kind}.py", *said.overrides])  # to be pasted
    return facts
