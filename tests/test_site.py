"""The site: keys told as they are in force, tutorials that run, pages that are reached."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import composing
import numpy as np
import pytest
import torch
from browser import Browser
from headless import NEEDS_CHROMIUM
from PIL import Image

from ganlab import interop
from ganlab.cli import known_keys
from ganlab.interop.foreign import of_content
from ganlab.storage.untrusted import read_untrusted

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "interop")]

import config_reference as reference  # noqa: E402
from tutorial_networks import generator, lively, state  # noqa: E402

BLOCK = re.compile(r"(?:<!-- smoke: ([^\n]*) -->\n)?```bash\n(.*?)```", re.DOTALL)


def commands(page, home):
    """Those of a tutorial, for tens of images and another generator in the place of `faces`."""
    found = []
    for words, block in BLOCK.findall(page.read_text()):
        for line in block.splitlines():
            small = f"{line} {words}" if line.split()[1].endswith(".py") else line
            found.append(
                small.replace("ckpt=faces", f"ckpt={home}/tiny.pth").replace("~", str(home))
            )
    return found


@pytest.fixture
def home(tmp_path):
    """A home with photographs and a generator of 64x64 px."""
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(40):
        low = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(low).resize((80, 72)).save(tmp_path / "photos" / f"{number}.jpg")
    torch.save({"netG_state_dict": state(lively(generator(ngf=2)))}, tmp_path / "tiny.pth")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_command_of_a_tutorial_runs(page, home):
    for name in ("train.py", "evaluate.py"):
        (home / name).symlink_to(ROOT / name)
    environment = {**os.environ, "HOME": str(home), "GANLAB_CACHE": str(home / "cache")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for line in commands(page, home):
        words = [sys.executable, *shlex.split(line)[1:]]
        ran = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_command_of_a_tutorial_composes(page, tmp_path):
    lines = [line for line in commands(page, tmp_path) if line.split()[1].endswith(".py")]
    for line in lines:
        _, script, *words = shlex.split(line)
        words = [re.sub(r"=([^\[,]*),.*", r"=\1", word) for word in words if word != "-m"]
        words = [word for word in words if not word.startswith("hydra.")]
        composing.composed(Path(script).stem, words, tmp_path)


def test_the_notebook_of_a_tutorial_runs(home, monkeypatch, capsys):
    page = (ROOT / "docs" / "tutorials" / "neuron.md").read_text()
    tiny = home / "tiny.pth"
    monkeypatch.setitem(interop.NAMED, "faces", lambda: of_content(tiny, read_untrusted(tiny)))
    names = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), names)
    assert names["moved"].shape == (8,)
    silenced = names["rare"] & (names["first"] > 0)
    assert bool(silenced.any()) == bool((names["moved"] > 0).any())
    assert "rarely active" in capsys.readouterr().out


def test_every_key_says_what_it_means():
    silent = [
        (path.stem, key.name)
        for group in reference.GROUPS
        for path in reference.options(group)
        for key in reference.explained(path, group)
        if not key.meaning
    ]
    assert silent == [], "say it behind the key in the YAML, or in scripts/key_words.py"


def test_what_a_command_does_without_words_changes_with_a_word_to_its_readers():
    listed = (ROOT / "tests" / "defaults.txt").read_text().splitlines()
    assert len(listed) > 900
    gone = sorted(set(listed) - set(reference.defaults()))
    way = "tell it in CHANGELOG.md, then: python scripts/config_reference.py tests/defaults.txt"
    assert gone == [], f"a key or a default that people rely on: {way}"


def test_every_key_that_a_page_names_is_there():
    roots = "callbacks|data|features|grid|logger|metrics|model|scores|stop|study|trainer"
    named = rf"(?<![\w./<{{+-])((?:{roots})(?:[./][a-z_0-9]+)+)(?=[=`\s']|\.\s)"
    files = r"\.(?:csv|mdb|py|yaml)$"
    # a group's place in the config, a key of the example's own, one of sweeps
    also = {"model.generator.norm", "study.num_knots", "callbacks.circles"}
    known = {*known_keys(), *also}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *TUTORIALS]
    found = {key for page in pages for key in re.findall(named, page.read_text())}
    found = {key.replace("/", ".") for key in found if not re.search(files, key)}
    assert len(found) > 100
    assert sorted(found - known) == []


def test_a_page_of_keys_has_every_option_with_its_default_and_type():
    page = reference.page("study")
    names = {path.stem for path in (ROOT / "conf" / "study").glob("*.yaml")}
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == names
    row = "| `study.psis` | `[0.3, 0.5, 0.7, 0.8, 0.9, 1.0]` | `Sequence[float]` | 1 = as they are"
    assert row in page
    assert "| `study.label` | `null` |" in page, "a base is told too"


def test_every_group_of_options_has_its_page():
    conf = ROOT / "conf"
    groups = {str(path.parent.relative_to(conf)) for path in conf.rglob("*.yaml")}
    told_elsewhere = {".", "hydra/help", "hydra/launcher", "sweep"}
    left = {each for each in groups if not each.startswith("experiment")} - told_elsewhere
    assert left == set(reference.GROUPS)


def test_comments_belong_to_the_value_on_their_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "# About.\n\n# first\n# and on\na: 1\nb: '#no' # second | third\n"
        "c:\n  d: [1,\n    2] # of d\n"
    )
    found = {key.name: (key.default, key.meaning) for key in reference.keys(path, "g")}
    assert found == {
        "g.a": ("1", "first and on"),
        "g.b": ("'#no'", "second | third"),
        "g.c.d": ("[1, 2]", "of d"),
    }
    assert reference.Source(path).about == ["About."]
    assert "second \\| third" in "".join(reference.table(reference.keys(path, "g")))


def test_the_first_page_fits_a_screen_and_its_links_lead_somewhere():
    page = (ROOT / "README.md").read_text()
    assert len(page.splitlines()) <= 60
    inside = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    assert inside
    assert [each for each in inside if not (ROOT / each).exists()] == []


def test_the_lines_of_use_on_the_first_pages_compose(tmp_path):
    found = []
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        for block in re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL):
            lines = [line.partition("  #")[0] for line in block.splitlines()]
            found += [line for line in lines if re.match(r"python \w+\.py ", line)]
    assert len(found) > 10
    for line in found:
        _, script, *words = shlex.split(re.sub(r"<[^>]*>", "x", line).replace("~", "home"))
        words = [re.sub(r"=([^\[,]*),.*", r"=\1", word) for word in words if word != "-m"]
        words = [word for word in words if not word.startswith("hydra.")]
        composing.composed(Path(script).stem, words, tmp_path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a warning."""
    pytest.importorskip("sphinx", reason="pip install 'ganlab[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "sphinx", "-q", "-W", "-b", "html", str(ROOT / "docs"), str(folder)]
    built = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
@pytest.mark.browser
@NEEDS_CHROMIUM
def test_no_page_of_the_site_is_wider_than_a_phone(site, tmp_path):
    hidden = """[...document.querySelectorAll('.highlight-none pre, .highlight-bash pre')]
        .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""
    with Browser(tmp_path) as browser:
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        browser.call("Emulation.setDeviceMetricsOverride", **phone)
        for name in ("index", "tutorials/checkpoint", "keys/study", "notebooks/neurons", "grids"):
            browser.open(site / f"{name}.html")
            assert browser.run("document.documentElement.scrollWidth") <= 390, name
            assert browser.run(hidden) == [], name


@pytest.mark.slow
def test_the_site_asks_for_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        sources = re.findall(r"(?:<script[^>]*|<img[^>]*) src=\"(https?:[^\"]+)", page.read_text())
        sheets = re.findall(r"<link[^>]*stylesheet[^>]*href=\"(https?:[^\"]+)", page.read_text())
        assert sources + sheets == [], page
