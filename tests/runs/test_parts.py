"""The record of a run's parts, and of losses that left the range of sense."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
import yaml

from ganlab.processes import place
from ganlab.report.html import write_report
from ganlab.report.parts import read_parts, seconds_of
from ganlab.report.results import read_result, write_result
from ganlab.runs.parts import Parts
from ganlab.runs.provenance import config_hash

ROOT = Path(__file__).parents[2]
RECIPE = [
    "model=vanilla",
    "model.generator.hidden=[16]",
    "model.discriminator.hidden=[16]",
    "data=synthetic",
    "data.num=100",
    "data.resolution=16",
    "data.batch_size=16",
    "kimg=0.4",
    "log_every_kimg=0.032",
    "sample_every_kimg=0.4",
    "checkpoint_every_kimg=0.064",
    "score_every_kimg=0.096",
    "metrics.num_real=100",
    "metrics.num_fake=100",
    "allow_targets=[spies]",
    "+callbacks.killer._target_=spies.Killer",
    "+callbacks.killer.images=200",
    "+callbacks.killer.moment=batch",
]
ONE = '{"parts": [{"began": %s, "status": %s, "seconds": %s, "images_from": 0, "images_to": %s}]}'
RATES = [f"model.{name}_optimizer.lr=1000" for name in ("generator", "discriminator")]


def train(run, *words):
    paths = f"{ROOT}:{ROOT}/tests/systems"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    environment["GANLAB_CACHE"] = str(run.parent / "cache")
    command = [sys.executable, "train.py", *words, f"hydra.run.dir={run}"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


class Page(HTMLParser):
    """Rows of the table of parts, texts of the set-up by title, facts by name."""

    def __init__(self, path):
        super().__init__()
        self.rows, self.texts, self.facts, self.said = [], {}, {}, []
        self.inside, self.title, self.name = [], "", ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        here = self.inside[-1] if self.inside else ""
        if "td" in self.inside and data.strip():
            self.rows[-1].append(data)
        elif here == "summary":
            self.title = data
        elif here == "pre":
            self.texts[self.title] = data
        elif here == "dt":
            self.name = data
        elif here == "dd":
            self.facts[self.name] = data
        elif here == "span":
            self.said.append(data)

    @property
    def parts(self):
        return [row for row in self.rows if re.search(r"^\d+ to \d+$", " ".join(row[2:3]))]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A run that is killed, and goes on by force with another batch size and mad rates."""
    run = tmp_path_factory.mktemp("history") / "run"
    assert train(run, *RECIPE).returncode == -signal.SIGKILL
    facts = {"killed": json.loads((run / "parts.json").read_text())["parts"]}
    facts["checkpoint"] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    (scores,) = (
        state for name, state in facts["checkpoint"]["callbacks"].items() if "Scores" in name
    )
    assert scores["best"] is not None
    scores["best"] = 1e9  # whatever comes is better
    torch.save(facts["checkpoint"], run / "checkpoints/last.ckpt")
    facts["best"] = (run / "checkpoints/best.ckpt").read_bytes()
    facts["page"] = Page(write_report(run))
    changed = ["data.batch_size=8", *RATES, "resume=force"]
    done = train(run, f"ckpt={run}/checkpoints/last.ckpt", *changed)
    assert done.returncode == 0, done.stderr
    return run, facts, done.stderr


def test_a_killed_part_is_told_up_to_its_last_checkpoint(history):
    _, facts, _ = history
    (part,) = facts["killed"]
    assert part["images_from"] == 0
    assert part["images_to"] == facts["checkpoint"]["images_seen"] == 192
    assert part["seconds"] > 0
    assert "killed" in facts["page"].said
    assert facts["page"].facts["Trained on"] == "0.192 kimg"
    assert "batch_size: 16\n" in facts["page"].texts["Configuration"]


def test_a_result_lists_every_part_with_its_place_and_recipe(history):
    run, facts, output = history
    result = read_result(run)
    first, second = result["parts"]
    assert [
        (part["status"], part["images_from"], part["images_to"]) for part in (first, second)
    ] == [
        ("killed", 0, 192),
        ("done", 192, 400),
    ]
    assert first["seconds"] == facts["killed"][0]["seconds"]
    assert result["seconds"] == first["seconds"] + second["seconds"] == seconds_of(read_parts(run))
    assert second["seconds"] > 0
    assert first["began"] < second["began"]
    assert second["began"].endswith("+00:00")
    assert second["ckpt"] == f"{run}/checkpoints/last.ckpt"
    for part in (first, second):
        machine = part["machine"]
        assert machine["hosts"] == [socket.gethostname()]
        assert (machine["devices"], machine["processes"]) == ({"cpu": 1}, 1)
        assert machine["processor"]
        assert part["commit"] == result["commit"]
    assert "versions" in first
    assert "versions" not in second, "they did not change"
    assert "changes" not in first
    assert {"data.batch_size: 16 -> 8", "model.generator_optimizer.lr: 0.0002 -> 1000"} <= set(
        second["changes"]
    )
    assert second["config_hash"] == result["config_hash"] != first["config_hash"]
    assert "2 parts, " in output


