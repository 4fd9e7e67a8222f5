"""What is wrong with a set of images: every offender at once, each with its way out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganlab.cli import ListedError, visible


@dataclass(frozen=True)
class Problem:
    """One file or array entry that cannot be used."""

    path: str  # file, archive member or array entry
    reason: str  # what is wrong with it
    fix: str  # what the user can do about it

    def __str__(self) -> str:
        return f"{in_one_line(self.path)}: {in_one_line(self.reason)} ({in_one_line(self.fix)})"


def in_one_line(text: str) -> str:
    """Text with line breaks and what no terminal shows written out, as names of files may have."""
    return visible(text).replace("\n", r"\n")


class UnusableImage(ValueError):  # noqa: N818
    """An image that opens but cannot be used; `fix` says what would help."""

    def __init__(self, reason: str, fix: str) -> None:
        self.fix = fix
        super().__init__(reason)


LISTED = 50  # problems that an error names; `data check` names all


class BrokenData(ListedError):  # noqa: N818 - the name states the finding
    """Data that cannot be used as it is; `problems` lists every offender, the message the first."""

    def __init__(
        self,
        problems: Sequence[Problem],  # all of them, in the order of the data set
        total: int | None = None,  # images examined; None where the set could not be opened at all
    ) -> None:
        self.problems = list(problems)
        super().__init__(_summary(self.problems, total))


def report(
    problems: Sequence[Problem],
    passed_over: Mapping[str, int] | None = None,  # suffix -> number of files that are not read
    labelled: str = "",  # what classes there are
    values: str = "",  # what values there are
) -> str:
    """Every problem on a line of its own, after a line with their number; then what there is."""
    lines = [f"{_counted(len(problems))} found:" if problems else "no problems found"]
    lines += [f"  {item}" for item in problems]
    lines += [told for told in (labelled, values) if told]
    lines += [counted_suffixes(passed_over)] if passed_over else []
    return "\n".join(lines)


def counted_suffixes(passed_over: Mapping[str, int]) -> str:
    """`passed over, not known as images: 3 .heic, 1 without a suffix`, the most frequent first."""
    ordered = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    counts = [
        f"{number:,} {in_one_line(suffix) or 'without a suffix'}" for suffix, number in ordered
    ]
    return f"passed over, not known as images: {', '.join(counts)}"


def _summary(problems: Sequence[Problem], total: int | None) -> str:
    if total is None:
        return "; ".join(map(str, problems))
    lines = [f"{len(problems):,} of {total:,} images cannot be used:"]
    lines += [f"  {item}" for item in problems[:LISTED]]
    if rest := len(problems[LISTED:]):
        lines.append(f"  and {rest:,} more, which python -m ganlab data check lists")
    return "\n".join([*lines, "data.skip_broken=true leaves these images out"])


def _counted(number: int) -> str:
    return "1 problem" if number == 1 else f"{number:,} problems"
