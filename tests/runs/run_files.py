"""What an earlier run may have left in its directory."""

from ganlab.report.results import write_result


def checkpoint(run, name="last.ckpt"):
    path = run / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")


def result(run, **facts):
    write_result(run, {"status": "failed", "kind": "train", "images_seen": 0} | facts)
