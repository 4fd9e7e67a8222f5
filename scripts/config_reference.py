"""Pages of every config group: its options, their keys, defaults, types and meanings.

    python scripts/config_reference.py <folder>            # the site's build calls it
    python scripts/config_reference.py tests/defaults.txt  # after a change that CHANGELOG.md tells

Everything comes from where it is in force: keys, defaults and meanings from the YAML and its
comments, types from the constructor that a `_target_` names. A base (`_gan`) is told once.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import key_words
import yaml

from ganlab.cli import conf_dir
from ganlab.config import locate

GROUPS = {
    "data": "The images a run is trained on and scored against.",
    "model": "Networks with their losses and optimizers: one config, one Lightning module.",
    "model/augment": "What the discriminator sees, changed at random, where images are few.",
    "model/conditioner": "What conditional networks are told.",
    "model/loss": "Adversarial losses.",
    "model/mirror": "The classifier whose features the semantic pyramid inverts.",
    "model/norm": "The normalization of a StyleGAN's layers.",
    "model/penalties": "Penalties on the discriminator.",
    "model/power_averages": "Averages of the generator to make others of afterwards.",
    "model/schedule": "Learning rates along the clock.",
    "features": "The frozen network in whose features the scores are taken.",
    "metrics": "Which scores, of how many images.",
    "study": "Questions asked of a checkpoint by `evaluate.py`.",
    "callbacks": "What watches a run; it steers nothing.",
    "trainer": "The machine.",
    "logger": "Where curves go besides `metrics.csv`.",
}
COMMANDS = {"train": "`python train.py`", "evaluate": "`python evaluate.py`"}


@dataclass(frozen=True)
class Key:
    """A key of a config: where it stands, what it is unless set, of which type, what it means."""

    name: str
    default: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Source:
    """A YAML file with the comments that a parser drops."""

    path: Path

    @property
    def lines(self) -> list[str]:
        """Of the file."""
        return self.path.read_text(encoding="utf-8").splitlines()

    @property
    def about(self) -> list[str]:
        """The comment it begins with."""
        found = []
        for line in self.lines:
            if not line.startswith("#"):
                break
            found.append(line[1:].strip())
        return [line for line in found if not line.startswith("@package")]

    def comment(self, node: yaml.Node) -> str:
        """Behind a value, on its line."""
        behind = re.match(r"\s*#\s*(.*)", self.lines[node.end_mark.line][node.end_mark.column :])
        return behind[1] if behind else ""

    def above(self, node: yaml.Node) -> str:
        """The lines of comment directly above a key, unless they begin the file."""
        found, number = [], node.start_mark.line - 1
        while number >= 0 and self.lines[number].strip().startswith("#"):
            found.insert(0, self.lines[number].strip()[1:].strip())
            number -= 1
        return "" if number < 0 else " ".join(found)

    def text(self, node: yaml.Node) -> str:
        """A value as it is written."""
        start, end = node.start_mark, node.end_mark
        lines = self.lines[start.line : end.line + 1]
        lines[-1] = lines[-1][: end.column]
        lines[0] = lines[0][start.column :]
        return " ".join(line.strip() for line in lines)

    @property
    def root(self) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """Its keys and their values."""
        node = yaml.compose("\n".join(self.lines))
        return node.value if isinstance(node, yaml.MappingNode) else []

    @property
    def defaults(self) -> list[tuple[str, str | None, str]]:
        """What it is composed of: (name, choice, comment), the choice None for a base."""
        listed = next((value for key, value in self.root if key.value == "defaults"), None)
        found: list[tuple[str, str | None, str]] = []
        for each in listed.value if isinstance(listed, yaml.SequenceNode) else []:
            if isinstance(each, yaml.ScalarNode):
                found += [] if each.value == "_self_" else [(each.value, None, "")]
                continue
            ((name, choice),) = each.value
            said = self.comment(choice)
            found.append((name.value.removeprefix("override "), self.text(choice), said))
        return found


def constructor(target: str) -> Callable[..., object] | None:
    """What a `_target_` names; None where it is not to be had here."""
    try:
        return locate(target, [target.partition(".")[0]])
    except Exception:  # an optional part that is not installed
        return None


@cache
def field_comments(built: Callable[..., object]) -> dict[str, str]:
    """Behind the fields of a dataclass and its bases, in the source."""
    found: dict[str, str] = {}
    for each in reversed(inspect.getmro(built)) if inspect.isclass(built) else ():
        if dataclasses.is_dataclass(each):
            lines = re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(each), re.MULTILINE)
            found |= dict(lines)
    return found


def typed(built: Callable[..., object] | None, name: str) -> str:
    """The annotation of a parameter, without the modules its names come from."""
    parameter = inspect.signature(built).parameters.get(name) if built else None
    if parameter is None or parameter.annotation is parameter.empty:
        return ""
    text = parameter.annotation
    text = text if isinstance(text, str) else inspect.formatannotation(text)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def walk(source: Source, pairs: list, prefix: str, built: Callable[..., object] | None) -> Iterator:
    """Every key below a mapping."""
    target = next((value.value for key, value in pairs if key.value == "_target_"), None)
    built = constructor(target) if target else built
    for key, value in pairs:
        if key.value in ("defaults", "_target_", "_partial_", "hydra"):
            continue
        name = f"{prefix}{key.value}"
        inner = value.value if isinstance(value, yaml.MappingNode) else []
        if inner and value.start_mark.line != key.start_mark.line:
            yield from walk(source, inner, f"{name}.", None)
            continue
        said = source.above(key) or source.comment(value)
        said = said or (field_comments(built).get(key.value, "") if built else "")
        yield Key(name, source.text(value), typed(built, key.value), said)


def keys(path: Path, group: str = "") -> list[Key]:
    """Of one file, without its bases."""
    source, prefix = Source(path), f"{group.replace('/', '.')}." if group else ""
    return list(walk(source, source.root, prefix, None))


def options(group: str) -> list[Path]:
    """Of a group, its bases (`_gan`) first."""
    return sorted((conf_dir() / group).glob("*.yaml"))


def escaped(text: str) -> str:
    """Prose in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Code in a cell of a table; empty stays empty."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def table(found: list[Key]) -> list[str]:
    """Rows of Markdown; a table none of whose keys has a type has no column of types."""
    if not found:
        return []
    rows = [["key", "default", "type", "meaning"], ["---"] * 4]
    rows += [[*map(code, (k.name, k.default, k.type)), escaped(k.meaning)] for k in found]
    if not any(key.type for key in found):
        rows = [[*row[:2], row[3]] for row in rows]
    return ["{.keys}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def composed_of(source: Source, group: str) -> list[str]:
    """One line on bases and on parts that can be chosen."""
    bases = [name for name, choice, _ in source.defaults if choice is None]
    parts = [
        (name.split("@")[0].lstrip("/"), choice, said)
        for name, choice, said in source.defaults
        if choice is not None
    ]
    found = [f"Keys of [{base}](#{anchor(base)}) too." for base in bases]
    for name, choice, said in parts:
        place = name if name in GROUPS else f"{group}/{name}"
        found.append(f"`{place}={choice}`{f': {escaped(said)}' if said else ''}.")
    return [" ".join(found), ""] if found else []


def anchor(name: str) -> str:
    """Of a heading, as the site makes them."""
    return re.sub(r"[^\w-]", "", name.lower())


@cache
def told(group: str) -> dict[str, str]:
    """What a group's keys mean, for options that do not say it again."""
    found: dict[str, str] = {}
    for path in options(group) if group else []:
        found = {key.name: key.meaning for key in keys(path, group) if key.meaning} | found
    return found


def section(path: Path, group: str) -> list[str]:
    """One option of a group."""
    source = Source(path)
    about = [
        f"`{line}`" if line.startswith(("python ", "experiment=")) else escaped(line)
        for line in source.about
    ]
    lines = [f"## {path.stem}", "", *about, "", *composed_of(source, group)]
    return [*lines, *table(explained(path, group))]


def explained(path: Path, group: str = "") -> list[Key]:
    """Keys with the meaning that another option or `key_words` gives where their own says none."""
    known = told(group)
    return [
        dataclasses.replace(
            key, meaning=key.meaning or known.get(key.name, "") or key_words.meaning(key.name)
        )
        for key in keys(path, group)
    ]


def page(group: str) -> str:
    """Of a group, every option a section; bases first."""
    names = [path.stem for path in options(group) if not path.stem.startswith("_")]
    chosen = " ".join(f"[`{name}`](#{anchor(name)})" for name in names)
    intro = [f"# {group}", "", GROUPS[group], "", f"`{group}=` {chosen}", ""]
    return "\n".join([*intro, *(line for path in options(group) for line in section(path, group))])


def command_page(name: str) -> str:
    """Of a command: the keys that stand in no group."""
    source = Source(conf_dir() / f"{name}.yaml")
    chosen = [f"`{each}={choice}`" for each, choice, _ in source.defaults if choice]
    lines = [f"# {name}.py", "", *source.about, "", "Begins with " + ", ".join(chosen) + ".", ""]
    return "\n".join([*lines, *table(explained(source.path))])


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    found = {f"{name}.md": command_page(name) for name in COMMANDS}
    found |= {f"{group.replace('/', '_')}.md": page(group) for group in GROUPS}
    listed = "\n".join(name.removesuffix(".md") for name in found)
    about = "Every key with its default, its type and what it means, as this version has them."
    found["index.md"] = f"# Keys\n\n{about}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    return found


def defaults() -> list[str]:
    """What a command without words does: each option of each group, its keys and their values."""
    files = [(conf_dir() / f"{name}.yaml", "") for name in COMMANDS]
    files += [(path, group) for group in GROUPS for path in options(group)]
    lines = []
    for path, group in files:
        said = {name: choice for name, choice, _ in Source(path).defaults if choice}
        said |= {key.name: key.default for key in keys(path, group)}
        lines += [
            f"{group}={path.stem} {name}: {value}".lstrip("=") for name, value in said.items()
        ]
    return lines


def main(folder: Path) -> None:
    """Write the pages into a folder, or the defaults into a text file."""
    if folder.suffix == ".txt":
        folder.write_text("\n".join(defaults()) + "\n", encoding="utf-8")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
