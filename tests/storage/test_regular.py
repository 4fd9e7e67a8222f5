import os
import socket
import threading

import pytest

from ganlab.storage import DamagedFile, irregularity, located, open_regular, read_text


@pytest.fixture
def pipe(tmp_path):
    """A pipe nobody writes to: opening it as a file waits for ever."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def soon(act):
    """What `act` raises, in a second at most."""
    raised = []

    def caught():
        try:
            act()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits"
    return raised[0]


def read(path):
    with open_regular(path) as file:
        return file.read()


def test_what_is_no_file_is_not_waited_for(tmp_path, pipe):
    assert isinstance(soon(lambda: read(pipe)), DamagedFile)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for place in (pipe, tmp_path / "socket", tmp_path, "/dev/zero"):
            with pytest.raises(DamagedFile):
                read(type(pipe)(place))
    assert "folder" in irregularity(tmp_path)
    assert "pipe" in irregularity(pipe)
    assert irregularity(tmp_path / "nothing") is None


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(pipe, monkeypatch):
    monkeypatch.setattr("ganlab.storage.regular.irregularity", lambda path: None)
    assert isinstance(soon(lambda: read(pipe)), DamagedFile)


def test_a_failed_write_names_its_file(tmp_path):
    full = os.open("/dev/full", os.O_WRONLY)
    with (
        pytest.raises(OSError, match=r"No space left on device: .*there"),
        located(tmp_path / "there"),
    ):
        os.write(full, b"x")
    os.close(full)
    with pytest.raises(FileNotFoundError, match="elsewhere"), located(tmp_path / "there"):
        (tmp_path / "elsewhere").read_bytes()


def test_texts(tmp_path):
    (tmp_path / "text").write_text("\ufeffä", encoding="utf-8")
    assert read_text(tmp_path / "text", "utf-8-sig") == "ä"
    (tmp_path / "text").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        read_text(tmp_path / "text")


def test_a_text_that_nobody_would_write_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("{}" + " " * 100)
    assert read_text(path, most=102) == path.read_text()
    with pytest.raises(DamagedFile, match="it has 0 MB, more than any"):
        read_text(path, most=101)
    os.truncate(path, 10 * 2**30)  # of holes
    with pytest.raises(DamagedFile, match="it has 10,240 MB, more than any"):
        read_text(path)
