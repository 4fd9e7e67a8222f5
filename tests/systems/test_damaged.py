"""Every field of a checkpoint, missing or of a value that no run writes: one line or a right run.

A resume that is not refused must end with the weights of the undisturbed one.
"""

import contextlib
import copy
import random
import sys
import warnings

import pytest
import torch
from fuzzing import alarmed, altered, tiny, verdict

from ganlab.run import train
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

pytestmark = pytest.mark.usefixtures("hydra_is_clean")

MISSING = object()
VALUES = [
    *(MISSING, None, -1, 0, 10**30, 0.5, float("nan"), "abc", "", [], {}, True, [0], {"abc": 1}),
    *(torch.zeros(2), torch.tensor(float("nan")), torch.full((1,), -1.0)),
]
# What a resume may change, or what only says how a run ended: nothing that follows hangs on it.
UNUSED = ("recipe.model.kimg", "recipe.data.path", "recipe.data.cache_dir", "recipe.overrides")
UNUSED += ("recipe.data.memory_budget_mb", "recipe.choices", "callbacks")


def places(node, path=()):
    """The path of every field; of long lists and mappings, the first and the last."""
    pairs = list(node.items() if isinstance(node, dict) else enumerate(node))
    found = []
    for name, value in pairs if len(pairs) < 40 else [*pairs[:2], *pairs[-2:]]:
        found.append((*path, name))
        if isinstance(value, dict | list | tuple):
            found += places(value, (*path, name))
    return found


def damaged(checkpoint, path, value):
    """A copy in which one field is missing or another value."""
    node = checkpoint = copy.copy(checkpoint)
    for name in path[:-1]:
        inner = node[name]
        node[name] = list(inner) if isinstance(inner, tuple) else copy.copy(inner)
        node = node[name]
    if value is MISSING:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return checkpoint


class Bench:
    """A tiny trained run, its checkpoint, and what its undisturbed resume comes to."""

    def __init__(self, model, directory):
        self.directory = directory
        self.config = tiny(model, directory / "run", "scores=null")
        self.config.callbacks = {}
        train(self.config)
        self.checkpoint = load_checkpoint(directory / "run" / "checkpoints" / "last.ckpt")
        self.right = self.resumed(self.checkpoint)
        assert self.right[0] == "runs"

    def resumed(self, checkpoint, name=""):
        run = self.directory / "damaged"
        last = run / "checkpoints" / "last.ckpt"
        last.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, last)
        config = altered(self.config, "ckpt", str(last))
        config.run_dir, config.kimg = str(run), 0.016
        said = verdict(train, config, name)
        return said, load_checkpoint(last)["state_dict"] if said == "runs" else None

    def problem(self, path, value):
        """What is wrong with how the resume of a damaged checkpoint ends, or None."""
        place = ".".join(map(str, path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said, weights = self.resumed(damaged(self.checkpoint, path, value), str(path[0]))
        if said == "runs" and not place.startswith(UNUSED) and not same(weights, self.right[1]):
            return f"{place}={value}: goes on with other weights"
        allowed = said in ("runs", "refused") or "networks are not" in said or "data is not" in said
        return None if allowed else f"{place}={value}: {said}"


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(one[k], other[k]) if isinstance(one[k], torch.Tensor) else one[k] == other[k]
        for k in one
    )


def problems(bench, share, seed):
    drawn = [(path, value) for path in places(bench.checkpoint) for value in VALUES]
    drawn = random.Random(seed).sample(drawn, int(share * len(drawn)))
    return [found for path, value in drawn if (found := bench.problem(path, value))]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    from ganlab.cli import register_resolvers

    register_resolvers()
    return Bench("dcgan", tmp_path_factory.mktemp("damaged"))


def test_a_sample_of_damaged_fields_gives_one_line_or_the_right_run(bench):
    assert problems(bench, 0.012, seed=0) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", ["dcgan", "progan", "stylegan2", "vae"])
def test_damaged_fields_give_one_line_or_the_right_run(model, tmp_path):
    assert problems(Bench(model, tmp_path), 0.15, seed=1) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("counters",), MISSING),
        (("counters", "steps"), "abc"),
        (("random", 0, "torch"), torch.zeros(3, dtype=torch.uint8)),
        (("random", 0, "python"), (3, [0] * 4, None)),
        (("tally",), []),
        (("sampler", "position"), 3),
        (("loops", "fit_loop", "epoch_progress", "current", "ready"), -1),
        (("optimizer_states", 0, "state", 0, "exp_avg"), torch.zeros(2)),
        (("optimizer_states", 1, "state", 0), MISSING),
        (("optimizer_states", 0, "param_groups", 0, "lr"), float("nan")),
        (("pytorch-lightning_version",), 5),
        (("images_seen",), -1),
    ],
)
def test_a_field_is_named_with_its_file(bench, path, value, tmp_path):
    file = tmp_path / "checkpoints" / "last.ckpt"
    file.parent.mkdir()
    torch.save(damaged(bench.checkpoint, path, value), file)
    config = altered(bench.config, "ckpt", str(file))
    config.run_dir = str(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        train(config)
    line = str(caught.value)
    assert str(file) in line
    assert path[0] in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"_target_": "torch.optim.SGD", "lr": 0.1}, r"param_groups\[0\]\.momentum"),
        ({"_target_": "torch.optim.Adam", "amsgrad": True}, r"state\.0\.max_exp_avg_sq"),
    ],
)
def test_optimizers_of_another_kind_are_told_to_a_forced_resume(bench, settings, missing, tmp_path):
    file = tmp_path / "checkpoints" / "last.ckpt"
    file.parent.mkdir()
    torch.save(bench.checkpoint, file)
    config = altered(bench.config, "ckpt", str(file))
    config.run_dir, config.kimg, config.resume = str(tmp_path), 0.016, "force"
    config.model.generator_optimizer = {"_partial_": True, **settings}
    line = rf"{missing} is missing; the file is damaged, or of optimizers of another kind"
    with pytest.raises(CheckpointError, match=line):
        train(config)


def test_weights_that_are_not_finite_are_not_evaluated(bench, tmp_path):
    name = next(iter(bench.checkpoint["state_dict"]))
    tensor = torch.full_like(bench.checkpoint["state_dict"][name], float("nan"))
    torch.save(damaged(bench.checkpoint, ("state_dict", name), tensor), tmp_path / "nan.ckpt")
    with pytest.raises(CheckpointError, match=f"state_dict.{name} .* finite"):
        load_checkpoint(tmp_path / "nan.ckpt")


def nested(levels, width=1):
    node = "x"
    for _ in range(levels):
        node = [node] * width
    return node


@contextlib.contextmanager
def deep_recursion():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("recipe", "model", "x"), nested(70), "nested"),
        (("recipe", "scores"), nested(5_000), "nested"),
        (("version",), nested(30, width=10), "nested"),  # a kilobyte, and 10^30 values
        (("state_dict", "x"), torch.zeros(1).expand(2**20, 2**20), "has fewer numbers"),
        (("state_dict", "x"), torch.empty(2**40, device="meta"), "no_storage"),
        (("optimizer_states", 0, "x"), torch.zeros(1).expand(2**42), "has fewer numbers"),
    ],
)
def test_what_is_more_than_its_file_is_refused_unseen(bench, path, value, words, tmp_path):
    with deep_recursion():
        torch.save(damaged(bench.checkpoint, path, value), tmp_path / "x.ckpt")
    with alarmed(), pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(tmp_path / "x.ckpt")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
