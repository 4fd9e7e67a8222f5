"""Text for Markdown, LaTeX and HTML, and the way back from our own Markdown tables; whole pages."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

# GitHub reads these as markup; backslash escapes keep the file readable as plain text too, so only
# what would really be interpreted is escaped: `fid10k_classifier` and `[0, 1, 3]` stay as they are.
_MARKDOWN = re.compile(
    r"""[\\`*|~$]                                   # always markup somewhere in a cell
      | (?<![A-Za-z0-9])_ | _(?![A-Za-z0-9])        # emphasis starts or ends at a word's edge
      | <(?=[A-Za-z/!?])                            # a tag or a comment
      | \](?=[(\[]) | \[(?=\^)                      # a link or a footnote
      | &(?=\#?\w+;)                                # an entity
    """,
    re.VERBOSE,
)
_BLOCK_START = re.compile(r"^(?=[>#+=\[-])|^(\d+)(?=[.)])")
_UNESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")

_GREEK = dict(
    zip(
        "αβγδλμρσψ",
        ("alpha", "beta", "gamma", "delta", "lambda", "mu", "rho", "sigma", "psi"),
        strict=True,
    )
)
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after `\\` a bare bracket would be read as the row's extra space
        "]": "{]}",
        "*": "{*}",  # and a bare star as "no page break"
        "\N{EN DASH}": r"\textendash{}",
        "\N{MULTIPLICATION SIGN}": r"$\times$",
        "±": r"$\pm$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
        "∞": r"$\infty$",
        "→": r"$\to$",
        **{letter: rf"$\{name}$" for letter, name in _GREEK.items()},
    }
)


def encodable(text: str) -> str:
    """The text with `?` for the bytes of a file's name that are none, as UTF-8 holds it."""
    return text.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """The text with every run of white space and control characters turned into one space."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", encodable(text)).strip()


def markdown_text(text: str) -> str:
    """Text that GitHub renders as exactly these characters inside a table cell or a line."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def markdown_line(text: str) -> str:
    """`markdown_text` that also cannot start a quote, a heading or a list."""
    return _BLOCK_START.sub(r"\1\\", markdown_text(text))


def latex_text(text: str) -> str:
    """Text that LaTeX typesets as these characters, safe at the start of a table row."""
    return re.sub(r"-(?=-)", "-{}", one_line(text).translate(_LATEX))


def html_text(text: str) -> str:
    """Text for an HTML element or a quoted attribute."""
    return escape(one_line(text), quote=True)


def plain_text(markdown: str) -> str:
    """The inverse of `markdown_text`."""
    return _UNESCAPE.sub(r"\1", markdown)


def split_markdown_row(line: str) -> list[str]:
    """The cells of one Markdown table row, still escaped; a `\\|` does not separate."""
    cells = re.split(r"(?<!\\)((?:\\\\)*)\|", line.strip())
    joined = [a + b for a, b in zip(cells[0::2], [*cells[1::2], ""], strict=True)]
    return [cell.strip() for cell in joined[1:-1]]


def html_page(template: Path, styles: Sequence[Path] = (), **facts: Any) -> str:
    """The page of `x.html.j2`, inside which are `x.css`, after other styles, and `x.js`.

    It needs nothing but itself: `policy` forbids the browser to run anything but this script, and
    to fetch anything. Facts are escaped.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    base = template.with_suffix("").with_suffix("")
    script = base.with_suffix(".js").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in (*styles, base.with_suffix(".css"))]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(template.parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template.name).render(
        **facts, style="".join(texts), script=script, policy=f"'sha256-{digest}'"
    )


def picture_address(png: bytes) -> str:
    """A PNG file as a data: address, with which it stands inside a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
