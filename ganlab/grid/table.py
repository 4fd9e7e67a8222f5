"""The table of a grid: rows and columns from what was swept, means over seeds, nothing left unsaid.

By itself a table has one row for each combination of swept values, seeds apart, and one column for
each score. Several runs of one row become mean and standard deviation, and what rows differ by from
the first one is said of the seeds that both have. With one score and two or
more axes it can be spread out: `columns` names the axis that goes across.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ganlab.checks.fields import complaint
from ganlab.grid.cell import GridError, group_by_fate
from ganlab.grid.facts import TABLE
from ganlab.grid.naming import short_names
from ganlab.grid.records import CONDITIONS, CellRecord, Score, axes_of
from ganlab.grid.settings import is_seed, telling
from ganlab.report.directions import is_spread, way_of, ways_of
from ganlab.report.means import Difference, Mean
from ganlab.report.protocols import mark_protocols, protocol_stamp, protocol_text
from ganlab.report.tables import Table

FEWEST = 5  # runs of a row, below which no best is set in bold
INTERVAL = (
    "differences: mean over the seeds that a row shares with the first one, and its 95% t interval"
)

Key = tuple[tuple[str, Any], ...]  # (axis, value), one row


@dataclass(frozen=True)
class Choice:
    """How a table is to look; what is left empty is chosen from the swept keys."""

    caption: str = ""
    metrics: list[str] = field(default_factory=list)  # names or their beginnings, in this order
    rows: list[str] = field(default_factory=list)  # axes
    columns: list[str] = field(default_factory=list)  # the axis that goes across
    labels: dict[str, dict[str, str]] = field(default_factory=dict)  # axis -> value -> as shown
    paper: dict[str, Any] = field(default_factory=dict)  # source; values: axes and numbers

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Choice":
        """From `grid.table`.

        Raises:
            GridError: a key that it does not have, or a value that none can have.
        """
        if wrong := complaint(settings, TABLE):
            raise GridError(f"grid.table: {wrong}")
        known = [each.name for each in fields(cls)]
        for key in settings:
            if key not in known:
                raise GridError(f"there is no key grid.table.{key}; there are {', '.join(known)}")
        return cls(**{key: value for key, value in settings.items() if value})

    @classmethod
    def from_words(cls, words: Mapping[str, str]) -> "Choice":
        """From `rows=a,b columns=c metrics=fid` of a command line."""
        listed = {key: [part for part in text.split(",") if part] for key, text in words.items()}
        for key in listed:
            if key not in ("rows", "columns", "metrics"):
                raise GridError(f"table takes rows=, columns=, metrics= and into=, not {key}=")
        return cls(**listed)  # type: ignore[arg-type]

    def over(self, other: "Choice") -> "Choice":
        """This choice, and the other's where this one is silent."""
        theirs = vars(other)
        return Choice(**{name: own or theirs[name] for name, own in vars(self).items()})

    def spelled_out(self, axes: Iterable[str]) -> "Choice":
        """This choice with the axes that it calls by their titles, as `norm` for `model/norm`."""
        titles = short_names(axes)
        keys = {title: axis for axis, title in titles.items() if title not in titles}
        rows, columns = (
            [keys.get(axis, axis) for axis in said] for said in (self.rows, self.columns)
        )
        return replace(self, rows=rows, columns=columns)


