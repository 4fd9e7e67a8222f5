"""`report.html`: one run and the studies made of it on a page that needs nothing but itself.

    write_report(run)                                          # the run's own page
    write_report(run, include=[ablation, rates])               # with two studies after it

The page is built from the files on disk alone. It holds its pictures, refers to no address, and
its content policy forbids the browser to fetch or to run anything else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganlab.report import facts, results
from ganlab.report.markup import html_page
from ganlab.report.parts import parts_table
from ganlab.report.sections import Section, read_section
from ganlab.storage.atomic import replace_file

NAME = "report.html"
TEMPLATE = Path(__file__).parent / "template"


def write_report(
    directory: Path,  # a run or study directory; the page is written into it
    title: str | None = None,  # None = the model and data, or the directory's name
    include: Sequence[Path] = (),  # further run or study directories, shown after it
) -> Path:
    """Build `directory/report.html` atomically from what the directories hold; return its path.

    Files that are missing, broken or half-written are named on the page and otherwise left out.
    Raises FileNotFoundError where `directory` itself does not exist.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} does not exist: there is no run to report on")
    folders = [directory, *map(Path, include)]
    sections = [read_section(folder, f"part-{i}") for i, folder in enumerate(folders)]
    title = title or facts.page_title(sections[0])
    parts = [_part(section, i) for i, section in enumerate(sections)]
    text = html_page(TEMPLATE / "report.html.j2", title=title, parts=parts)
    return replace_file(directory / NAME, text.encode("utf-8", "replace"))


def shown_place(directory: Path) -> str:
    """The end of a directory's path: its last four folders."""
    return Path(*directory.parts[-4:]).as_posix()


def _part(section: Section, index: int) -> dict[str, Any]:
    scores = facts.score_table(section)
    return {
        "id": f"part-{index}",
        "title": facts.title(section),
        "status": facts.status(section),
        "place": shown_place(section.directory.resolve()),
        "facts": facts.key_facts(section),
        "section": section,
        "diverged": results.divergence_text(section.result),
        "parts": parts_table(section.parts, facts.duration).html() if section.parts[1:] else "",
        "scores": scores.html() if scores else "",
        "tables": [(name, table.html()) for name, table in section.tables],
        "charts": section.curves,
        "setup": facts.setup(section),
    }
