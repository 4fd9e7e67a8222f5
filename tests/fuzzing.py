"""What the tests of hostile values share: keys found in composed configs, values, and the verdict.

A verdict is `runs`, `refused`, or what went wrong in the words of the test that fails.
"""

import contextlib
import io
import os
import random
import shutil
import signal
import warnings
from pathlib import Path

from composing import composed
from omegaconf import OmegaConf, open_dict

from ganlab.checks.ranges import text_of
from ganlab.cli import EXPECTED, one_line
from ganlab.run import train

NASTY = [
    0,
    -1,
    0.5,
    1e-320,
    1e12,
    10**12,
    10**400,
    float("nan"),
    float("inf"),
    float("-inf"),
    "abc",
    "",
    None,
    True,
    [],
    [0],
    [-1, 2],
    ["abc"],
    [[1]],
    {},
    {"abc": 1},
    {32: -1},
    [1] * 1_000,
    "x" * 100_000,
]
TINY = [
    "data=synthetic",
    "data.resolution=32",
    "data.channels=1",
    "data.batch_size=8",
    "data.num=16",
    "kimg=0.008",
    "log_every_kimg=0.004",
    "sample_every_kimg=0.004",
    "checkpoint_every_kimg=0.004",
    "metrics.num_real=16",
    "metrics.num_fake=16",
    "metrics.batch_size=8",
    "metrics.metrics.kid.subset_size=8",
    "metrics.metrics.kid.num_subsets=2",
    "scores.batch_size=8",
    "callbacks.sample_grid.num=2",
    "callbacks.scales.num=2",
    "callbacks.reconstructions.num=2",
    "callbacks.health.num=8",
]
SMALL = {"width": 4, "max_width": 8, "hidden": [8], "latent_dim": 8, "style_dim": 8}
SMALL |= {"stable_kimg": 0.004, "fade_kimg": 0.004, "embedding_dim": 8, "coarse_latent_dim": 8}
SECONDS = 40  # a value that keeps one step of a tiny model busy for longer hangs it


class Hang(BaseException):
    """Raised in what should have ended, after its seconds of CPU time or ten times as long."""


def tiny(model, directory, *more):
    """The config of one step of a small preset, composed as the command line composes it."""
    config = composed("train", [f"model={model}", *TINY, *more], directory)
    with open_dict(config):
        for key, value in SMALL.items():
            for part in ("generator", "discriminator", "encoder", "growth"):
                if OmegaConf.select(config, f"model.{part}.{key}") is not None:
                    OmegaConf.update(config, f"model.{part}.{key}", value)
    return config


def keys(config, prefix=""):
    """Every key below one, as paths of names and positions, but those that name what is built."""
    found = []
    node = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for name, value in items:
        path = f"{prefix}[{name}]" if isinstance(node, list) else f"{prefix}.{name}".lstrip(".")
        if str(name).startswith("_") or path in ("run_dir", "grid", "hydra", "sweep", "experiment"):
            continue
        found.append(path)
        if isinstance(value, dict | list):
            found += keys(value, path)
    return found


def altered(config, key, value):
    """A copy of a config with one value replaced."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    parent, name = parent_of(config, key)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1e300:
        OmegaConf.set_readonly(config, False)
    parent[name] = value
    return config


def parent_of(config, key):
    path = key.replace("[", ".[").split(".")
    node = config
    for part in path[:-1]:
        node = node[int(part[1:-1])] if part.startswith("[") else node[part]
    last = path[-1]
    return node, int(last[1:-1]) if last.startswith("[") else last


def mentions(line, key):
    """Whether an error's line names a key, or one that holds it, or one linked to it."""
    parts = key.replace("[", ".[").split(".")
    names = [".".join(parts[:n]).replace(".[", "[") for n in range(len(parts), 0, -1)]
    last = [part for part in parts if not part.startswith("[")][-1]
    return last in line or any(name in line for name in names[: max(1, len(names) - 1)])


@contextlib.contextmanager
def alarmed(seconds=SECONDS):
    def ring(number, frame):
        raise Hang

    clocks = {signal.SIGPROF: (signal.ITIMER_PROF, 1), signal.SIGALRM: (signal.ITIMER_REAL, 10)}
    before = {number: signal.signal(number, ring) for number in clocks}
    for clock, times in clocks.values():
        signal.setitimer(clock, times * seconds)
    try:
        yield
    finally:
        for number, (clock, _) in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(number, before[number])


def verdict(run, config, key):
    """`runs`, `refused`, or what is wrong with how a config ends."""
    try:
        with (
            alarmed(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            result = run(config)
    except EXPECTED as error:
        line = one_line(error)
        if os.environ.get("FUZZ_LINES"):
            print(f"   {key}: {line[:300]}")
        if "\n" in line or len(line) > 2000:
            return f"no line: {line[:300]}"
        place = key.endswith(("directory", "dir", "path")) and isinstance(error, OSError)
        return (
            "refused"
            if place or mentions(line, key)
            else f"unnamed: {type(error).__name__} {line[:300]}"
        )
    except Hang:
        return "hangs"
    except BaseException as error:
        return f"traceback: {type(error).__name__}: {str(error)[:300]}"
    return "runs" if result["status"] == "done" else f"ends as {result['status']}"


def problem(run, config, key, value):
    """What is wrong with how a value ends, or None; in the run's directory, made anew."""
    shutil.rmtree(config.run_dir, ignore_errors=True)
    said = verdict(run, altered(config, key, value), key)
    if said == "hangs" and key.endswith("kimg"):
        said = "runs"  # what takes long is no mistake
    return None if said in ("runs", "refused") else f"{key}={text_of(value)}: {said}"


def drawn(config, share, seed, sections=None):
    """A share of all pairs of a key, of these sections, and a value that it may not like."""
    places = [key for key in keys(config) if sections is None or key.split(".")[0] in sections]
    every = [(key, value) for key in places for value in NASTY]
    return random.Random(seed).sample(every, int(share * len(every)))


def meanings(config):
    """Each key -> what is built with it and its value, as text: what two models may have alike."""
    found = {}
    for key in keys(config):
        parent, name = parent_of(config, key)
        node = OmegaConf.to_container(parent, resolve=False)
        target = node.get("_target_") if isinstance(node, dict) else None
        found[key] = f"{target} {node[name]}"
    return found


def outside(before, directory):
    """Files that came to be beside a run's directory."""
    return sorted(set(Path(directory).parent.rglob("*")) - before)


def train_verdict(config, key, value):
    return verdict(train, altered(config, key, value), key)
