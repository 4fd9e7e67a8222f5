"""Generators to look into; no test of the explorer sees or fills the user's cache."""

import socket
import sys
from pathlib import Path

import pytest
import torch

for folder in ("app", "studies", "interop"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def dcgan(tmp_path):
    """A session of a DCGAN of 16 px, from a file."""
    from tutorial_networks import generator, lively, state

    from ganlab.app.session import Session

    network = lively(generator(nz=6, ngf=3, resolution=16))
    torch.save({"netG_state_dict": state(network)}, tmp_path / "dcgan.pth")
    return Session.open(str(tmp_path / "dcgan.pth"))


@pytest.fixture
def grey(tmp_path):
    """A session of a DCGAN of 16 px without colours, from a file."""
    from tutorial_networks import generator, lively, state

    from ganlab.app.session import Session

    network = lively(generator(nz=6, ngf=3, nc=1, resolution=16))
    torch.save({"netG_state_dict": state(network)}, tmp_path / "grey.pth")
    return Session.open(str(tmp_path / "grey.pth"))


@pytest.fixture
def eyes(tmp_path):
    """A session of a DCGAN of 128 px that is told one of eight classes."""
    from test_dcgan_files import ConditionalEyes
    from tutorial_networks import lively

    from ganlab.app.session import Session

    content = {"generator": lively(ConditionalEyes(5, 8)).state_dict(), "num_labels": 8}
    torch.save(content, tmp_path / "eyes.pth")
    return Session.open(str(tmp_path / "eyes.pth"))


@pytest.fixture
def stylegan2(tmp_path):
    """A session of a StyleGAN2 of 16 px, from a file."""
    import stylegan2_files as files

    from ganlab.app.session import Session

    state, _ = files.nvidia_generator()
    path = tmp_path / "network-snapshot.pkl"
    files.write_nvidia(path, G_ema=files.persistent("Generator", state, {}))
    return Session.open(str(path))


@pytest.fixture
def pyramid(hydra_is_clean):
    """A session of a semantic pyramid of 32 px with random weights."""
    from ganlab.app.session import Session
    from ganlab.run import recipe

    small = [f"model.{network}.width=4" for network in ("generator", "discriminator")]
    system = recipe("semantic_pyramid", "data=fashion_mnist", "model/mirror=fashion", *small)
    system.eval().setup("test")
    return Session("pyramid.ckpt", system)


@pytest.fixture
def photographs(tmp_path):
    """Two images as files, other in size than the generator's."""
    import numpy as np
    from PIL import Image

    rng, places = np.random.default_rng(0), [tmp_path / "one.png", tmp_path / "other.png"]
    for place in places:
        pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(place)
    return [str(place) for place in places]


@pytest.fixture
def no_way_out(monkeypatch):
    """Whoever in this process asks for another machine fails, and is remembered."""
    asked, connect, look_up = [], socket.socket.connect, socket.getaddrinfo

    def connecting(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
            asked.append(address)
            raise OSError(f"{address} is not this machine")
        return connect(self, address)

    def looking_up(host, *rest, **more):
        if host not in (None, "", "127.0.0.1", "localhost", "::1", "0.0.0.0"):
            asked.append(host)
            raise OSError(f"{host} is not this machine")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    yield
    assert not asked


@pytest.fixture
def opened(no_way_out, tmp_path):
    """Serves sessions, and opens their pages each in a browser of its own."""
    from explorer import Explorer

    from ganlab.app.page import serve

    pages, servers = [], []

    def opens(session, width=1200, height=1000):
        if not servers:
            servers.append(serve(session, browser=False, wait=False))
        folder = tmp_path / f"browser{len(pages)}"
        folder.mkdir()
        page = Explorer(folder, width, height)
        pages.append(page.__enter__())
        page.visit(servers[0].local_url)
        return page

    yield opens
    for page in pages:
        page.__exit__()
    outside = [url for page in pages for url in page.outside()]
    for server in servers:
        server.close()
    assert not outside
