"""What a machine has for the cells of a grid, and what each of them gets."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ganlab.checks.ranges import text_of
from ganlab.grid.cell import GridError
from ganlab.grid.preparation import lone_environment

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
CORES_A_SLOT = 4  # of a machine without a GPU, unless the launcher is told


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; asks the driver, not torch."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [name for name in re.split(r"\s*,\s*", said.strip()) if name and name != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(i) for i, _ in enumerate(re.findall(r"^GPU \d+:", answer.stdout, re.MULTILINE))]


def listed(devices: object) -> list[str]:
    """GPUs that a launcher is told, by number or name.

    Raises:
        GridError: no list of them, or one that names a GPU twice.
    """
    names = [*devices] if isinstance(devices, Sequence) and not isinstance(devices, str) else None
    if names is None or not all(type(each) in (int, str) for each in names):
        raise GridError(
            f"hydra.launcher.devices={text_of(devices)} should be a list of GPUs, as in "
            "hydra.launcher.devices=[0,1], or null for all"
        )
    if len(set(map(str, names))) < len(names):
        raise GridError(f"hydra.launcher.devices={text_of(devices)} names a device twice")
    return [*map(str, names)]


class Devices:
    """A pool of places: GPUs, or slots of a CPU. A cell takes one or several and gives them back.

    Raises:
        GridError: `devices` is no list of GPUs or names one twice, or a number is no count.
    """

    def __init__(
        self,
        devices: Sequence[int | str] | None = None,  # GPUs; None = all visible; [] = none
        slots: int | None = None,  # cells at a time without a GPU; None = one per 4 cores
        cells_per_device: int = 1,  # cells that share a GPU
        threads: int | None = None,  # of each process; None = an equal share of the cores
    ) -> None:
        gpus = visible_gpus() if devices is None else listed(devices)
        counts = {"slots": slots, "cells_per_device": cells_per_device, "threads": threads}
        for key, value in counts.items():
            optional = value is None and key != "cells_per_device"
            if not optional and (type(value) is not int or value < 1):
                raise GridError(
                    f"hydra.launcher.{key}={text_of(value)} should be a whole number, at least 1"
                )
        self.gpus = gpus
        count = len(gpus) * cells_per_device or slots or max(1, cores() // CORES_A_SLOT)
        self.free = [gpus[i % len(gpus)] if gpus else f"slot {i}" for i in range(count)]
        self.size, self.threads = count, threads

    def wanted(self, config: Mapping[str, Any]) -> int:
        """Places that a cell takes: its `trainer.devices`, at most all there are."""
        trainer = config.get("trainer") or {}
        asked, everything = trainer.get("devices", 1), len(self.gpus) or self.size
        if asked in ("auto", -1, "-1"):
            return everything if "ddp" in str(trainer.get("strategy")) else 1
        count = len(asked) if isinstance(asked, list) else int(str(asked).split(",")[0])
        return min(max(count, 1), everything)

    def take(self, count: int) -> list[str] | None:
        """So many different places, or None where they are not free."""
        distinct = list(dict.fromkeys(self.free))[:count]
        if len(distinct) < count:
            return None
        for place in distinct:
            self.free.remove(place)
        return distinct

    def give_back(self, places: Sequence[str]) -> None:
        """Free a finished cell's places."""
        self.free += places

    def environment(self, config: Mapping[str, Any], places: Sequence[str]) -> dict[str, str]:
        """What a cell's process is told: its GPUs, its share of the threads, nothing of ours."""
        given = lone_environment()
        if self.gpus:
            on_cpu = (config.get("trainer") or {}).get("accelerator") == "cpu"
            given["CUDA_VISIBLE_DEVICES"] = "" if on_cpu else ",".join(places)
        share = self.threads or max(1, cores() // self.size)
        for name in THREADS:
            given[name] = str(min(share, _number(os.environ.get(name), share)))
        given.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads must not slow others down
        return given


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) > 0 else otherwise
