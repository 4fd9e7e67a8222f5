"""`python -m ganlab explore` before there is a page."""

import http.client
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

from ganlab import __main__ as front
from ganlab.arguments import arrange


def said(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ganlab", *arrange(words, [])])
    return front.explore


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ganlab.app.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match=r"pip install 'ganlab\[app\]'") as error:
        said(monkeypatch, "ckpt=faces")()
    assert "\n" not in str(error.value)


def test_a_checkpoint_is_asked_for(monkeypatch):
    with pytest.raises(ValueError, match=r"python -m ganlab explore ckpt=<file>"):
        said(monkeypatch, "--port", "7999", "--no-browser")()


@pytest.mark.slow  # imports Gradio
def test_a_checkpoint_that_vanished_is_one_line(monkeypatch, tmp_path):
    pytest.importorskip("gradio")
    with pytest.raises(ValueError, match=r"gone\.ckpt") as error:
        said(monkeypatch, f"ckpt={tmp_path / 'gone.ckpt'}", "--no-browser")()
    assert "\n" not in str(error.value)


def test_its_flags_keep_what_they_take():
    words = arrange(["ckpt=faces", "--port", "7999", "--no-browser"], [])
    assert words == ["--port", "7999", "--no-browser", "ckpt=faces"]


def test_its_help_says_where_the_page_is():
    assert "127.0.0.1" in front.help_of("explore")
    assert "--no-browser" in front.help_of("explore")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="needs ganlab[app]")
@pytest.mark.filterwarnings("ignore:::gradio")
def test_nobody_is_answered_who_asks_by_another_name(dcgan):
    """A page of the web whose name is led to this machine would be of the same origin."""
    from ganlab.app.page import serve

    server = serve(dcgan, browser=False, wait=False)
    place = urlsplit(server.local_url).netloc
    answers = {"127.0.0.1": 200, "localhost": 200, "evil.example": 400}
    try:
        for name, status in answers.items():
            asking = http.client.HTTPConnection(place)
            asking.request("GET", "/config", headers={"Host": f"{name}:{place.partition(':')[2]}"})
            assert asking.getresponse().status == status
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="needs ganlab[app]")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing_behind(dcgan, tmp_path, number):
    place = tmp_path / "temporary"
    place.mkdir()
    words = [sys.executable, "-m", "ganlab", "explore", f"ckpt={dcgan.ckpt}", "--no-browser"]
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert "http://127.0.0.1:" in run.stdout.readline()
        assert list(place.glob("ganlab-explore-*/pictures"))
        run.send_signal(number)
        rest, _ = run.communicate(timeout=60)
    assert run.returncode in (0, 128 + number), rest
    assert not list(place.glob("ganlab-explore-*"))
