"""Finding, downloading, verifying and opening files of weights; each failure is one clear error."""

import collections
import http.server
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from ganlab.features import weights
from ganlab.features.weights import WeightsFile, sha256_of


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def offline(monkeypatch):
    """No name resolves and no host answers."""

    def refuse(*arguments, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


def published(served, content):
    """A served file and the `WeightsFile` that expects it."""
    folder, address, _ = served
    torch.save(content, folder / "net.pth")
    size = (folder / "net.pth").stat().st_size
    return WeightsFile(None, f"{address}/net.pth", size, sha256_of(folder / "net.pth"))


def test_a_missing_file_is_downloaded_once_and_only_by_fetch(served, network, own_cache):
    file = published(served, network.state_dict())
    requests = served[2]
    file.preflight()
    assert not requests
    assert not own_cache.exists()
    with pytest.raises(FileNotFoundError, match="no weights at"):
        file.state(network)
    assert file.fetch() == file.fetch() == own_cache / "net.pth"
    file.preflight()
    assert requests == ["/net.pth"]
    assert [path.name for path in own_cache.iterdir()] == ["net.pth"]
    for name, tensor in network.state_dict().items():
        assert torch.equal(file.state(network)[name], tensor)


def test_processes_that_fetch_together_download_once(served, network, own_cache):
    file = published(served, network.state_dict())
    with ThreadPoolExecutor(4) as ranks:
        assert set(ranks.map(lambda _: file.fetch(), range(4))) == {own_cache / "net.pth"}
    assert served[2] == ["/net.pth"]


def test_without_locks_each_fetches_for_itself(served, network, own_cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    file = published(served, network.state_dict())
    assert file.fetch() == own_cache / "net.pth"
    assert served[2] == ["/net.pth"]


def test_a_wrong_checksum_keeps_nothing(served, network, own_cache):
    file = published(served, network.state_dict())
    (served[0] / "net.pth").write_bytes(b"something else")
    with pytest.raises(ValueError, match=rf"net.pth sent has sha256 \w+, not {file.sha256}"):
        file.fetch()
    assert list(own_cache.iterdir()) == []


def test_a_damaged_copy_is_refused_before_it_is_opened(served, network):
    file = published(served, network.state_dict())
    path = file.fetch()
    path.write_bytes(path.read_bytes()[:-1])
    for use in (file.preflight, lambda: file.state(network)):
        with pytest.raises(ValueError, match=r"net.pth has sha256 \w+, not"):
            use()


def test_an_answer_of_not_found_says_what_to_do(served, own_cache):
    file = WeightsFile(None, f"{served[1]}/absent.pth", 96_000_000, "0" * 64)
    with pytest.raises(
        ConnectionError, match=r"404.*absent.pth \(96 MB\).*features.weights=<file>"
    ):
        file.fetch()
    assert list(own_cache.iterdir()) == []


def test_a_download_cut_short_is_not_taken_for_the_file(monkeypatch, served, own_cache):
    (served[0] / "net.pth").write_bytes(b"whole")
    monkeypatch.setattr(
        http.server.SimpleHTTPRequestHandler,
        "copyfile",
        lambda self, source, answer: answer.write(source.read()[:-2]),
    )
    with pytest.raises(ConnectionError, match="cut short by 2 bytes"):
        WeightsFile(None, f"{served[1]}/net.pth").fetch()
    assert list(own_cache.iterdir()) == []


def test_without_a_network_preflight_says_what_is_missing_and_where_it_goes(offline, own_cache):
    file = WeightsFile(None, "https://example.org/v1/net.pth", 95_628_359, "0" * 64)
    for use, error in ((file.preflight, FileNotFoundError), (file.fetch, ConnectionError)):
        with pytest.raises(error) as caught:
            use()
        for fact in (str(own_cache / "net.pth"), "https://example.org/v1/net.pth", "(96 MB)"):
            assert fact in str(caught.value)
        assert "features.weights=<file>" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_preflight_does_not_wait_for_a_host_that_is_silent(monkeypatch):
    asked = threading.Event()

    def silent(*arguments, **options):
        asked.wait(60)
        raise OSError

    monkeypatch.setattr(weights, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(socket, "create_connection", silent)
    with pytest.raises(FileNotFoundError, match="no weights at"):
        WeightsFile(None, "https://example.org/net.pth").preflight()
    asked.set()


def test_preflight_asks_the_proxy_where_there_is_one(served, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("https_proxy", served[1])
    WeightsFile(None, "https://host.invalid/net.pth").preflight()


def test_a_named_file_that_is_not_there_is_not_downloaded(served, tmp_path):
    file = WeightsFile(tmp_path / "mine.pth", f"{served[1]}/net.pth", 96_000_000, "0" * 64)
    for use in (file.preflight, file.fetch):
        with pytest.raises(FileNotFoundError, match=r"features.weights=.*mine.pth"):
            use()
    long = WeightsFile(tmp_path / ("x" * 5000), f"{served[1]}/net.pth")
    for use in (long.preflight, long.fetch):
        with pytest.raises(ValueError, match=r"features.weights=.*\.\.\.: File name too long"):
            use()
    assert not served[2]


def test_a_file_of_ones_own_needs_no_digest_and_reports_its_own(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    file = WeightsFile(tmp_path / "mine.pth")
    file.preflight()
    assert file.digest == sha256_of(tmp_path / "mine.pth")


def test_the_digest_of_a_file_is_read_once_and_again_when_it_changes(
    tmp_path, network, monkeypatch
):
    read = []
    monkeypatch.setattr(weights, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    digests = [WeightsFile(tmp_path / "mine.pth").digest for _ in range(3)]
    assert digests == [sha256_of(tmp_path / "mine.pth")] * 3
    assert len(read) == 1
    torch.save({"other": torch.zeros(3)}, tmp_path / "mine.pth")
    assert WeightsFile(tmp_path / "mine.pth").digest == sha256_of(tmp_path / "mine.pth")


def test_a_file_without_an_address_is_asked_for_and_never_fetched(own_cache, monkeypatch):
    monkeypatch.setattr(weights, "download", None)
    monkeypatch.setattr(weights, "_reachable", None)
    file = WeightsFile(None, size=543_000_000, name="net.pth", key="features.weights.file")
    for use in (file.preflight, file.fetch):
        with pytest.raises(FileNotFoundError, match=r"net\.pth \(features\.weights\.file=null\)"):
            use()


def test_half_precision_and_missing_counters_are_fine(tmp_path, network):
    state = {k: v.half() for k, v in network.state_dict().items() if v.is_floating_point()}
    torch.save(state, tmp_path / "mine.pth")
    loaded = WeightsFile(tmp_path / "mine.pth").state(network)
    assert list(loaded) == list(network.state_dict())
    assert {t.dtype for k, t in loaded.items() if k != "1.num_batches_tracked"} == {torch.float32}
    network.load_state_dict(loaded)


class Intruder:
    """Unpickled carelessly, it creates a file."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def opened(tmp_path, content, network):
    torch.save(content, tmp_path / "mine.pth")
    return WeightsFile(tmp_path / "mine.pth").state(network)


def test_a_pickled_object_is_never_run(tmp_path, network):
    with pytest.raises(ValueError, match=r"mine.pth .*not a file of plain tensors"):
        opened(tmp_path, Intruder(tmp_path / "trace"), network)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a file of tensors", b"PK\x03\x04 cut short", b"\x80\x02}q\x00."]
)
def test_files_of_another_kind_are_refused(tmp_path, network, content):
    (tmp_path / "mine.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"mine.pth \(features.weights\)"):
        WeightsFile(tmp_path / "mine.pth").state(network)


def test_torchscript_archives_are_refused(tmp_path, network):
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        WeightsFile(tmp_path / "mine.pth").state(network)


def test_wrong_contents_name_the_first_tensor_at_fault(tmp_path, network):
    state = network.state_dict()
    with pytest.raises(ValueError, match="something else than named dense tensors"):
        opened(tmp_path, [1, 2], network)
    with pytest.raises(ValueError, match="something else than named dense tensors"):
        opened(tmp_path, {"state_dict": state}, network)
    renamed = collections.OrderedDict((f"net.{name}", tensor) for name, tensor in state.items())
    with pytest.raises(ValueError, match=r"has no tensor '0\.weight'"):
        opened(tmp_path, renamed, network)
    without = {k: v for k, v in state.items() if k not in ("0.bias", "1.bias")}
    with pytest.raises(ValueError, match=r"has no tensor '0\.bias'"):
        opened(tmp_path, without, network)
    with pytest.raises(ValueError, match=r"'0\.bias' in shape \(5,\), not \(2,\)"):
        opened(tmp_path, {**state, "0.bias": torch.zeros(5)}, network)
    with pytest.raises(ValueError, match=r"'aux\.weight' this network lacks"):
        opened(tmp_path, {**state, "aux.weight": torch.zeros(5)}, network)


@pytest.mark.parametrize("content", [b"a.", b".", b"R.", b"\x80\x02."])
def test_bytes_that_only_look_like_a_pickle_are_refused(tmp_path, network, content):
    path = tmp_path / "mine.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine.pth \(features.weights\) is not a file of plain"):
        WeightsFile(path).state(network)


def test_a_flipped_byte_is_noticed_without_a_digest(tmp_path, network):
    path = tmp_path / "mine.pth"
    torch.save(network.state_dict(), path)
    weight = network.state_dict()["0.weight"].numpy().tobytes()
    content = path.read_bytes()
    assert weight in content
    path.write_bytes(content.replace(weight, bytes([weight[0] ^ 1]) + weight[1:]))
    with pytest.raises(ValueError, match="a checksum in it does not agree"):
        WeightsFile(path).state(network)


@pytest.mark.parametrize(
    "change", [torch.Tensor.to_sparse, lambda t: t.to("meta"), lambda t: t.to(torch.complex64)]
)
def test_weights_that_are_no_dense_floats_are_refused(tmp_path, network, change):
    state = network.state_dict()
    with pytest.raises(ValueError, match="something else than named dense tensors"):
        opened(tmp_path, {**state, "0.weight": change(state["0.weight"])}, network)


def test_importing_features_opens_no_connection():
    program = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        "import ganlab.features as f\n"
        "f.Inception(); f.Classifier(); f.VGG16()\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
