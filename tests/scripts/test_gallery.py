import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    path = ROOT / "scripts" / "gallery.py"
    spec = importlib.util.spec_from_file_location("gallery", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("RUNS", "PICTURES", "RESULTS"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setattr(module, name, folder)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def finished(folder, **result):
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"status": "done", **result}))


def test_minutes_are_of_the_images_alone_whenever_they_were_seen(gallery, tmp_path):
    """Scored rows have no speed; the pause of a resumed run between rows counts for nothing."""
    rows = ["images_seen,images_per_second,fid", "1000,10,", "1000,,5.0", "4000,50,"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    assert gallery.minutes(tmp_path) == pytest.approx((1000 / 10 + 3000 / 50) / 60)


def test_rows_of_a_resumed_run_that_saw_no_image_took_no_time(gallery, tmp_path):
    """Images between two rows count once, at the speed of the row that first has one."""
    rows = [
        "images_seen,images_per_second",
        "1000,10",
        "1000,0.0",
        "2000,0.0",
        "4000,50",
        "4000,nan",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    assert gallery.minutes(tmp_path) == pytest.approx((1000 / 10 + 3000 / 50) / 60)


def test_a_run_is_asked_to_go_on_from_its_last_checkpoint(gallery, monkeypatch):
    """Also a finished one: it trains further only where its experiment is longer by now."""
    asked = []
    monkeypatch.setattr(gallery, "run", lambda program, words: asked.append(words) or 0)
    finished(gallery.RUNS / "vae", images_seen=5)
    assert gallery.trained("vae")["images_seen"] == 5
    (gallery.RUNS / "vae/checkpoints").mkdir()
    (gallery.RUNS / "vae/checkpoints/last.ckpt").touch()
    gallery.trained("vae")
    assert [words[-1] for words in asked] == ["resume=auto", "resume=auto"]
    assert all("hydra.run.dir=" in " ".join(words) for words in asked)


def test_a_run_that_stops_ends_the_gallery_with_a_way_on(gallery, monkeypatch):
    monkeypatch.setattr(gallery, "run", lambda program, words: 143)
    with pytest.raises(SystemExit, match="vae stopped with exit code 143; the same command"):
        gallery.trained("vae")


def test_scores_are_kept_until_the_run_has_seen_more(gallery, monkeypatch):
    asked = []
    monkeypatch.setattr(gallery, "run", lambda program, words: asked.append(program) or 0)
    finished(gallery.RUNS / "vae/scores", images_seen=5)
    gallery.scored("vae", 5)
    assert asked == []
    gallery.scored("vae", 9)
    assert asked == ["evaluate.py"]
