from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ganlab.arguments import arranged, overlaid
from ganlab.cli import groups
from ganlab.remembered import continued

AWKWARD = ["/data/a=b/last.ckpt", "/my data/faces (1)", "/it's/here", "/täglich/größe", "/a&b;c"]


@pytest.mark.parametrize("path", AWKWARD)
@pytest.mark.parametrize(
    "key", ["ckpt", "data.path", "hydra.run.dir", "+data.cache_dir", "study.image", "study.results"]
)
def test_paths_pass_through_the_grammar_unchanged(key, path):
    (word,) = arranged([f"{key}={path}"], [])
    assert OverridesParser.create().parse_override(word).value() == path


def test_tilde_is_the_home_folder():
    assert arranged(["data.path=~/faces"], []) == [f"data.path={Path.home()}/faces"]


def test_a_tilde_may_mean_other_things():
    assert arranged(["grid.caption=~5"], []) == ["grid.caption=~5"]
    (word,) = arranged(["data.path=~nobody-of-that-name/faces"], [])
    assert OverridesParser.create().parse_override(word).value() == "~nobody-of-that-name/faces"


def test_several_paths_stay_several():
    (word,) = arranged(["ckpt=~/a.ckpt,/my runs/b.ckpt"], [])
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.is_sweep_override()
    texts = [str(getattr(each, "text", each)) for each in override.sweep_iterator()]
    assert texts == [f"{Path.home()}/a.ckpt", "/my runs/b.ckpt"]


def test_a_file_with_a_comma_in_its_name_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one, two.jpg", "photo (1).jpg"):
        Path(name).touch()
        (word,) = arranged([f"study.image={name}"], [])
        assert OverridesParser.create().parse_override(word).value() == name


@pytest.mark.parametrize(
    "word",
    [
        "ckpt=null",
        "study.latents=0:1300",
        "study.latents=3,17",
        "seed=0,1",
        "ckpt=a.ckpt,b.ckpt",
        "data.path='a=b'",
        "kimg=3",
        "model=dcgan",
        "-m",
        "data.path=${x}",
    ],
)
def test_other_words_are_left_alone(word):
    assert arranged([word], groups()) == [word]


def test_null_groups_are_explained():
    assert arranged(["callbacks=null"], groups()) == ["callbacks=none"]
    with pytest.raises(ValueError, match="logger=null: logger is a config group"):
        arranged(["logger=null"], groups())


def test_todays_words_take_precedence_over_saved_ones():
    saved = ["model=dcgan", "kimg=10", "+model.penalties.r1.gamma=3", "data.num=5"]
    assert continued(["kimg=20", "ckpt=x"], saved) == [
        "model=dcgan",
        "+model.penalties.r1.gamma=3",
        "data.num=5",
        "kimg=20",
        "ckpt=x",
    ]


@pytest.mark.parametrize(
    "word",
    [
        "allow_targets=[shutil]",
        "+callbacks.x._target_=shutil.copyfile",
        "logger.csv.directory=/etc",
        "run_dir=/etc",
        "hydra.run.dir=/etc",
        "hydra.searchpath=[file:///tmp]",
        "scores.directory=/etc",
        "data.cache_dir=/etc",
        "features.url=https://example.org/weights.pth",
        "+model.conditioner.weights.url=https://example.org/weights.pth",
        "--config-dir=/tmp",
        "-m",
    ],
)
def test_a_checkpoint_cannot_say_where_to_write_what_to_fetch_or_to_import(word):
    assert continued(["ckpt=x"], [word]) == ["ckpt=x"]


def test_one_key_of_the_checkpoints_data_can_be_changed():
    assert overlaid(["ckpt=x", "data.path=/new"]) == ["ckpt=x", "+data.path=/new"]
    assert overlaid(["data=folder", "data.path=/new"]) == ["data=folder", "data.path=/new"]
