"""The site: `make docs` builds it from these pages, the configs and the docstrings."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE.parent / "scripts")]

import config_reference  # noqa: E402
import notebooks  # noqa: E402

from ganlab import __version__  # noqa: E402

project, release = "ganlab", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown", ".py": "markdown"}  # Python: notebooks as text
exclude_patterns = ["_build", "results", "conf.py"]
highlight_language = "none"  # commands, unless a block says more

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "colon_fence"]

default_role = "code"  # docstrings mark code with one backtick
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = "ganlab"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
linkcheck_timeout = 20


def write_keys(app):
    """The pages of keys, made anew with each build."""
    config_reference.main(HERE / "keys")


def notebook_as_page(app, name, text):
    """A notebook with what its last run showed."""
    if name.startswith("notebooks/") and (path := HERE / f"{name}.py").is_file():
        text[0] = notebooks.page(path)


def link_within(app, name, text):
    """Links to files outside of docs/ become links to their pages here, or lose their address."""
    text[0] = re.sub(r"\]\((?:\.\./)+(CONTRIBUTING|CHANGELOG)\.md", r"](/\1.md", text[0])
    text[0] = re.sub(
        r"\[([^]]+)\]\((?:\.\./)+(?:examples|ganlab|scripts|tests)/[^)]*\)", r"\1", text[0]
    )


def narrow(app, name, text):
    """Comments that are aligned for wide windows stand close, or above where that is long."""
    aligned = re.compile(r"^((?:python|make|pip|ganlab) .*?\S)  +(# .*)$", re.MULTILINE)

    def narrowed(block):
        close = aligned.sub(r"\1  \2", block[0])
        fits = max(map(len, close.splitlines())) <= 88
        return close if fits else aligned.sub(r"\2\n\1", block[0])

    text[0] = re.sub(r"^```\n.*?^```$", narrowed, text[0], flags=re.MULTILINE | re.DOTALL)


def read_plainly(app, what, name, obj, options, lines):
    """Bars and stars of a docstring are its formulas'."""
    for number, line in enumerate(lines):
        parts = line.split("`")  # odd ones are code
        parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
        lines[number] = "`".join(parts)


def setup(app):
    app.connect("builder-inited", write_keys)
    app.connect("source-read", notebook_as_page)
    app.connect("source-read", link_within)
    app.connect("source-read", narrow)
    app.connect("autodoc-process-docstring", read_plainly, priority=400)