@dataclass
class Group:
    """What stands in one row: the scores of equal cells with different seeds."""

    key: Key
    cells: list[CellRecord] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    seeds: list[Key] = field(default_factory=list)  # of each score

    def value(self, metric: str) -> float | None:
        """The mean over its seeds, with spread; None without a score."""
        values = self.by_seed(metric)
        return Mean.of([*values.values()]) if values else None

    def by_seed(self, metric: str) -> dict[Any, float]:
        """What runs with these seeds had, measured so; of two runs with the same the later one."""
        pairs = zip(self.seeds, self.scores, strict=True)
        return {
            (k, protocol_stamp(s)): float(s["value"]) for k, s in pairs if s["metric"] == metric
        }

    def difference(self, base: "Group", metric: str) -> float | None:
        """By how much it is above another row, over the seeds that both have; None of one or none.

        Of the row itself there is none either.
        """
        ours, theirs = self.by_seed(metric), base.by_seed(metric)
        shared = [seed for seed in ours if seed in theirs] if self is not base else []
        return Difference.of([ours[seed] - theirs[seed] for seed in shared])

    def count(self) -> int:
        """How many seeds its scores come from."""
        metrics = {each["metric"] for each in self.scores}
        return max((len(self.by_seed(metric)) for metric in metrics), default=0)

    def again(self) -> list[str]:
        """Names of scored cells that a later one of the row repeats: of its seeds, measured so."""
        scored = [cell for cell in self.cells if cell.scores]
        keys = [(seeds_of(cell), tuple(map(protocol_stamp, cell.scores))) for cell in scored]
        newest = dict(zip(keys, scored, strict=True))
        return [c.name for key, c in zip(keys, scored, strict=True) if newest[key] is not c]


def grid_table(records: Sequence[CellRecord], choice: Choice) -> Table:
    """The table of these cells.

    Raises:
        GridError: a row, column or metric that these cells do not have.
    """
    choice = choice.spelled_out(axes_of(records))
    axes = row_axes(records, choice)
    if not axes and not any(record.scores for record in records):  # nothing else to tell them by
        rows = [{"cell": record.name, "state": record.state} for record in records]
        return Table(["cell", "state"], rows, notes=notes_on(records, axes))
    groups = group_cells(records, axes)
    metrics = chosen_metrics(records, choice.metrics)
    across = next((axis for axis in choice.columns if axis in axes), None)
    if across and len(metrics) == 1 and len(stamps(groups, metrics[0])) < 2:
        table = spread_out(groups, axes, across, metrics[0], choice)
    else:
        table = table_of_groups(groups, axes, metrics, choice)
    table.notes[:0] = [*notes_on(records, axes), *repeats(groups)]
    return table


def row_axes(records: Sequence[CellRecord], choice: Choice) -> list[str]:
    """The axes that tell rows apart: those asked for, else all swept ones that differ.

    After them come settings that were not swept and yet differ within a row.
    """
    there = [axis for axis in axes_of(records) if not is_seed(axis)]
    inner = [
        name for name in CONDITIONS if len({s.get(name) for r in records for s in r.scores}) > 1
    ]
    known = [*there, *inner]
    asked = [*choice.rows, *(axis for axis in choice.columns if axis not in choice.rows)]
    for axis in asked:
        if axis not in known and all(record.value(axis) is None for record in records):
            can = f"rows and columns can be {', '.join(known)}" if known else "none has a score yet"
            raise GridError(f"no cell has {axis}; {can}")
    several = [a for a in there if len({str(r.value(a)) for r in records}) > 1]
    if not choice.rows:
        several = several or there
    # What differs is never averaged over, asked for or not: seeds alone are.
    axes = list(dict.fromkeys([*choice.rows, *several, *inner, *choice.columns]))
    return [*axes, *telling(records, axes)]


def group_cells(records: Sequence[CellRecord], axes: Sequence[str]) -> list[Group]:
    """Cells that differ in seeds alone, together; a study's own conditions make further rows."""
    inner = [axis for axis in axes if axis in CONDITIONS]
    groups: dict[Key, Group] = {}
    for record in records:
        conditions = dict.fromkeys(tuple(s.get(name) for name in inner) for s in record.scores)
        for condition in conditions or {tuple(None for _ in inner): None}:
            told = dict(zip(inner, condition, strict=True))
            key = tuple((axis, told.get(axis, record.value(axis))) for axis in axes)
            group = groups.setdefault(key, Group(key))
            found = [s for s in record.scores if all(s.get(n) == told[n] for n in inner)]
            group.cells.append(record)
            group.scores += found
            group.seeds += [seeds_of(record)] * len(found)
    filled = [group for group in groups.values() if group.scores or not inner]
    return filled or list(groups.values())


