"""What several folders of tests share: `headless`, `tracker_files`, `processes`, Hydra's state."""

import signal
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def signals_are_heard():
    """What tests start hears Ctrl-C in a background job of a shell, and hangups under nohup, too.

    A handler, whatever it does, is the default again in a new process; what is ignored stays so.
    One that a test leaves behind would answer for the tests after it: that fails the test.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)
    heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    left = {number: signal.getsignal(number) for number in heard}
    for number, handler in heard.items():
        signal.signal(number, handler)
    assert left == heard, "a handler of a signal outlived what it was set for"


@pytest.fixture
def hydra_is_clean():
    """Hydra as it is before a command line, with the resolvers of the configs."""
    from ganlab.cli import register_resolvers

    GlobalHydra.instance().clear()
    register_resolvers()
    yield
    GlobalHydra.instance().clear()


@pytest.fixture
def own_cache(tmp_path, monkeypatch, hydra_is_clean):
    """A cache of this test's own, besides a clean Hydra."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_command_line_is_remembered():
    """A test that lets Hydra read a command line leaves nothing of it to the next one."""
    before = HydraConfig.instance().cfg
    yield
    HydraConfig.instance().cfg = before
