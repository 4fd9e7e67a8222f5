"""The same command finds the same directories; no two cells share one."""

import itertools
import re

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from ganlab.grid.naming import (
    LONGEST,
    cell_name,
    cell_values,
    expected_cells,
    grid_name,
    plain_value,
    short_names,
    swept_keys,
)

COMMAND = ["model=stylegan", "model/norm=in,pn,pin", "seed=0,1,2", "kimg=5"]


def test_swept_keys_are_those_with_several_values():
    assert swept_keys(COMMAND, {}) == ["model/norm", "seed"]
    assert swept_keys(["seed=range(3)", "+x.y=choice(1,2)"], {"model": "a,b", "kimg": 3}) == [
        *("model", "seed", "x.y")
    ]


def test_a_grid_is_named_after_what_is_swept_whatever_the_order_and_the_machine():
    name = grid_name(COMMAND, ["model/norm", "seed"])
    assert re.fullmatch(r"norm\+seed-[0-9a-f]{8}", name)
    manner = ["hydra/launcher=slurm", "hydra.launcher.slots=3", "grid.fresh=true", "-m"]
    assert grid_name([*reversed(COMMAND), *manner], ["model/norm", "seed"]) == name
    assert grid_name([*COMMAND, "kimg=6"], ["model/norm", "seed"]) != name
    assert grid_name(["sweep=norms"], ["seed"]).startswith("norms-")


def test_expected_cells_are_those_that_hydra_expands():
    words = ["model/norm=in,pn", "seed=range(2)", "kimg=5", "seed=3,4"]
    params = {"model/norm": "pin", "x": "'a b',c"}
    axes = swept_keys(words, params)
    overrides = OverridesParser.create().parse_overrides(
        [*(f"{key}={value}" for key, value in params.items()), *words]
    )
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    theirs = [cell_values(axes, job) for job in jobs]
    assert expected_cells(words, params, axes) == theirs
    assert [set(each) for each in theirs] == [{"x", "model/norm", "seed"}] * 8
    assert {each["seed"] for each in theirs} == {3, 4}, "the last word for a key counts"


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("1e-3", 1e-3), ("pin", "pin"), ("'a b'", "a b"), ("1.2.3", "1.2.3")],
)
def test_values_of_words(text, value):
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


def test_short_names_stay_apart():
    assert short_names(["model/norm", "seed"]) == {"model/norm": "norm", "seed": "seed"}
    keys = ["model.generator.width", "model.discriminator.width"]
    assert list(short_names(keys).values()) == ["generator.width", "discriminator.width"]
    assert list(short_names(["seed", "data.seed"]).values()) == ["seed", "data.seed"]


def test_cell_names_are_readable_where_they_can_be():
    assert cell_name({"model/norm": "pin", "seed": 2}) == "norm-pin+seed-2"
    assert cell_name({"lr": -0.5}) == "lr--0.5"
    assert cell_name({}) == "only"
    assert cell_name({"ckpt": "runs/a/checkpoints/last.ckpt"}) == "ckpt-runs_a"
    assert cell_name({"ckpt": "runs/a/checkpoints/best.ckpt"}) == "ckpt-runs_a_best"


AWKWARD = ["a b", "a_b", "a/b ", "[1,2]", "[1,3]", "x" * 300, "x" * 301, "é", "è", "a+b", "..", ""]


def test_awkward_values_give_safe_names_all_different():
    names = [cell_name({"key": value, "seed": s}) for value in AWKWARD for s in (0, 1)]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(name) <= LONGEST
        assert re.fullmatch(r"[\w.+-]+", name, re.ASCII)
        assert name not in (".", "..")


def test_a_command_with_a_typed_interpolation_keeps_its_axes():
    words = ["+callbacks.x.directory=${run_dir}", "seed=0,1"]
    assert swept_keys(words, None) == ["seed"]
    assert expected_cells(words, None, ["seed"]) == [{"seed": 0}, {"seed": 1}]


def test_every_pair_of_cells_of_a_grid_has_its_own_directory():
    cells = [
        {"model.generator.width": width, "model/loss": loss, "seed": seed}
        for width, loss, seed in itertools.product((8, 88), ("hinge", "minimax"), range(12))
    ]
    assert len({cell_name(each) for each in cells}) == len(cells)
