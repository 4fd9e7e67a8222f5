"""The campaign sees one bit, cell, file, process too many; and on the product it finds nothing."""

import importlib.util
import itertools
import json
import random
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "chaos.py"
if str(SCRIPT.parent) not in sys.path:
    sys.path.append(str(SCRIPT.parent))  # as where a script is run: it imports its package

from campaign.commands import Command, SurpriseError  # noqa: E402
from campaign.comparison import differences, same  # noqa: E402
from campaign.disturbances import GUARDED, KINDS, OF_RANKS, flip  # noqa: E402
from campaign.recipes import RECIPES  # noqa: E402
from campaign.records import BLOCK, Records, publish  # noqa: E402


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def chaos():
    return loaded(SCRIPT)


WEIGHT = "state_dict/generator.weight"
CURVE = [
    "images_seen,images_per_second,seconds_left,loss,fid",
    "16,100.0,2.5,1.25,",
    "32,90.5,1.5,0.5,7.5",
]


def written(run, seconds=1.0):
    """A run's directory, as a training leaves it."""
    (run / "checkpoints").mkdir(parents=True)
    (run / "samples").mkdir()
    state = {
        "state_dict": {"generator.weight": torch.tensor([1.0, -0.0, float("nan")])},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 2)}}}],
        "images_seen": 32,
        "recipe": {"overrides": [f"hydra.run.dir={run}"]},
        "loops": {"seconds": seconds},
    }
    torch.save(state, run / "checkpoints" / "last.ckpt")
    shutil.copy(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt")
    (run / "metrics.csv").write_text("\n".join(CURVE) + "\n")
    scores = [{"metric": "fid", "value": 7.5}]
    result = {"status": "done", "exit_code": 0, "images_seen": 32, "scores": scores}
    (run / "result.json").write_text(json.dumps({**result, "seconds": seconds}))
    (run / "samples" / "000000032.png").write_bytes(b"a picture")
    return run


@pytest.fixture
def runs(tmp_path):
    return written(tmp_path / "one"), written(tmp_path / "other", seconds=2.0)


def changed(run, key, value, name="last.ckpt"):
    """Put a value into a checkpoint."""
    path = run / "checkpoints" / name
    state = node = torch.load(path, weights_only=True)
    *parents, last = key.split("/")
    for each in parents:
        node = node[int(each) if isinstance(node, list) or each == "0" else each]
    node[last] = value
    torch.save(state, path)


def test_runs_that_differ_in_time_and_place_alone_are_equal(runs):
    one, other = runs
    text = (other / "metrics.csv").read_text()
    (other / "metrics.csv").write_text(text.replace("90.5,1.5", "1000.0,0.1"))
    assert differences(one, other) == []


def test_one_unit_in_the_last_place_of_one_weight_is_seen(runs):
    one, other = runs
    next_after = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    changed(other, WEIGHT, torch.tensor([next_after, -0.0, float("nan")]))
    (line,) = differences(one, other)
    assert line.startswith(f"last.ckpt: /{WEIGHT} differs")


def test_of_a_leaf_every_bit_and_its_type_count():
    nan, zero = torch.tensor(float("nan")), torch.tensor(0.0)
    assert same(nan, nan.clone())
    assert not same(zero, -zero)
    assert not same(zero, zero.double())
    assert not same(torch.zeros(2), torch.zeros(2, 1))
    assert not same(0.1 + 0.2, 0.3)
    assert not same(1, 1.0)
    assert same(float("nan"), float("nan"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer_states/0/state/0/exp_avg", torch.zeros(2, 2)),
        ("images_seen", 33),
        ("state_dict/more", torch.ones(1)),
    ],
)
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_whatever_else_a_checkpoint_holds_is_compared(runs, key, value, name):
    one, other = runs
    changed(other, key, value, name)
    (line,) = differences(one, other)
    assert line.startswith(f"{name}: /{key}")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([*CURVE[:2], "32,90.5,1.5,0.5000000000000001,7.5"], "at 32 images: loss differs"),
        ([*CURVE[:2], "32,90.5,1.5,0.5,"], "at 32 images: fid differs"),
        (CURVE[:2], "rows at"),
        ([*CURVE, CURVE[-1]], "rows at"),
        ([f"{line},{end}" for line, end in zip(CURVE, ("x", "", ""), strict=True)], "x is only"),
    ],
)
def test_one_cell_or_row_of_the_curve_is_seen(runs, lines, told):
    one, other = runs
    (other / "metrics.csv").write_text("\n".join(lines) + "\n")
    found = differences(one, other)
    assert found
    assert told in found[0]


