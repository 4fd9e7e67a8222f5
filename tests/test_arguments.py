from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from ganlab.arguments import (
    INFO,
    INFOS,
    VALUED,
    arrange,
    checkpoint_of,
    overlaid,
    parse_override,
    quote,
    value_of,
)
from ganlab.cli import groups
from ganlab.hydra_versions import SINCE_1_4
from ganlab.runs.saved_options import continue_words

AWKWARD = [
    "/it's \\'here\\",
    "/a\\b",
    '/"quoted"',
    "/2024",
    "/x$y",
    "/data/a=b/last.ckpt",
    "/my data/faces (1)",
    "/it's/here",
    "/täglich/größe",
    "/a&b;c",
]


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)
bounded = settings(max_examples=150, derandomize=True, deadline=None, database=None)


@bounded
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_its_quotes(text):
    assert parse_override(f"ckpt={quote(text)}").value() == text
    assert value_of([f"+ckpt={quote(text)}"], "ckpt") == text


@bounded
@given(NAMES)
def test_any_path_is_read_by_us_as_by_hydra_and_is_the_path(name):
    for path in (f"/somewhere/{name}", f"./{name}"):
        if "," not in name:  # several, where no file has that very name
            (word,) = arrange([f"ckpt={path}"], [])
            assert OverridesParser.create().parse_override(word).value() == path
            assert checkpoint_of([word, "seed=1"]) == path
            assert arrange([word], []) == [word], "arranged words stay as they are"


@pytest.mark.parametrize("name", ["a,b", "'a", "a'", "[a", "{a}b", "2024", "1e3", "true", "a = b"])
def test_a_file_of_any_name_in_this_folder_is_that_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    assert checkpoint_of(arrange([f"ckpt={name}"], [])) == name


def test_the_last_word_counts_and_null_is_none():
    assert checkpoint_of(["ckpt=a", "seed=3", "ckpt=b"]) == "b"
    assert checkpoint_of(["ckpt=null"]) is None
    assert checkpoint_of(["seed=3"]) is None
    with pytest.raises(ValueError, match="one ckpt at a time"):
        checkpoint_of(["ckpt=a,b"])


def test_what_cannot_be_read_says_how_it_could():
    with pytest.raises(ValueError, match=r"seed=a \{ cannot be read \(.*\): .* \"seed='\.\.\.'\""):
        value_of(["seed=a {"], "seed")


@pytest.mark.parametrize("name", ["sh-{000000..000002}.tar", "my fakes.npz:images", "10"])
def test_a_place_that_is_no_file_is_text_too(name):
    for key in ("fake", "study.held_out", "init"):
        assert value_of(arrange([f"{key}={name}"], []), key) == name
    assert value_of(arrange(["metrics.num_fake=10"], []), "metrics.num_fake") == 10


def test_flags_may_stand_anywhere_with_what_they_take():
    words = ["model=dcgan", "--config-dir", "/x=it's", "-c", "job", "ckpt=/a", "-m", "-i", "seed=1"]
    flags = ["--config-dir", "/x=it's", "-c", "job", "-m", "--info=all"]
    assert arrange(words, []) == [*flags, "model=dcgan", "ckpt=/a", "seed=1"]
    assert get_args_parser().parse_args(arrange(words, [])).overrides[1] == "ckpt=/a"


def test_the_flags_that_take_a_word_are_hydras():
    actions = [each for each in get_args_parser()._actions if each.option_strings]
    taking = {flag for each in actions if each.nargs is None for flag in each.option_strings}
    assert taking == VALUED
    optional = [each for each in actions if each.nargs == "?"]
    assert [tuple(each.option_strings) for each in optional] == [INFO]
    later = set() if SINCE_1_4 else {"aliases"}
    assert {*optional[0].choices} == {*INFOS} - later


@pytest.mark.parametrize("path", AWKWARD)
@pytest.mark.parametrize(
    "key",
    [
        *("ckpt", "data.path", "hydra.run.dir", "+data.cache_dir", "study.image", "study.results"),
        *("fake", "init", "study.held_out"),
    ],
)
def test_paths_pass_through_the_grammar_unchanged(key, path):
    (word,) = arrange([f"{key}={path}"], [])
    assert OverridesParser.create().parse_override(word).value() == path


def test_tilde_is_the_home_folder():
    assert arrange(["data.path=~/faces"], []) == [f"data.path={Path.home()}/faces"]


def test_a_tilde_may_mean_other_things():
    assert arrange(["grid.caption=~5"], []) == ["grid.caption=~5"]
    (word,) = arrange(["data.path=~nobody-of-that-name/faces"], [])
    assert OverridesParser.create().parse_override(word).value() == "~nobody-of-that-name/faces"


def test_several_paths_stay_several():
    (word,) = arrange(["ckpt=~/a.ckpt,/my runs/b.ckpt"], [])
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.is_sweep_override()
    texts = [str(getattr(each, "text", each)) for each in override.sweep_iterator()]
    assert texts == [f"{Path.home()}/a.ckpt", "/my runs/b.ckpt"]


def test_a_file_with_a_comma_in_its_name_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one, two.jpg", "photo (1).jpg"):
        Path(name).touch()
        (word,) = arrange([f"study.image={name}"], [])
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
    assert arrange([word], groups()) == [word]


def test_null_groups_are_explained():
    assert arrange(["callbacks=null"], groups()) == ["callbacks=none"]
    with pytest.raises(ValueError, match="logger=null: logger is a config group"):
        arrange(["logger=null"], groups())


def test_todays_words_take_precedence_over_saved_ones():
    saved = ["model=dcgan", "kimg=10", "+model.penalties.r1.gamma=3", "data.num=5"]
    assert continue_words(["kimg=20", "ckpt=x"], saved) == [
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
    assert continue_words(["ckpt=x"], [word]) == ["ckpt=x"]


def test_one_key_of_the_checkpoints_data_can_be_changed():
    assert overlaid(["ckpt=x", "data.path=/new"]) == ["ckpt=x", "+data.path=/new"]
    assert overlaid(["data=folder", "data.path=/new"]) == ["data=folder", "data.path=/new"]
    assert overlaid(["features.weights=/w"]) == ["+features.weights=/w"]
    assert overlaid(["data=folder", "features.weights=/w"])[1] == "features.weights=/w"
