"""What the head of the page says about a run, from whichever files are there."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import yaml

from ganlab.report.directions import Ways, way_of, ways_of
from ganlab.report.parts import configs, machine, seconds_of, under_way
from ganlab.report.sections import LONGEST_TEXT, Section, heading
from ganlab.report.tables import MISSING, Cell, ShownTable
from ganlab.report.timeline import kimg_text

Fact = tuple[str, str]  # label, value

STAMP = (
    *("n_real", "n_fake", "mirror", "unseen", "own", "extractor", "resize", "truncation", "ema"),
    "seed",
    "images_seen",
    "size",
)
ARROWS = {"min": "↓", "max": "↑", None: ""}
UNSCORED = "left out: there are no real images to compare with"
_UNIT = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def status(section: Section) -> str:
    """The run's own word, or `unfinished` where it left none.

    A part that was killed, or still runs, came after whatever result there is.
    """
    return under_way(section.parts) or str(section.result.get("status") or "unfinished")


def choice(section: Section, group: str) -> str:
    """The option chosen for a config group such as `model`: from the result, else from Hydra."""
    said = section.result.get(group)
    if isinstance(said, str) and said:
        return said
    tree = section.texts.get("hydra.yaml", "").partition("choices:")[2]
    line = re.search(rf"^\s+{group}: (\S+)$", tree, re.MULTILINE)
    chosen = [line[1]] if line else []
    overrides = [*_overrides(section), *section.texts.get("overrides.yaml", "").splitlines()]
    for override in overrides:
        name, _, value = override.strip("- ").partition("=")
        chosen += [value] if name == group and value else []
    return chosen[-1] if chosen else ""


def _overrides(section: Section) -> list[str]:
    said = section.result.get("overrides")
    return [str(item) for item in said] if isinstance(said, list) else []


def title(section: Section) -> str:
    """The section's heading: a study's name, or `Training`."""
    study = section.result.get("study") or choice(section, "study")
    if section.kind == "train":
        return "Training"
    return heading(str(study)) if study else "Evaluation"


def page_title(section: Section) -> str:
    """`dcgan on fashion_mnist`, or the directory's name where neither is known."""
    model, data = choice(section, "model"), choice(section, "data")
    if data == "none":  # a generator that came without images
        data = ""
    named = f"{model} on {data}" if model and data else model or data
    return named or section.directory.resolve().name


def key_facts(section: Section) -> list[Fact]:
    """Model, data, length, seed, time and best score; what is not known is left out."""
    found = {
        "Model": choice(section, "model"),
        "Source": origin(section, "source"),
        "Data": choice(section, "data"),
        "Source of the data": origin(section, "data_source"),
        "Scores": UNSCORED if section.result.get("data") == "none" else "",
        "Trained on": "" if trained_elsewhere(section) else length(section),
        "Seed": section.result.get("seed"),
        "Time": time(section),
        "Machine": machine(section.parts[0]) if len(section.parts) == 1 else "",
        "Best score": best_score(section),
    }
    return [(name, str(value)) for name, value in found.items() if value not in (None, "")]


def trained_elsewhere(section: Section) -> bool:
    """Whether another project's training was, whose length no file says."""
    return not section.result.get("images_seen") and bool(origin(section, "source"))


def origin(section: Section, key: str) -> str:
    """A file of another project, or a generator's samples: where they come from, and on what terms.

    Empty where the result names no such source.
    """
    source = section.result.get(key)
    if not isinstance(source, Mapping):
        return ""
    said = [str(source[name]) for name in ("ckpt", "file", "origin", "licence") if name in source]
    said += [f"{source['num']} images"] if "num" in source else []
    said += [f"sha256 {str(source['sha256'])[:12]}"] if "sha256" in source else []
    return "; ".join(said)


def time(section: Section) -> str:
    """How long a run took, all its parts together."""
    if len(section.parts) > 1:
        return f"{duration(seconds_of(section.parts))} in {len(section.parts)} parts"
    seconds = section.result.get("seconds")
    if isinstance(seconds, int | float):
        return duration(seconds)
    return duration(seconds_of(section.parts)) if section.parts else ""


def length(section: Section) -> str:
    """How far training came, as kimg, from its parts, the result or the last row of the curves."""
    if section.parts:
        return kimg_text(section.parts[-1]["images_to"])
    seen, kimg = section.result.get("images_seen"), section.result.get("kimg")
    if isinstance(seen, int | float):
        return kimg_text(seen)
    if isinstance(kimg, int | float):
        return kimg_text(1000 * kimg)
    rows = section.metrics.images_seen if section.metrics else np.empty(0)
    return kimg_text(float(rows[-1])) if len(rows) else ""


