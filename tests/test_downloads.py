import http.server
import threading

import pytest

from ganlab.downloads import cache_dir, download


@pytest.fixture
def address(tmp_path):
    """A local server of the folder `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file.bin").write_bytes(b"content")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def accept(path):
    assert path.read_bytes() == b"content"


def refuse(path):
    raise ValueError("not the right file")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("GANLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "ganlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "ganlab"


def test_a_verified_file_appears_under_its_name(address, tmp_path):
    target = tmp_path / "new" / "file.bin"
    assert download(f"{address}/file.bin", target, accept) == target
    assert target.read_bytes() == b"content"
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_refused_file_leaves_nothing(address, tmp_path):
    with pytest.raises(ValueError, match="not the right file"):
        download(f"{address}/file.bin", tmp_path / "new" / "file.bin", refuse)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("path", ["/absent.bin", ":1/nobody"])
def test_no_answer_is_a_connection_error_that_names_the_address(address, tmp_path, path):
    url = f"{address}{path}" if path.startswith("/") else "http://127.0.0.1:1/nobody"
    with pytest.raises(ConnectionError, match=r"download of http://127\.0\.0\.1"):
        download(url, tmp_path / "file.bin", accept)
    assert not (tmp_path / "file.bin").exists()
