"""Files of random weights for the big network; they exercise everything but published numbers."""

import functools
import http.server
import threading

import pytest
import torch

from ganlab.data.idx import read_embedded
from ganlab.features.inception import Network


@pytest.fixture(scope="session")
def random_state():
    """Inception's tensors drawn so that activations neither vanish nor explode."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Network().state_dict().items()}
    generator = torch.Generator().manual_seed(0)

    def drawn(name, shape):
        if name.endswith("num_batches_tracked"):
            return torch.tensor(0)
        if name.endswith(("running_var", "bn.weight")):
            return 0.5 + torch.rand(shape, generator=generator)
        scale = (2 / shape[1:].numel()) ** 0.5 if len(shape) > 1 else 0.2
        return scale * torch.randn(shape, generator=generator)

    return {name: drawn(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def weights_path(random_state, tmp_path_factory):
    """The random tensors as a file, named as users' files are."""
    path = tmp_path_factory.mktemp("weights") / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(random_state, path)
    return path


@pytest.fixture
def served(tmp_path):
    """A folder served over HTTP: (folder, address, list of requested paths)."""
    folder, requests = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test sees or fills the user's cache, and no proxy stands before the local server."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def held_out():
    """Fashion-MNIST's test split, which the classifiers were not trained on."""
    images, labels = read_embedded()
    return torch.tensor(images).unsqueeze(1) / 127.5 - 1, torch.tensor(labels)
