"""Two checkouts are told apart by one weight's last bit, and not by how fast they were."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("compared", ROOT / "scripts/compare_checkouts.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def checkpoint(weight):
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": weight / 2}}}
    state = {"generator.weight": weight, "generator.steps": torch.tensor(3)}
    return {"state_dict": state, "optimizer_states": [optimizer], "images_seen": 500}


def left(folder, weight=None, seed=0, seconds=1.0, level=0.25):
    """Files as a run of this seed leaves them, fast or slow, in this folder."""
    draw = np.random.default_rng(seed).random(3)
    weight = torch.linspace(0.1, 0.9, 8) if weight is None else weight
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(checkpoint(weight), folder / "checkpoints" / "last.ckpt")
    rows = f"images_seen,loss/g,images_per_second,seconds_left\n500,{draw[0]},{seconds},{seconds}\n"
    (folder / "metrics.csv").write_text(rows)
    (folder / "table.csv").write_text(f"fid\n{draw[1]}\n")
    facts = {"status": "done", "seconds": seconds, "commit": str(seconds), "scores": [draw[2]]}
    (folder / "result.json").write_text(json.dumps(facts))
    part = {"status": "done", "images_from": 0, "images_to": 500, "seconds": seconds}
    (folder / "parts.json").write_text(json.dumps({"parts": [part | {"began": str(seconds)}]}))
    np.savez(folder / "numbers.npz", level=np.float32(level), where=np.array(str(folder)))
    save_file({"4x4/0": weight.double()}, folder / "rates.safetensors", {"seed": "1"})
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", f"made in {folder}")
    pixels = np.full((2, 2), round(255 * level), np.uint8)
    Image.fromarray(pixels).save(folder / "samples.png", pnginfo=text)
    return script.digests(folder)


def differing(before, after):
    return {line.partition(":")[0] for line in script.compared(before, after)}


def test_seconds_commits_and_places_change_nothing(tmp_path):
    before, after = left(tmp_path / "a", seconds=1.0), left(tmp_path / "b", seconds=9.5)
    assert len(before) == 8
    assert differing(before, after) == set()


def test_one_weight_nudged_by_an_ulp_is_seen(tmp_path):
    weight = torch.linspace(0.1, 0.9, 8)
    nudged = weight.clone()
    nudged[5] = torch.nextafter(nudged[5], torch.tensor(2.0))
    assert differing(left(tmp_path / "a", weight), left(tmp_path / "b", nudged)) == {
        "checkpoints/last.ckpt",
        "rates.safetensors",
    }


def test_another_seed_is_seen_in_curves_tables_and_records(tmp_path):
    found = differing(left(tmp_path / "a", seed=0), left(tmp_path / "b", seed=1))
    assert found == {"metrics.csv", "table.csv", "result.json"}


def test_a_pixel_and_a_number_of_a_figure_are_seen(tmp_path):
    found = differing(left(tmp_path / "a"), left(tmp_path / "b", level=0.254))
    assert found == {"numbers.npz", "samples.png"}


def test_a_file_that_is_missing_is_named(tmp_path):
    before, after = left(tmp_path / "a"), left(tmp_path / "b")
    del after["table.csv"]
    (line,) = script.compared(before, after)
    assert line.endswith("missing after")


def test_every_model_trains_resumes_and_runs_on_two_ranks_and_every_study_is_there():
    commands = dict(script.commands())
    paths = (ROOT / "conf/model").glob("[!_]*.yaml")
    models = {path.stem for path in paths if "Pretrained" not in path.read_text()}
    assert models >= set(script.MODELS)
    assert all({name, f"{name}/resumed", f"{name}/ranks"} <= set(commands) for name in models)
    words = [word for words in commands.values() for word in words]
    studies = {path.stem for path in (ROOT / "conf/study").glob("[!_]*.yaml")}
    assert {f"study={name}" for name in studies} <= set(words)


def test_a_study_brings_the_training_it_reads():
    assert [name for name, _ in script.chosen(["study/vae", "study/samples_npz"][1:])] == [
        "vae",
        "vae/resumed",
        "study/samples_npz",
    ]
    with pytest.raises(SystemExit, match="no command begins with nothing"):
        script.chosen(["nothing"])


@pytest.mark.slow
def test_a_checkout_equals_itself_and_not_itself_with_another_seed(tmp_path, capsys):
    words = [str(ROOT), str(ROOT), "--into", str(tmp_path), "--only", "vanilla/resumed"]
    assert script.main(words) == 0
    assert "files are equal" in capsys.readouterr().out
    assert script.main([*words, "--after-words", "seed=1"]) == 1
    lines = capsys.readouterr().out
    assert "runs/vanilla/checkpoints/last.ckpt" in lines
    assert "runs/vanilla/metrics.csv" in lines
