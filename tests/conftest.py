"""What several folders of tests share: `headless`, `tracker_files`, `processes`, Hydra's state."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

sys.path.insert(0, str(Path(__file__).parent))


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
