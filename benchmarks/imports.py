"""What opening another project's file costs beside reading its tensors.

    python benchmarks/imports.py            # StyleGAN2 config F at 1024 px, G, D and G_ema

A file in NVIDIA's layout is written with random weights, and one of `torch.save` with the same
tensors. `generator_of` makes a generator of the first: every instruction and every checksum looked
at, nothing run, G_ema ready to paint. `torch.load(weights_only=True)` reads the second. Each is
measured in a process of its own, in turns, with both files in the page cache: CPU seconds, and peak
memory above what the process held once its packages were imported.
"""

import argparse
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ganlab.interop import nvidia_stylegan2
from ganlab.interop.stylegan2 import export_state
from ganlab.networks import stylegan2
from ganlab.run import generator_of
from ganlab.runs.provenance import commit

SEED = 0
FULL = {"resolution": 1024, "width": 32, "max_width": 512}  # config F


class Layer:
    """Stands for a module of theirs: pickled as a call with one dict, as `persistence` does it."""

    def __init__(self, **state):
        kinds = ("_parameters", "_buffers", "_modules")
        self.state = {**{kind: {} for kind in kinds}, **state}

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": "", "class_name": "Network"}
        module = sys.modules["torch_utils.persistence"]
        return module._reconstruct_persistent_obj, (meta | {"state": self.state},)


def tree(state):
    """A network of a state: its modules in each other, tensors by their last names."""
    root = Layer(_init_args=(), _init_kwargs={}, training=False)
    for name, value in state.items():
        *path, leaf = name.split(".")
        node = root
        for part in path:
            node = node.state["_modules"].setdefault(part, Layer())
        node.state["_buffers"][leaf] = value
    return root


def networks(options):
    """Their three networks, by key, of random weights and by their names."""
    torch.manual_seed(SEED)
    built = {
        "G": ("generator", stylegan2.Generator(**options)),
        "D": ("discriminator", stylegan2.Discriminator(**options)),
        "G_ema": ("generator", stylegan2.Generator(**options)),
    }
    return {
        key: export_state(nvidia_stylegan2.DIALECT, kind, options, network.state_dict())
        for key, (kind, network) in built.items()
    }


def write(folder, options):
    """Both files."""
    states = networks(options)
    torch.save(states, folder / "plain.pt")
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("nothing of a file is run")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = _reconstruct_persistent_obj.__name__
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules |= {"torch_utils": types.ModuleType("torch_utils"), module.__name__: module}
    with (folder / "network.pkl").open("wb") as file:
        pickle.dump({key: tree(state) for key, state in states.items()}, file)


def resident():
    """Bytes of memory held now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured(way, folder):
    """CPU seconds and peak memory of one way, in this process."""
    torch.set_num_threads(1)
    before, started = resident(), time.process_time()
    if way == "ours":
        generator_of(folder / "network.pkl")
    else:
        torch.load(folder / "plain.pt", weights_only=True)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "bytes": peak - before}


def child(way, folder):
    """The same in a process of its own."""
    for path in folder.iterdir():  # into the page cache
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
    command = [sys.executable, __file__, "--measure", way, "--folder", str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def compared(folder, rounds):
    """Ratios of medians."""
    found = {"ours": [], "load": []}
    for _ in range(rounds):
        for way, each in found.items():
            each.append(child(way, folder))
    middle = {
        way: {key: statistics.median(one[key] for one in each) for key in each[0]}
        for way, each in found.items()
    }
    size = (folder / "network.pkl").stat().st_size
    return {
        "file_mb": size / 1e6,
        "time_ratio": middle["ours"]["seconds"] / middle["load"]["seconds"],
        "memory_over_file": middle["ours"]["bytes"] / size,
        "seconds": middle["ours"]["seconds"],
        "load_seconds": middle["load"]["seconds"],
        "load_memory_over_file": middle["load"]["bytes"] / size,
        "rounds": rounds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resolution", type=int, default=FULL["resolution"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", choices=["ours", "load"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(given.measure, given.folder)))
        return
    with TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        if not (folder / "network.pkl").exists():
            write(folder, FULL | {"resolution": given.resolution})
        found = compared(folder, given.rounds)
    print(json.dumps(found, indent=1))
    if given.out:
        command = f"python benchmarks/imports.py --rounds {given.rounds}"
        facts = {"command": command, "commit": commit(), "seed": SEED, "torch": torch.__version__}
        facts["n"] = given.rounds
        given.out.write_text(json.dumps(facts | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
