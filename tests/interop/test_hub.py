"""Files of the hub: fetched once, by a command line alone, and known by their commit."""

import http.server
import json
import os
import subprocess
import sys
import threading
from importlib.util import find_spec

import pytest
import stylegan2_files as files
from hub_standin import Hub
from test_foreign_evaluation import evaluated
from test_stylegan2_use import TINY, run_command, trained, written

from ganlab.__main__ import convert, info
from ganlab.downloads import cache_dir
from ganlab.interop.hub import Address
from ganlab.run import resume_words
from ganlab.runs.checkpoint_sampler import CheckpointSampler
from ganlab.runs.recipes import open_checkpoint, rebuild_system
from ganlab.runs.saved_options import may_stay
from ganlab.systems.checkpoint import CheckpointError

FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def hub(own_cache, tmp_path, monkeypatch):
    """A hub with a DCGAN `me/faces/tiny.pth` and a StyleGAN2 `me/styles/net.pkl`."""
    found = Hub(tmp_path / "hub")
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


@pytest.fixture
def faces(hub, tiny):
    hub.commit("me/faces", FIRST, tiny__pth=tiny[0].read_bytes())
    return "hf://me/faces/tiny.pth"


@pytest.fixture
def styles(hub, tmp_path):
    hub.commit("me/styles", FIRST, net__pkl=written(tmp_path / "net.pkl").read_bytes())
    return "hf://me/styles/net.pkl"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://me/faces/tiny.pth", ("me/faces", "tiny.pth", "main")),
        ("hf://me/f-1.0_x/a/b c.pkl@v1.0", ("me/f-1.0_x", "a/b c.pkl", "v1.0")),
        ("hf://me/faces/tiny.pth@refs/pr/1", ("me/faces", "tiny.pth", "refs/pr/1")),
    ],
)
def test_an_address_has_three_parts(text, parts):
    found = Address.of(text)
    assert (found.repo, found.file, found.revision) == parts


@pytest.mark.parametrize(
    "text", ["hf://me/faces", "hf://me/faces/", "hf://me/../x", "hf://me/x/../../y", "hf://a/b/@m"]
)
def test_what_is_no_address_is_told_the_form(hub, text):
    with pytest.raises(ValueError, match="should be hf://owner/name/file"):
        open_checkpoint(text)
    assert hub.requests == []


def test_the_second_use_asks_no_network_and_the_record_has_the_commit(hub, faces, tmp_path):
    first = evaluated(faces, tmp_path / "a", "study=samples", "study.num=2")
    assert hub.requests == ["me/faces@main"]
    hub.online = False
    hub.commit("me/faces", SECOND, tiny__pth=b"another file")  # main has moved on
    second = evaluated(faces, tmp_path / "b", "study=samples", "study.num=2")
    assert hub.requests == ["me/faces@main"]
    for result in (first, second):
        assert result["source"]["file"] == f"hf://me/faces/tiny.pth@{FIRST}"
        assert result["source"]["revision"] == "main"
        assert result["source"]["name"] == "me/faces"
        assert len(result["source"]["sha256"]) == 64
    pictures = [(tmp_path / run / "samples/000001.png").read_bytes() for run in "ab"]
    assert pictures[0] == pictures[1]
    kept = json.loads((tmp_path / "b" / "result.json").read_text())
    assert kept["source"] == second["source"]


def test_a_revision_is_fetched_as_itself(hub, faces, tiny):
    hub.commit("me/faces", SECOND, tiny__pth=b"another file")
    source = open_checkpoint(f"{faces}@{FIRST}")["recipe"]["source"]
    assert source["file"] == f"{faces}@{FIRST}"
    assert source["revision"] == FIRST


def test_info_and_convert_take_it(hub, styles, tmp_path, monkeypatch, capsys):
    said = run_command(info, monkeypatch, capsys, f"ckpt={styles}")
    assert f"{styles}@{FIRST}" in said
    out = tmp_path / "out.safetensors"
    run_command(convert, monkeypatch, capsys, f"in={styles}", f"out={out}")
    assert rebuild_system(open_checkpoint(out), []).generator_ema.latent_dim == files.Z