def repeats(groups: Iterable[Group]) -> list[str]:
    """A note on runs of one row and one seed, which are one run: of a mean they count once."""
    names = list(dict.fromkeys(name for group in groups for name in group.again()))
    told = f"{', '.join(names)}: run again with the same seed, and counted once, by the later run"
    return [told] if names else []


def seeds_of(record: CellRecord) -> Key:
    """Every seed of a run, by its key."""
    swept = [key for key in record.values if is_seed(key)]
    return tuple((key, str(record.value(key))) for key in dict.fromkeys(["seed", *swept]))


def chosen_metrics(records: Sequence[CellRecord], asked: Sequence[str]) -> list[str]:
    """Metrics by name or beginning, in the order asked for; all where nothing was asked.

    Raises:
        GridError: none of the finished cells has such a metric.
    """
    there = list(dict.fromkeys(str(s["metric"]) for record in records for s in record.scores))
    if not asked or not there:
        return [name for name in there if not is_spread(name)]
    found = [
        [n for n in there if n.startswith(each) and (is_spread(each) or not is_spread(n))]
        for each in asked
    ]
    if not any(found):
        raise GridError(f"no score is called {', '.join(asked)}; there are {', '.join(there)}")
    return list(dict.fromkeys(name for names in found for name in names))


def table_of_groups(
    groups: Sequence[Group], axes: Sequence[str], metrics: Sequence[str], choice: Choice
) -> Table:
    """One row a group, one column a metric, the paper's numbers after them."""
    titles = titles_of(axes)
    paper = paper_columns(groups, choice)
    rows: list[dict[str, Any]] = []
    for group in groups:
        row: dict[str, Any] = {titles[axis]: label(choice, axis, v) for axis, v in group.key}
        for metric in metrics:
            row |= {metric: group.value(metric), above(metric): group.difference(groups[0], metric)}
        row |= {title: paper_value(choice, group, name) for title, name in paper.items()}
        rows.append(row | {"n": group.count()})
    several = any(group.count() > 1 for group in groups)
    told = {above(m) for m in metrics if any(row[above(m)] is not None for row in rows)}
    scores = [name for m in metrics for name in (m, above(m)) if name == m or name in told]
    columns = [*titles.values(), *scores, *(["n"] if several else []), *paper]
    rows = [{key: value for key, value in row.items() if key in columns} for row in rows]
    ranked = metrics if len(groups) > 1 and ranks(groups) else []  # one row is no winner
    ways = ways_of(score for group in groups for score in group.scores)
    best = {metric: way for metric in ranked if (way := way_of(metric, ways))}
    notes = [INTERVAL] if told else []
    table = Table(columns, rows, best, choice.caption, [*notes, *source_notes(choice)])
    return mark_protocols(table, [group.scores for group in groups])


def above(metric: str) -> str:
    """The title of a score's differences to the first row."""
    return f"{metric} - first row"


def ranks(groups: Iterable[Group]) -> bool:
    """Whether there are seeds enough in every row to call one the best."""
    return all(group.count() >= FEWEST for group in groups if group.scores)