def test_the_report_shows_the_present_recipe_and_those_before(history):
    run, _, _ = history
    page = Page(run / "report.html")
    assert "batch_size: 8\n" in page.texts["Configuration"]
    assert "batch_size: 16\n" in page.texts["Configuration of part 1"]
    assert "resume=force" in page.texts["Command"]
    killed, done = page.parts
    assert killed[2:5:2] == ["0 to 192", "killed"]
    assert done[2:5:2] == ["192 to 400", "done"]
    assert "data.batch_size: 16 -> 8" in done[-1]
    assert page.facts["Time"].endswith(" in 2 parts")


def test_hydra_s_own_file_is_not_stale(history):
    run, _, _ = history
    now, before = (
        yaml.safe_load((run / ".hydra" / name).read_text())
        for name in ("config.yaml", "config.part1.yaml")
    )
    assert (now["data"]["batch_size"], before["data"]["batch_size"]) == (8, 16)
    assert now["model"]["generator_optimizer"]["lr"] == 1000


def test_a_run_whose_losses_left_the_range_of_sense_says_so(history):
    """Done it is, and loudly so: the line comes as it happens, and again at the end."""
    run, facts, output = history
    result = read_result(run)
    assert result["status"] == "done"
    found = result["diverged"]
    assert found["loss"] in ("loss/discriminator", "loss/generator")
    assert abs(found["value"]) > found["threshold"] == 65536
    assert 0.192 < found["at_kimg"] < 0.24, "at the first row after the rates changed"
    assert len(re.findall(rf"^diverged: {found['loss']} was ", output, re.MULTILINE)) == 2
    page = Page(run / "report.html")
    assert "diverged" in page.said
    assert (run / "checkpoints/best.ckpt").read_bytes() == facts["best"], "the best is of before"
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert state["tally"][0]["diverged"] == found


def settings(run, **changed):
    """The least that a part is told of."""
    return {"run_dir": str(run), "ckpt": None, "seed": 0, "data": {"name": "none"}, **changed}


def part(run, start, *moments, status=None, **changed):
    """One that begins at `start`, writes checkpoints, and ends with a status, or not at all."""
    parts = Parts(settings(run, **changed))
    parts.begin(read_parts(run), start, {})
    for images in moments:
        parts.update(images)
    return parts.close(moments[-1], status) if status else None


def spans(parts):
    return [(each["status"], each["images_from"], each["images_to"]) for each in parts]


def test_a_part_that_went_back_says_from_where(tmp_path):
    part(tmp_path, 0, 100, 200, status="interrupted")
    told = part(tmp_path, 100, 150, status="done", ckpt="elsewhere/best.ckpt")["parts"]
    assert spans(told) == [("interrupted", 0, 200), ("done", 100, 150)]
    page = write_report(tmp_path).read_text()
    assert "trained again" in page


def test_one_that_never_ended_reached_the_checkpoint_that_it_left(tmp_path):
    """Killed between writing its file and noting that."""
    part(tmp_path, 0, 100)
    ckpt = str(tmp_path / "checkpoints" / "last.ckpt")
    told = part(tmp_path, 200, 300, status="done", ckpt=ckpt)["parts"]
    assert spans(told) == [("killed", 0, 200), ("done", 200, 300)]