def test_scores_and_the_end_are_compared(runs):
    one, other = runs
    text = (other / "result.json").read_text()
    (other / "result.json").write_text(text.replace("7.5", "7.25").replace("done", "failed"))
    assert [line.partition(" differs")[0] for line in differences(one, other)] == [
        "result.json: /status",
        "result.json: /scores/0/value",
    ]


def test_a_missing_a_changed_and_a_left_over_file_are_seen(runs):
    one, other = runs
    (other / "samples" / ".000000016.png.1-2.tmp").touch()
    (other / "samples" / "000000032.png").write_bytes(b"a Picture")
    (other / "checkpoints" / "best.ckpt").unlink()
    assert differences(one, other) == [
        "checkpoints/best.ckpt is missing",
        "samples/.000000016.png.1-2.tmp is left over",
        "pictures: samples/000000032.png differs",
    ]
    (other / "samples" / "000000032.png").unlink()
    assert "samples/000000032.png is missing" in differences(one, other)
    assert "samples/000000032.png is missing" not in differences(one, other, ("samples/*.png",))
    changed(other, "images_seen", 5)
    assert len(differences(one, other, ("*.png",), ("best.ckpt", "last.ckpt"))) == 1


def test_a_flipped_bit_is_within_the_record_that_is_named(tmp_path):
    for seed in range(20):
        run = written(tmp_path / str(seed))
        path = run / "checkpoints" / "last.ckpt"
        before = path.read_bytes()
        record = flip(path, random.Random(seed))
        changes = [a ^ b for a, b in zip(before, path.read_bytes(), strict=True) if a != b]
        assert [bin(change).count("1") for change in changes] == [1]
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() == f"last/{record}"


def test_the_plan_is_of_its_seed_and_brings_each_pair_once_a_round(chaos):
    kinds = list(KINDS)
    pairs = {
        (recipe, kind)
        for recipe in RECIPES
        for kind in kinds
        if kind not in OF_RANKS or recipe.endswith("_ranks")
    }
    first = list(itertools.islice(chaos.plan(0, list(RECIPES), kinds), 2 * len(pairs)))
    assert first == list(itertools.islice(chaos.plan(0, list(RECIPES), kinds), 2 * len(pairs)))
    assert first[: len(pairs)] != list(
        itertools.islice(chaos.plan(1, list(RECIPES), kinds), len(pairs))
    )
    assert [number for number, _, _ in first] == list(range(2 * len(pairs)))
    for part in (first[: len(pairs)], first[len(pairs) :]):
        assert {pair for _, *pair in map(list, part) for pair in [tuple(pair)]} == pairs


def record(number, **facts):
    plain = {"number": number, "recipe": "vae", "kind": "term", "done": ["SIGTERM", "ckpt=last"]}
    return {
        **plain,
        "hits": 1,
        "seconds": 2.0,
        "surprise": None,
        "kept": None,
        "clock": 9.0,
    } | facts