def spread_out(
    groups: Sequence[Group], axes: Sequence[str], across: str, metric: str, choice: Choice
) -> Table:
    """One row a combination of the other axes, one column a value of `across`."""
    down = [axis for axis in axes if axis != across]
    titles = titles_of(down)
    heads = list(dict.fromkeys(dict(group.key)[across] for group in groups))
    paper = paper_columns(groups, choice)
    rows: dict[Key, dict[str, Any]] = {}
    for group in groups:
        value = dict(group.key)[across]
        key = tuple(pair for pair in group.key if pair[0] != across)
        row = rows.setdefault(key, {titles[a]: label(choice, a, v) for a, v in key})
        head = label(choice, across, value)
        row[head] = group.value(metric)
        if paper:
            row[f"{head} (paper)"] = paper_value(choice, group, next(iter(paper.values())))
    shown = [label(choice, across, value) for value in heads]
    filled = {column for row in rows.values() for column, v in row.items() if v is not None}
    pairs = [(head, f"{head} (paper)") for head in shown]
    columns = [*titles.values(), *(c for a, b in pairs for c in (a, b) if c == a or b in filled)]
    down_rows = [{c: v for c, v in row.items() if c in columns} for row in rows.values()]
    way = way_of(metric, ways_of(score for group in groups for score in group.scores))
    best = dict.fromkeys(shown, way) if way and ranks(groups) else {}
    caption = choice.caption or f"{metric} by {', '.join(titles.values())} and {across}"
    counts = sorted({group.count() for group in groups if group.scores})
    notes = [f"{metric}; {across} across"]
    notes += [f"mean ± standard deviation of n = {' or '.join(map(str, counts))}"] * (
        counts[-1:] > [1]
    )
    notes += [protocol_text(stamp) for stamp in stamps(groups, metric)]
    notes += source_notes(choice) if paper else []
    return Table(columns, down_rows, best, caption, notes)


def stamps(groups: Iterable[Group], metric: str) -> list[Any]:
    """The different protocols a metric was measured by."""
    every = [s for group in groups for s in group.scores if s["metric"] == metric]
    return list(dict.fromkeys(protocol_stamp(score, without=CONDITIONS) for score in every))


def titles_of(axes: Iterable[str]) -> dict[str, str]:
    """Axis -> its column's title, never that of another column."""
    return {axis: name if name != "n" else axis for axis, name in short_names(axes).items()}


def label(choice: Choice, axis: str, value: object) -> str:
    """A value of an axis as it is shown."""
    text = "" if value is None else str(value)
    return str(choice.labels.get(axis, {}).get(text, text))


def paper_axes(choice: Choice) -> list[str]:
    """The keys of the paper's entries that say which row they belong to."""
    return [str(axis) for axis in choice.paper.get("axes") or []]


def paper_columns(groups: Sequence[Group], choice: Choice) -> dict[str, str]:
    """Column title -> name of a number that the paper gives for any of these rows."""
    entries, axes = choice.paper.get("values") or [], paper_axes(choice)
    names = dict.fromkeys(key for entry in entries for key in entry if key not in axes)
    known = [n for n in names if any(paper_value(choice, g, n) is not None for g in groups)]
    return {f"{name} (paper)": name for name in known}


def paper_value(choice: Choice, group: Group, name: str) -> Any:
    """The paper's number for a row: of the entry that agrees on all of its axes."""
    axes, key = paper_axes(choice), dict(group.key)
    said = {axis: str(key.get(axis, group.cells[0].value(axis))) for axis in axes}
    for entry in choice.paper.get("values") or []:
        if name in entry and all(str(entry[axis]) == said[axis] for axis in axes if axis in entry):
            return entry[name]
    return None


def source_notes(choice: Choice) -> list[str]:
    """Where the paper's numbers come from."""
    source = choice.paper.get("source")
    return [f"paper: {source}"] if source else []


def notes_on(records: Sequence[CellRecord], axes: Sequence[str]) -> list[str]:
    """What is not in the rows: constant axes, seeds, and every cell that is not done, by name.

    A cell that diverged is named too, done or not.
    """
    rest = [axis for axis in axes_of(records) if axis not in axes and axis != "run"]
    notes = []
    for axis in rest:
        values = list(dict.fromkeys(str(record.value(axis)) for record in records))
        notes.append(f"{axis}: {', '.join(values)}")
    if all(record.state == "done" and not record.scores for record in records):
        notes.append("nothing was scored: what a cell found stands in its own report")
    unfinished = [(r.name, r.fate) for r in records if r.state != "done" or r.diverged]
    return [*notes, *group_by_fate(unfinished)]
