"""The record of a run's parts: its start and each resume, kept in `parts.json` as they go."""

import json
import os
import platform
import re
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning import Callback, Trainer

from ganlab.callbacks.observer import tolerate
from ganlab.cli import visible
from ganlab.config import Settings, differences
from ganlab.processes import place
from ganlab.report.parts import (
    Part,
    configs,
    is_part,
    parts_record,
    read_parts,
    seconds_of,
    write_parts,
)
from ganlab.report.results import checked_result
from ganlab.runs.provenance import provenance, recipe_in
from ganlab.storage.atomic import replace_file
from ganlab.systems.random_state import gather


class Parts(Callback):
    """Writes down each part of a run: when, where, from which image to which, with what recipe.

    A part begins with its first step, so that a resume that is refused is none. Rank 0 only.
    """

    def __init__(
        self,
        settings: Settings,  # of the run, with its `run_dir` and `ckpt`
    ) -> None:
        super().__init__()
        self.settings, self.directory = settings, Path(settings["run_dir"])
        self.began, self.clock = datetime.now(timezone.utc), time.monotonic()
        self.parts: list[Part] = []
        self.open = False  # whether the last of them is this one

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin a part where the run starts or was resumed."""
        machine = machine_of(trainer)  # asks all ranks
        if trainer.is_global_zero:
            self.begin(before(self.directory), pl_module.images_seen, machine)

    def begin(self, earlier: list[Part], images_seen: int, machine: Settings) -> None:
        """Put a part that begins here after the earlier ones, which are over now."""
        earlier = [end_part(part, self.settings, images_seen) for part in earlier]
        part: Part = {
            "began": self.began.isoformat(timespec="seconds"),
            "images_from": images_seen,
            "images_to": images_seen,
            "seconds": 0.0,
            "status": "running",
            "ckpt": self.settings["ckpt"],
            "machine": machine,
            "process": {"pid": os.getpid(), "place": place()},
        }
        part |= describe_part(self.settings, earlier)
        if earlier and "config" in part:
            keep_config(self.directory, max(configs(earlier), default=1), self.settings)
        self.parts, self.open = [*earlier, part], True
        self.update(images_seen)

    def update(self, images_seen: int, status: str = "running") -> None:
        """Note how far this part has come: at its start, at each checkpoint, at its end."""
        if not self.open:
            return
        seconds = time.monotonic() - self.clock
        self.parts[-1] |= {"images_to": images_seen, "seconds": seconds, "status": status}
        with tolerate(self.directory / "parts.json"):
            write_parts(self.directory, self.parts)

    def close(self, images_seen: int, status: str) -> Settings:
        """What `result.json` says of all parts, once this one is over.

        A first start that failed before its first step is a part too; a resume like that is not.
        """
        if not self.open:
            self.parts = before(self.directory)
            if not self.parts:
                self.begin([], images_seen, {})
        if self.open:
            self.parts[-1].pop("process")
            self.update(images_seen, status)
        return {"parts": parts_record(self.parts), "seconds": seconds_of(self.parts)}

    @property
    def trained(self) -> bool:
        """Whether this part has seen an image."""
        return self.open and self.parts[-1]["images_to"] > self.parts[-1]["images_from"]


def before(directory: Path) -> list[Part]:
    """The parts of a run up to now; of a damaged record, those that its result repeats."""
    try:
        return read_parts(directory)
    except (OSError, ValueError) as error:
        text = f"{error}: the record of parts goes on from result.json"
        print(visible(text), file=sys.stderr)
    with suppress(OSError, ValueError):
        parts = checked_result(directory).get("parts")
        return [each for each in parts if is_part(each)] if isinstance(parts, list) else []
    return []


def end_part(part: Part, settings: Settings, images_seen: int) -> Part:
    """An earlier part, which is over now: one that did not say so was killed.

    It came at least as far as the checkpoint it left for this one, whether or not it lived to note
    that.
    """
    if "process" not in part:
        return part
    ckpt = Path(str(settings["ckpt"])).expanduser().resolve()
    its_own = ckpt == Path(settings["run_dir"], "checkpoints", "last.ckpt").resolve()
    reached = max(part["images_to"], images_seen if its_own else 0)
    kept = {key: value for key, value in part.items() if key != "process"}
    return kept | {"status": "killed", "images_to": reached}


def describe_part(settings: Settings, earlier: list[Part]) -> Settings:
    """Commit, command and recipe of a part; of a later one, what is not as in the first.

    `config` is there where it is another than that of the part before.
    """
    facts, recipe = provenance(settings, "train"), plain_config(recipe_in(settings))
    kept = ("commit", "config_hash", "command")
    found = Settings({key: facts[key] for key in kept if key in facts})
    first = earlier[0] if earlier else {}
    if facts["versions"] != first.get("versions"):
        found["versions"] = facts["versions"]
    if not earlier or facts["config_hash"] != earlier[-1].get("config_hash"):
        found["config"] = recipe
    if isinstance(first.get("config"), dict):
        found["changes"] = differences(first["config"], recipe)
    return found


def keep_config(directory: Path, earlier: int, settings: Settings) -> None:
    """Let `.hydra/config.yaml` state what is trained now; what it stated is kept beside it.

    Hydra writes it at a run's start only; `earlier` is the number of the part that it was of.
    """
    path = directory / ".hydra" / "config.yaml"
    kept = path.with_name(f"config.part{earlier}.yaml")
    with tolerate(path):
        if path.is_file() and not kept.exists():  # there already: a start was killed right here
            path.replace(kept)
        text = yaml.safe_dump(plain_config(settings), sort_keys=False, allow_unicode=True)
        replace_file(path, text.encode("utf-8", "replace"))


def plain_config(config: Settings) -> Settings:
    """A config as it comes back from a file."""
    found: Settings = json.loads(json.dumps(config, default=str))
    return found


def machine_of(trainer: Trainer) -> Settings:
    """Hosts, the first one's processor, devices by name and number of processes, of all ranks."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    seats = gather((socket.gethostname(), name))
    return {
        "hosts": list(dict.fromkeys(host for host, _ in seats)),
        "processor": processor(),
        "devices": dict(Counter(device for _, device in seats)),
        "processes": len(seats),
    }


def processor() -> str:
    """The processor's name, or what kind it is where the system does not say."""
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