def test_a_run_begins_from_it_and_resumes_without_a_network(hub, styles, tmp_path, monkeypatch):
    words = resume_words([f"init={styles}", *TINY])
    result, _ = trained(tmp_path / "run", *words)
    assert result["begun_from"]["file"] == f"{styles}@{FIRST}"
    assert hub.requests == ["me/styles@main"]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # not even installed any more
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "empty"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    words = resume_words([f"ckpt={last}", *words, "kimg=0.024"])
    result, _ = trained(tmp_path / "run", *words)
    assert result["images_seen"] == 24


def test_a_checkpoint_makes_nobody_ask_a_network(hub, faces):
    """What a run remembers of its images may name an address; then it is to be here already."""
    assert not may_stay(f"init={faces}", lambda *_: True, [])
    assert not may_stay(f"ckpt={faces}", lambda *_: True, [])
    with pytest.raises(FileNotFoundError, match=rf"first run .*info ckpt={faces}@main"):
        CheckpointSampler(faces)
    assert hub.requests == []
    open_checkpoint(faces)
    assert CheckpointSampler(faces).source["file"] == f"{faces}@{FIRST}"


def test_it_cannot_be_resumed(hub, faces):
    with pytest.raises(CheckpointError, match=rf"init={faces} begins a run"):
        resume_words([f"ckpt={faces}"])


def test_without_the_package_the_error_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'ganlab\[hub\]'"):
        open_checkpoint("hf://me/faces/tiny.pth")


def test_without_a_network_the_error_says_what_to_fetch(hub, faces):
    hub.online = False
    with pytest.raises(FileNotFoundError) as caught:
        open_checkpoint(faces)
    said = str(caught.value)
    assert "network is unreachable" in said
    assert "hf download me/faces tiny.pth --revision main" in said
    assert str(cache_dir()) in said


def test_what_the_hub_lacks_is_named(hub, faces):
    with pytest.raises(ValueError, match=r"me/faces has no other\.pth; it has tiny\.pth"):
        open_checkpoint("hf://me/faces/other.pth")
    with pytest.raises(ValueError, match="there is no repository me/nothing, or it is private"):
        open_checkpoint("hf://me/nothing/tiny.pth")
    with pytest.raises(ValueError, match="me/faces has no branch, tag or commit v9"):
        open_checkpoint(f"{faces}@v9")
    hub.gated.add("me/faces")
    with pytest.raises(ValueError, match="accept its terms"):
        open_checkpoint(faces)


SCRIPT = """
import sys
from ganlab.interop.hub import cached_file
for text in sys.argv[1:]:
    found = cached_file(text)
    print(found.commit, found.path.read_bytes().decode(), found.source["file"])
"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    """What the hub answers of one file of one repository."""

    content, asked = b"weights", []

    def do_HEAD(self):
        self.answer(send=False)

    def do_GET(self):
        self.answer(send=True)

    def answer(self, send):
        self.asked.append(self.path)
        known = self.path == "/me/faces/resolve/main/dir/tiny.pth"
        self.send_response(200 if known else 404)
        if known:
            self.send_header("X-Repo-Commit", FIRST)
            self.send_header("ETag", '"abc"')
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()
        if known and send:
            self.wfile.write(self.content)

    def log_message(self, *_):
        pass


@pytest.mark.slow
@pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed")
def test_the_real_client_fetches_once_from_a_server_of_its_own(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "GANLAB_CACHE": str(tmp_path / "cache"),
        "NO_PROXY": "127.0.0.1",
    }
    address = "hf://me/faces/dir/tiny.pth"
    command = [sys.executable, "-c", SCRIPT, address]
    first = subprocess.run(command, env=environment, capture_output=True, text=True)
    server.shutdown()
    assert first.stdout.split() == [FIRST, "weights", f"{address}@{FIRST}"], first.stderr
    offline = subprocess.run(
        [*command, address.replace("tiny", "other")],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert offline.stdout.split() == [FIRST, "weights", f"{address}@{FIRST}"]
    last = offline.stderr.splitlines()[-1]
    assert last.startswith("FileNotFoundError: hf://me/faces/dir/other.pth@main is not kept")
