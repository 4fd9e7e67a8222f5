import shlex

import pytest
from composing import composed

from ganlab.cli import register_resolvers
from ganlab.config import resolve
from ganlab.runs.provenance import (
    Origin,
    config_hash,
    declare,
    provenance,
    relative_value,
    start_record,
)


def settings(run_dir, *words):
    """What a training in this directory is told, every callback among it."""
    register_resolvers()
    config = composed("train", ["model=dcgan", "data=synthetic", *words], run_dir)
    return resolve(config)


def test_equal_runs_in_two_directories_share_a_hash(tmp_path):
    one, other = settings(tmp_path / "one"), settings(tmp_path / "other")
    assert str(tmp_path / "one") in str(one["callbacks"]), "a callback writes there"
    hashes = [provenance(each, "train")["config_hash"] for each in (one, other)]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 12
    assert config_hash(settings(tmp_path / "one", "seed=1"), anywhere=True) not in hashes


def test_ranks_that_write_to_two_directories_do_not(tmp_path):
    assert config_hash(settings(tmp_path / "one")) != config_hash(settings(tmp_path / "other"))
    assert config_hash(settings(tmp_path / "one")) == config_hash(settings(tmp_path / "one"))


@pytest.mark.parametrize("path", ["/elsewhere", "/runs/one-more/rates", "/runs", "one"])
def test_other_paths_still_tell_runs_apart(path):
    """Lists and mappings are looked through; a longer name is no path below."""

    def hashed(home, path):
        node = {"run_dir": home, "study": {"files": [{"rates": path}]}}
        return config_hash(node, anywhere=True)

    assert hashed("/runs/one", "/runs/one/rates") == hashed("/runs/two", "/runs/two/rates")
    assert hashed("/runs/one", path) != hashed("/runs/one", "/runs/one/rates")
    assert hashed("/runs/one", path) == hashed("/runs/two", path)


def test_a_config_without_a_directory_has_a_hash_too():
    assert config_hash({"data": "/a"}, anywhere=True) == config_hash({"data": "/a"})


@pytest.mark.parametrize(
    ("value", "expected"), [("/a/b", "."), ("/a/b/c", "./c"), ("/a/bc", "/a/bc"), (3, 3)]
)
def test_within_a_directory_the_rest_counts(value, expected):
    assert relative_value(value, "/a/b") == expected


@pytest.fixture
def said():
    """The facts of a run that was started with these words."""
    yield lambda *words: (declare(Origin(list(words), {})), start_record("train"))[1]["command"]
    from ganlab.runs import provenance

    provenance._declared.clear()


def test_the_command_can_be_pasted(said):
    words = ["data.path='/my faces'", "study.layers=[0,1]", "~callbacks.health", 'name="$HOME"']
    assert shlex.split(said(*words)) == ["python", "train.py", *words]


def test_plain_words_stay_as_they_are(said):
    words = [
        "+a.b=1e-5",
        "experiment=gallery/vae",
        "ckpt=x/y.ckpt",
        "study.latents=0:1000",
        "k=1,2",
    ]
    assert said(*words) == f"python train.py {' '.join(words)}"
    assert said() == "python train.py"
