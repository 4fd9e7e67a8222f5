import pytest
from study_toys import ConvGenerator

from ganlab.checks.places import file_named, place_named
from ganlab.studies import RealOrFake, Samples, Timeline
from ganlab.studies.address import addresses
from ganlab.studies.latents.latent_set import latent_set

LONG = "a" * 5000


def test_what_is_there_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "some.txt").write_text("1")
    assert file_named("~/some.txt", "study.x") == tmp_path / "some.txt"
    assert place_named(tmp_path / "nothing", "study.x") == tmp_path / "nothing"
    with pytest.raises(FileNotFoundError, match=r"^study\.x=none: no such file; it takes a list$"):
        file_named("none", "study.x", "it takes a list")
    with pytest.raises(FileNotFoundError, match=r"no such file"):
        file_named("a\0b", "study.x")


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("study.latents", lambda: addresses(LONG)),
        ("study.a", lambda: latent_set(ConvGenerator(), f"{LONG}.npy", 0, "study.a")),
        ("study.indices", lambda: Samples(indices=LONG)),
        ("study.checkpoints", lambda: Timeline(checkpoints=LONG)),
        ("study.grids", lambda: Timeline(grids=LONG)),
        ("ckpt", lambda: Timeline(ckpt=LONG)),
        ("study.results", lambda: RealOrFake(results=LONG)),
    ],
)
def test_a_name_too_long_for_a_file_is_one_line_with_its_key(key, read):
    with pytest.raises(ValueError, match=rf"^{key}=a+\.\.\. is too long for a file's name$"):
        read()
