"""The recipe of docs/grids.md for two nodes, as two agents of torchrun on this machine."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TINY = [
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("data=synthetic", "data.num=64", "data.resolution=16", "data.batch_size=8", "kimg=0.032"),
    *("callbacks=none", "scores=null", "trainer.accelerator=cpu"),
]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def commands(run):
    """Both commands of the docs, for one process a node and another model."""
    text = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8")
    found = re.findall(r"^torchrun (.*?[^\\])$", text, re.MULTILINE | re.DOTALL)
    said = [shlex.split(command.replace("\\\n", " ")) for command in found]
    new = {
        "--nproc_per_node": "1",
        "--master_addr": "127.0.0.1",
        "--master_port": str(free_port()),
        "trainer.devices": "1",
        "hydra.run.dir": str(run),
    }
    changed = [
        [f"{key}={new.get(key, value)}" if value else key for key, _, value in parts]
        for parts in ([word.partition("=") for word in words] for words in said)
    ]
    return [[word for word in words if not word.startswith("model=")] + TINY for words in changed]


def run_both(both):
    agents = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *words],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in both
    ]
    said = [agent.communicate(timeout=120)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], "\n".join(said)


@pytest.mark.slow
def test_the_two_commands_of_the_docs_make_one_run_and_go_on_with_it(tmp_path):
    both = commands(tmp_path)
    assert [[w for w in words if "node_rank" in w] for words in both] == [
        ["--node_rank=0"],
        ["--node_rank=1"],
    ]
    run_both(both)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], result["images_seen"]) == ("done", 32)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(state["random"]) == 2, "two ranks"
    run_both([[*words, "kimg=0.064"] for words in commands(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], result["images_seen"]) == ("done", 64)
