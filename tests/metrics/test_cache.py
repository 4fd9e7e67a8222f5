import pickle
import warnings

import pytest
import torch
from worlds import FAKE, NUM, REAL, Projection, suite

from ganlab.metrics import RealCache, Suite, real_key
from ganlab.metrics import cache as module


def key_of(scored, **changes):
    options = {"content_key": "data", "resolution": 2, "num_images": NUM, **changes}
    return real_key(scored, **options)


@pytest.fixture
def stored(tmp_path):
    """A cache that holds the reals, their key, and the scores they lead to."""
    cache, scored = RealCache(tmp_path / "reals"), suite()
    scored.update(REAL, real=True)
    cache.store(scored, key_of(scored))
    scored.update(FAKE, real=False)
    return cache, key_of(scored), scored.compute()


def test_round_trip(stored):
    cache, key, expected = stored
    scored = suite()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.restore(scored, key)
    assert scored.has_real
    scored.update(FAKE, real=False)
    assert scored.compute() == expected


def test_restored_reals_survive_a_reset_and_replace_earlier_ones(stored):
    cache, key, expected = stored
    scored = suite()
    scored.update(FAKE, real=True)
    cache.restore(scored, key)
    for _ in range(2):
        scored.reset()
        scored.update(FAKE, real=False)
        assert scored.compute() == expected


@pytest.mark.parametrize(
    "change",
    [{"content_key": "other"}, {"resolution": 4}, {"mirror": True}, {"num_images": NUM + 1}],
)
def test_other_data_is_another_file(stored, change):
    cache, _, _ = stored
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not cache.restore(suite(), key_of(suite(), **change))


def test_another_extractor_count_or_set_of_scores_is_another_file(stored):
    cache, key, _ = stored
    other = Projection(sha256="cd" * 32)
    fewer = Suite(Projection(), {"fid": suite().metrics["fid"]}, NUM, NUM)
    keys = [key, key_of(suite(other)), key_of(suite(num=NUM - 1)), key_of(fewer)]
    assert len({cache.path(key) for key in keys}) == 4


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def flip(path):
    """Damage one float of the features, which the file's structure does not show."""
    content = bytearray(path.read_bytes())
    needle = Projection()(REAL)["features"].numpy().tobytes()
    where = content.find(needle)
    assert where > 0
    content[where + 2] ^= 64
    path.write_bytes(content)


def text(path):
    path.write_text("not a file of tensors")


def empty(path):
    path.write_bytes(b"")


class Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return (warnings.warn, ("the trap was sprung",))


def trap(path):
    torch.save({"key": Trap(), "state": {}}, path)


def bare_pickle(path):
    path.write_bytes(pickle.dumps(Trap()))


def foreign(path):
    content = torch.load(path, weights_only=True)
    content["key"]["data"] = "someone else's"
    torch.save(content, path)


def misshapen(path):
    content = torch.load(path, weights_only=True)
    content["state"]["fid"]["real_features_sum"] = torch.zeros(2, dtype=torch.float64)
    torch.save(content, path)


def partial(path):
    content = torch.load(path, weights_only=True)
    del content["state"]["kid"]
    torch.save(content, path)


DAMAGES = [truncate, flip, text, empty, trap, bare_pickle, foreign, misshapen, partial]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_file_that_cannot_be_trusted_is_ignored_and_replaced(stored, damage):
    cache, key, expected = stored
    damage(cache.path(key))
    scored = suite()
    with pytest.warns(UserWarning, match="reals") as caught:
        assert not cache.restore(scored, key)
    assert len(caught) == 1  # and no trap among them
    assert str(caught[0].message).startswith(f"ignoring statistics of reals in {cache.path(key)}")
    assert not scored.has_real
    scored.update(REAL, real=True)
    cache.store(scored, key)
    again = suite()
    assert cache.restore(again, key)
    again.update(FAKE, real=False)
    assert again.compute() == expected


def test_a_write_that_fails_leaves_the_old_file_and_no_other(stored, monkeypatch):
    cache, key, _ = stored
    before = cache.path(key).read_bytes()

    def broken(content, file):
        file.write(b"half")
        raise OSError("no space left on device")

    scored = suite()
    scored.update(REAL, real=True)
    monkeypatch.setattr(module.torch, "save", broken)
    with pytest.warns(UserWarning, match="no space left"):
        cache.store(scored, key)
    assert [path.name for path in cache.directory.iterdir()] == [cache.path(key).name]
    assert cache.path(key).read_bytes() == before


@pytest.mark.parametrize("num", [NUM - 1, 0])
def test_unfinished_reals_are_not_kept(tmp_path, num):
    cache, scored = RealCache(tmp_path / "reals"), suite()
    scored.update(REAL[:num], real=True)
    with pytest.raises(ValueError, match=f"{num} real images were fed instead of {NUM}"):
        cache.store(scored, key_of(scored))
    assert not cache.path(key_of(scored)).exists()


def test_a_directory_that_cannot_be_made_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    scored = suite()
    scored.update(REAL, real=True)
    with pytest.warns(UserWarning, match="not kept"):
        RealCache(tmp_path / "file" / "reals").store(scored, key_of(scored))


def test_scores_that_share_features_share_their_bytes(stored):
    """KID and precision / recall hold the same tensors; the file must hold them once."""
    cache, key, _ = stored
    state = torch.load(cache.path(key), weights_only=True)["state"]
    kid, precision_recall = (state[n]["real_features"][0] for n in ("kid", "precision_recall"))
    assert kid.data_ptr() == precision_recall.data_ptr()


def test_the_default_place_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path))
    assert RealCache().directory == tmp_path / "reals"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_statistics_that_are_no_numbers_are_made_anew(stored, value):
    """Written with a checksum that agrees, so that only a look at them can tell."""
    cache, key, _ = stored
    content = torch.load(cache.path(key), weights_only=True)
    tensors = [
        (name, part)
        for name, states in content["state"].items()
        for state in states.values()
        for part in (state if isinstance(state, list) else [state])
        if part.is_floating_point()
    ]
    tensors[0][1].view(-1)[0] = value
    torch.save(content, cache.path(key))
    with pytest.warns(UserWarning, match=f"its {tensors[0][0]} are not finite numbers"):
        assert not cache.restore(suite(), key)


def test_cells_of_a_grid_read_every_byte_once_and_map_it_after(stored, tmp_path, monkeypatch):
    cache, key, expected = stored
    monkeypatch.setenv("GANLAB_TURNS", str(tmp_path))
    read, whole = [], module.read_archive
    monkeypatch.setattr(module, "read_archive", lambda path: read.append(path) or whole(path))
    for _ in range(3):
        scored = suite()
        assert cache.restore(scored, key)
        scored.update(FAKE, real=False)
        assert scored.compute() == expected
    assert read == [cache.path(key)]
    flip(cache.path(key))
    with pytest.warns(UserWarning, match="a checksum in it does not agree"):
        assert not cache.restore(suite(), key)
