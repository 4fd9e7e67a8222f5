"""What a campaign remembers and reports: one line a trial, a table, and a file for the docs."""

import json
import os
import platform
import re
import socket
from collections import Counter
from pathlib import Path
from typing import Any

RESULT = "results/reliability.json"  # in docs/
LINK = re.compile(rf"\[[^\]]*\]\({RESULT}#([^)\s]+)\)")
BLOCK = re.compile(r"(?<=<!-- campaign -->\n).*?(?=<!-- end of campaign -->)", re.DOTALL)


class Records:
    """A campaign's directory: what it is, and every trial that came to an end.

    Raises:
        ValueError: the directory holds another campaign.
    """

    def __init__(
        self,
        directory: Path,
        about: dict[str, Any],  # what all trials have in common: seed, commit, ...
    ) -> None:
        self.directory, self.about = directory, {**about, "host": socket.gethostname()}
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "campaign.json"
        if path.is_file() and json.loads(path.read_text()) != self.about:
            raise ValueError(f"{directory} holds another campaign; choose a new --directory")
        path.write_text(json.dumps(self.about) + "\n")
        self.trials: list[dict[str, Any]] = []
        if (log := self._log).is_file():
            lines = log.read_text().splitlines(keepends=True)
            self.trials = [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def _log(self) -> Path:
        return self.directory / "trials.jsonl"

    @property
    def seconds(self) -> float:
        """How long the campaign ran, over all its parts."""
        return max((trial["clock"] for trial in self.trials), default=0.0)

    def add(self, trial: dict[str, Any]) -> None:
        """Keep one."""
        self.trials.append(trial)
        self._log.write_text("".join(json.dumps(each) + "\n" for each in self.trials))

    def report(self, command: str) -> dict[str, Any]:
        """All of it in one mapping: counts by kind and by training, and the failures."""
        trials = sorted(self.trials, key=lambda trial: trial["number"])
        failures = [trial for trial in trials if trial["surprise"]]
        done = Counter(word for trial in trials for word in map(_deed, trial["done"]))
        return {
            "command": command,
            **{key: value for key, value in self.about.items() if key != "host"},
            "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
            "minutes": self.seconds / 60,
            "n": len(trials),
            "trials": len(trials),
            "disturbances": sum(trial["hits"] for trial in trials),
            "equal": len(trials) - len(failures),
            "failed": len(failures),
            "deeds": {name: done[name] for name in DEEDS.values()},
            "kinds": _counts(trials, "kind"),
            "recipes": _counts(trials, "recipe"),
            "failures": failures,
        }


DEEDS = {
    r"SIGKILL": "kills",
    r"SIG(TERM|INT|USR1|USR2)": "signals",
    r"SIGSTOP|suspended": "stops",
    r"disk full": "disks",
    r"a bit of": "bits",
    r"the same command": "second_commands",
    r"ckpt=|resume=auto": "resumes",
}


def _deed(text: str) -> str:
    """What kind of thing a line of a trial tells of."""
    return next((name for pattern, name in DEEDS.items() if re.match(pattern, text)), "")


def _counts(trials: list[dict[str, Any]], by: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for trial in trials:
        row = found.setdefault(trial[by], {"trials": 0, "disturbances": 0, "failed": 0})
        row["trials"] += 1
        row["disturbances"] += trial["hits"]
        row["failed"] += bool(trial["surprise"])
    return dict(sorted(found.items()))


def line(trial: dict[str, Any]) -> str:
    """One trial in one line."""
    found = (
        f"FAILED: {trial['surprise']}; kept in {trial['kept']}" if trial["surprise"] else "equal"
    )
    deeds = ", ".join(trial["done"]) or "left alone"
    head = f"{trial['number']:4d}  {trial['recipe']:16} {trial['kind']:21}"
    return f"{head} {trial['seconds']:4.0f} s  {deeds} -> {found}"


def table(report: dict[str, Any]) -> str:
    """The counts by kind and by training, for a terminal."""
    lines = []
    for group in ("kinds", "recipes"):
        lines.append(f"{group:24}{'trials':>8}{'disturbed':>11}{'failed':>8}")
        for name, row in report[group].items():
            lines.append(f"{name:24}{row['trials']:8}{row['disturbances']:11}{row['failed']:8}")
    deeds = ", ".join(f"{number} {name}" for name, number in report["deeds"].items())
    lines.append(
        f"{report['trials']} trials, {report['disturbances']} disturbances ({deeds}) in "
        f"{report['minutes']:.1f} minutes; seed {report['seed']}, commit {report['commit']}: "
        f"{report['failed']} failed"
    )
    return "\n".join(lines)


def publish(report: dict[str, Any], docs: Path, meanings: dict[str, str]) -> None:
    """Put the report into docs/results, and what it says into its place in docs/reliability.md.

    Every number on that page that links to the report is brought up to date.

    Raises:
        KeyError: the page has a number that this campaign does not.
    """
    page = docs / "reliability.md"
    text = BLOCK.sub(lambda match: summary(report, meanings), page.read_text())
    text = LINK.sub(lambda match: link(report, match[1]), text)
    (docs / RESULT).write_text(json.dumps(report, indent=1) + "\n")
    page.write_text(text)


def link(report: dict[str, Any], key: str) -> str:
    """A number of the report, with a link to where it stands there."""
    value: Any = report
    for part in key.split("."):
        value = value[part]
    return f"[{value:.0f}]({RESULT}#{key})"


def summary(report: dict[str, Any], meanings: dict[str, str]) -> str:
    """The Markdown of a campaign: its numbers are links, its tables say where theirs are from."""
    deeds = ", ".join(
        f"{link(report, f'deeds.{name}')} {name.replace('_', ' ')}" for name in report["deeds"]
    )
    head = ("trials", "disturbances", "minutes", "failed")
    trials, disturbances, minutes, failed = (link(report, key) for key in head)
    lines = [
        f"`{report['command']}` on commit `{report['commit']}`, seed {report['seed']}, "
        f"{report['machine']}: {trials} trials with {disturbances} disturbances ({deeds}) in "
        f"{minutes} minutes; {failed} failed.",
    ]
    heads = {"kinds": "what befalls a training", "recipes": "training"}
    for group, head in heads.items():
        rows = report[group]
        lines += [
            "",
            f"<!-- {RESULT}#{group}",
            "columns: - trials disturbances failed",
            f"rows: {' '.join(rows)}",
            "-->",
            f"| {head} | trials | disturbances | failed |",
            "| --- | ---: | ---: | ---: |",
        ]
        for name, row in rows.items():
            first = f"`{name}`: {meanings[name]}" if group == "kinds" else f"`{name}`"
            lines.append(f"| {first} | {' | '.join(f'{row[key]:.0f}' for key in row)} |")
    return "\n".join(lines) + "\n"