def duration(seconds: float) -> str:
    """`1 h 2 min`; nothing for what is no length of time."""
    if not math.isfinite(seconds) or seconds < 0:
        return ""
    for place, (size, unit) in enumerate(_UNIT):
        if seconds >= size or size == 1:
            rest = int(seconds % size // _UNIT[place + 1][0]) if size > 1 else 0
            return f"{seconds // size:.0f} {unit}" + (
                f" {rest} {_UNIT[place + 1][1]}" if rest else ""
            )
    return ""


def records(section: Section) -> list[Mapping[str, Any]]:
    """The score records of `result.json`; those of an intervention are in its study's tables."""
    scores = section.result.get("scores")
    listed: Iterable[Any] = scores if isinstance(scores, list) else []
    found = [r for r in listed if isinstance(r, Mapping) and "metric" in r]
    return [record for record in found if not record.get("intervention")]


def best_score(section: Section) -> str:
    """The best value of the leading metric: FID where there is one, else the first score."""
    ways = ways_of(records(section))
    scores = [(str(r["metric"]), float(r["value"])) for r in records(section) if _is_value(r)]
    if not scores and section.metrics:
        columns = section.metrics.columns.items()
        scores = [(n, float(v)) for n, vs in columns if n.startswith("fid") for v in vs]
    scores = [(name, value) for name, value in scores if math.isfinite(value)]
    if not scores:
        return ""
    leading = next((name for name, _ in scores if name.startswith("fid")), scores[0][0])
    values = [value for name, value in scores if name == leading]
    best = min(values) if way_of(leading, ways) == "min" else max(values)
    return f"{leading} {best:.4g}"


def _is_value(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("value"), int | float)


def score_table(section: Section) -> ShownTable | None:
    """Every score with the protocol it was measured by; None where there is no score."""
    scores, ways = records(section), ways_of(records(section))
    stamp = [key for key in STAMP if any(record.get(key) is not None for record in scores)]
    rows = [[*_score_cells(r, ways), *(_stamp_cell(key, r) for key in stamp)] for r in scores]
    return ShownTable(["metric", "value", *stamp], rows) if rows else None


def _score_cells(record: Mapping[str, Any], ways: Ways) -> list[Cell]:
    arrow = ARROWS[way_of(str(record["metric"]), ways)]
    value = f"{record['value']:.4g}" if _is_value(record) else MISSING
    return [Cell(f"{record['metric']} {arrow}".rstrip()), Cell(value, bold=True, number=True)]


def _stamp_cell(key: str, record: Mapping[str, Any]) -> Cell:
    value, weights = record.get(key), record.get("extractor_sha256")
    if value is None:
        return Cell(MISSING)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    named = key == "extractor" and weights
    text = f"{value} {str(weights)[:8]}" if named else str(value)
    return Cell(text, number=isinstance(value, int | float))


def setup(section: Section) -> dict[str, str]:
    """Texts that say exactly what was run: the command, configurations, versions."""
    found = {}
    if section.parts and section.parts[-1].get("command"):
        found["Command"] = str(section.parts[-1]["command"])
    elif overrides := _overrides(section):
        found["Overrides"] = "\n".join(overrides)
    found |= configurations(section)
    versions = section.result.get("versions")
    if isinstance(versions, Mapping):
        found["Versions"] = "\n".join(f"{name} {version}" for name, version in versions.items())
    if section.result.get("config_hash"):
        found["Configuration hash"] = str(section.result["config_hash"])
    return found


def configurations(section: Section) -> dict[str, str]:
    """The config of the newest part, then every other that an earlier one was trained with.

    Hydra's own file is that of the start, and of use where nothing else says.
    """
    of_parts = configs(section.parts)
    newest = of_parts.pop(max(of_parts)) if of_parts else section.result.get("config")
    if newest:
        found = {"Configuration": yaml_text(newest)}
    elif "config.yaml" in section.texts:
        found = {"Configuration": section.texts["config.yaml"]}
    else:
        found = {}
    for number, config in reversed(of_parts.items()):
        found[f"Configuration of part {number}"] = yaml_text(config)
    return found


def yaml_text(config: object) -> str:
    """A config as it is written in files."""
    try:
        text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        return text[:LONGEST_TEXT]
    except RecursionError:
        return "nested too deeply to be shown"