def test_a_part_in_progress_is_running_until_its_process_is_gone(tmp_path):
    part(tmp_path, 0, 100)
    assert read_parts(tmp_path)[0]["status"] == "running", "this very process"
    content = json.loads((tmp_path / "parts.json").read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    content["parts"][0]["process"] = {"pid": gone.pid, "place": place()}
    (tmp_path / "parts.json").write_text(json.dumps(content))
    assert read_parts(tmp_path)[0]["status"] == "killed"
    content["parts"][0]["process"]["place"] = "another host"
    (tmp_path / "parts.json").write_text(json.dumps(content))
    assert read_parts(tmp_path)[0]["status"] == "running", "nobody here can tell"


def test_a_first_start_that_fails_is_a_part_and_a_refused_resume_is_none(tmp_path):
    told = Parts(settings(tmp_path)).close(0, "failed")
    assert spans(told["parts"]) == [("failed", 0, 0)]
    part(tmp_path, 0, 100, status="interrupted")
    refused = Parts(settings(tmp_path))
    assert spans(refused.close(100, "failed")["parts"]) == spans(read_parts(tmp_path))
    assert not refused.trained
    assert len(read_parts(tmp_path)) == 2


def test_a_hostile_record_is_a_text_like_any_other(tmp_path):
    evil = "<script>alert(1)</script>"
    part(tmp_path, 0, 100, status="interrupted")
    part(tmp_path, 100, 200, status="interrupted")
    content = json.loads((tmp_path / "parts.json").read_text())
    for each in content["parts"]:
        each |= dict.fromkeys(("status", "commit", "command", "config_hash", "machine"), evil)
        each |= {"changes": [evil, 5, [evil]], "versions": 3, "config": {evil: [evil]}}
    content["parts"][1] |= {"machine": {"hosts": evil, "devices": {evil: [3]}}, "began": evil}
    (tmp_path / "parts.json").write_text(json.dumps(content))
    assert evil not in write_report(tmp_path).read_text()
    told = part(tmp_path, 200, 300, status="done")["parts"]
    assert spans(told)[-1] == ("done", 200, 300)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"parts": 3}',
        '{"parts": [5]}',
        '{"parts": [{"began": "x", "status": "done", "images_from": 0, "images_to": 1}]}',
        ONE % ("1", "[]", "1", "0"),
        ONE % ('""', '""', "-1", "0"),
        ONE % ('""', '""', '"NaN"', "0"),
        ONE % ('""', '""', "1", "1" + "0" * 400),
        f'{{"parts": {"[" * 700}{"]" * 700}}}',
    ],
)
def test_a_damaged_record_goes_on_from_the_result(tmp_path, text, capsys):
    told = part(tmp_path, 0, 100, status="interrupted")
    write_result(tmp_path, {"status": "interrupted", **told})
    (tmp_path / "parts.json").write_text(text)
    with pytest.raises(ValueError, match=r"parts\.json"):
        read_parts(tmp_path)
    assert "parts.json" in write_report(tmp_path).read_text()
    parts = Parts(settings(tmp_path))
    from ganlab.runs.parts import before

    parts.begin(before(tmp_path), 100, {})
    assert "goes on from result.json" in capsys.readouterr().err
    assert spans(read_parts(tmp_path)) == [("interrupted", 0, 100), ("running", 100, 100)]


def test_whole_configs_stay_in_the_record_and_only_where_they_changed(tmp_path):
    part(tmp_path, 0, 100, status="interrupted", lr=1)
    part(tmp_path, 100, 200, status="interrupted", lr=1)
    told = part(tmp_path, 200, 300, status="done", lr=2)["parts"]
    kept = [each.get("config", {}).get("lr") for each in read_parts(tmp_path)]
    assert kept == [1, None, 2]
    assert not any("config" in each for each in told)
    assert [each.get("changes") for each in told] == [None, [], ["lr: 1 -> 2"]]
    page = Page(tmp_path / write_report(tmp_path).name)
    assert "lr: 2" in page.texts["Configuration"]
    assert "lr: 1" in page.texts["Configuration of part 1"]


def test_a_start_that_is_killed_while_it_keeps_a_config_loses_none(tmp_path):
    part(tmp_path, 0, 100, status="interrupted", lr=1)
    record = (tmp_path / "parts.json").read_bytes()
    hydra = tmp_path / ".hydra"
    hydra.mkdir()
    (hydra / "config.yaml").write_text("lr: 1\n")
    for _ in range(2):  # the second time as if the first had not come to note its part
        (tmp_path / "parts.json").write_bytes(record)
        part(tmp_path, 100, 200, lr=2, place=Path("/a"))
        assert (hydra / "config.part1.yaml").read_text() == "lr: 1\n"
        assert yaml.safe_load((hydra / "config.yaml").read_text())["lr"] == 2
    assert read_parts(tmp_path)[1]["changes"] == ["lr: 1 -> 2", "place: None -> '/a'"]


def test_how_a_run_was_continued_is_not_what_it_is(tmp_path):
    words = [settings(tmp_path, resume=word) for word in ("exact", "force", "auto")]
    assert len({config_hash(each, anywhere=True) for each in words}) == 1
    assert config_hash(words[0], anywhere=True) != config_hash(settings(tmp_path, lr=1), True)


def test_a_record_that_finds_no_room_costs_no_run(tmp_path):
    (tmp_path / "parts.json").mkdir()  # what cannot be replaced by a file
    parts = Parts(settings(tmp_path))
    with pytest.warns(UserWarning, match=r"parts\.json was not written"):
        parts.begin([], 0, {})
    (tmp_path / "parts.json").rmdir()
    parts.update(100)
    assert spans(read_parts(tmp_path)) == [("running", 0, 100)]