def test_a_campaign_goes_on_where_it_was_and_is_not_taken_for_another(tmp_path):
    about = {"seed": 0, "commit": "abc"}
    records = Records(tmp_path / "campaign", about)
    records.add(record(0))
    records.add(record(1, surprise="a hang", kept="there", clock=60.0))
    with (tmp_path / "campaign" / "trials.jsonl").open("a") as file:
        file.write('{"number": 2, "rec')  # killed while it wrote
    again = Records(tmp_path / "campaign", about)
    assert (again.trials, again.seconds) == (records.trials, 60.0)
    report = again.report("python scripts/chaos.py")
    assert (report["trials"], report["failed"], report["minutes"]) == (2, 1, 1.0)
    assert {key: n for key, n in report["deeds"].items() if n} == {"resumes": 2, "signals": 2}
    assert report["kinds"] == {"term": {"trials": 2, "disturbances": 2, "failed": 1}}
    with pytest.raises(ValueError, match="another campaign"):
        Records(tmp_path / "campaign", {**about, "seed": 1})


def test_published_numbers_are_those_of_the_report(tmp_path):
    (tmp_path / "results").mkdir()
    page = tmp_path / "reliability.md"
    old = "[7](results/reliability.json#deeds.signals)"
    page.write_text(f"{old} sent\n<!-- campaign -->\nold\n<!-- end of campaign -->\nafter\n")
    records = Records(tmp_path / "campaign", {"seed": 3, "commit": "abc"})
    records.add(record(0))
    publish(records.report("python scripts/chaos.py --seed 3"), tmp_path, {"term": "SIGTERM."})
    text = page.read_text()
    begin = f"{old.replace('7', '1')} sent\n<!-- campaign -->\n`python scripts/chaos.py --seed 3` "
    assert text.startswith(begin)
    assert text.endswith("<!-- end of campaign -->\nafter\n")
    assert "old" not in text
    docs_check = loaded(ROOT / "scripts" / "docs_check.py")
    assert docs_check.problems([page]) == []
    page.write_text(text.replace("[1]", "[2]", 1))
    (told,) = docs_check.problems([page])
    assert "says 2" in told


def test_the_page_has_a_place_for_the_numbers_and_names_tests_that_exist():
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert len(BLOCK.findall(text)) == 1
    named = re.findall(r"`(tests/[^`]+)`", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []


def command(tmp_path, source):
    return Command(["-c", source], tmp_path)


def test_what_a_command_leaves_behind_is_seen_and_ended(tmp_path):
    source = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    found = command(tmp_path, source)
    with pytest.raises(SurpriseError, match="left behind"):
        found.end(30, others=0.3)
    pid = int(found.output)
    with pytest.raises(OSError, match=r".*"):
        Path(f"/proc/{pid}/environ").read_bytes()[0]


def test_a_command_that_does_not_end_is_a_surprise(tmp_path):
    with pytest.raises(SurpriseError, match="still running"):
        command(tmp_path, "import time; time.sleep(60)").end(0.3)


def campaign(directory, *words):
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--directory", str(directory), "--seed", "0", *words],
        capture_output=True,
        text=True,
        timeout=550,
    )


@pytest.mark.slow
def test_a_short_campaign_finds_nothing(tmp_path):
    words = ["--recipes", "stylegan,stylegan2_ranks", "--kinds", "kill_all,term,disk_full,bit_flip"]
    done = campaign(tmp_path, *words, "--trials", "3", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    done = campaign(tmp_path, *words, "--trials", "4", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("-> equal") == 1, "it went on where it was"
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["trials"], report["equal"]) == (4, 4)
    assert report["disturbances"] >= 3


@pytest.mark.slow
@pytest.mark.parametrize("defence", GUARDED)
def test_without_a_defence_the_campaign_fails(tmp_path, defence):
    """The control: it is these that make the campaign pass."""
    recipe = "semantic_pyramid" if defence == "lock" else "vanilla"  # trains as long as it starts
    words = ["--recipes", recipe, "--without", defence, "--first", "--trials", "12"]
    done = campaign(tmp_path, *words, "--jobs", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "-> FAILED" in done.stdout
