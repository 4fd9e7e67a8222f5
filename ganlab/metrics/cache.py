"""Statistics of real images in a file, so that a data set goes through an extractor once."""

import hashlib
import inspect
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.downloads import cache_dir
from ganlab.metrics.score import Score, State, rank_and_world
from ganlab.metrics.suite import Suite
from ganlab.nn.frames import Resolution
from ganlab.storage.archive import map_archive, read_archive, write_archive
from ganlab.storage.turns import known_whole, note_whole, turn

Key = dict[str, str | bool | Resolution | None]
_FORMAT = 2  # raise when the choice of reals or the meaning of a state changes
_FREE = ("memory_mb",)  # parameters of scores that bound memory or time and change no value


def real_key(
    suite: Suite,
    content_key: str,  # hash of the data and its preprocessing
    resolution: Resolution,  # of the images, pixels
    num_images: int,  # images the data has, of which the suite's choice is a function
    mirror: bool = False,  # whether `num_images` counts each image's mirror image too
) -> Key:
    """All that the statistics of the reals depend on, each score's parameters among it.

    Loads no image.
    """
    return {
        "format": _FORMAT,
        "data": content_key,
        "resolution": resolution,
        "num_images": num_images,
        "num_real": suite.check_available(num_images),
        "mirror": mirror,
        "extractor": suite.extractor.name,
        "extractor_sha256": suite.extractor.sha256,
        "resize": suite.extractor.resize,
        "scores": json.dumps({n: parameters_of(m) for n, m in sorted(suite.metrics.items())}),
    }


def parameters_of(score: Score) -> dict[str, Any]:
    """A score's class and the values of its constructor's parameters, as plain data.

    A parameter is found under its own name; one that the score does not keep is left out.
    """
    names = [name for name in inspect.signature(type(score)).parameters if name not in _FREE]
    kept = {name: getattr(score, name) for name in names if hasattr(score, name)}
    return {"class": type(score).__name__, **{name: _plain(v) for name, v in kept.items()}}


def _plain(value: object) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else repr(value)


class RealCache:
    """Real statistics by key, one file each; a file that cannot be trusted is as good as none."""

    def __init__(
        self,
        directory: Path | str | None = None,  # None = `reals` in the user's cache directory
    ) -> None:
        self.directory = cache_dir() / "reals" if directory is None else Path(directory)

    def path(self, key: Key) -> Path:
        """The file of a key."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self.directory / f"{key['extractor']}-{digest[:24]}.pt"

    def turn(self, key: Key) -> AbstractContextManager[None]:
        """Inside the block no other cell of a grid looks for these reals, or computes them.

        Runs of several ranks wait for nobody: their ranks wait for each other already.
        """
        return turn(self.path(key)) if rank_and_world()[1] == 1 else nullcontext()

    def restore(self, suite: Suite, key: Key) -> bool:
        """Fill the suite's reals from the file; False, the same on every rank, if there is none.

        A corrupt or foreign file is ignored with a warning. Only rank 0 reads.
        """
        rank, world = rank_and_world()
        found = rank == 0 and self._restored(suite, key)
        if world > 1:
            found = _agreed(found, suite.device)
        if found and rank != 0:
            suite.load_real_state(None)
        return found

    def _restored(self, suite: Suite, key: Key) -> bool:
        path = self.path(key)
        if not path.exists():
            return False
        try:
            suite.load_real_state(_read(path, key))
        except Exception as error:  # whatever a broken file does, the images are still there
            suite.reset(real=True)
            warnings.warn(f"ignoring statistics of reals in {path}: {error}", stacklevel=2)
            return False
        return True

    def store(self, suite: Suite, key: Key) -> None:
        """Write the suite's reals, atomically, from rank 0; called on all ranks.

        A directory that cannot be written costs a warning: the statistics are computed next time.

        Raises:
            ValueError: the suite holds another number of reals than the key names.
        """
        state = suite.real_state()
        if (count := int(state["images"]["real_images"])) != key["num_real"]:  # type: ignore[arg-type]
            raise ValueError(
                f"{count} real images were fed instead of {key['num_real']}: feed each image once"
            )
        if rank_and_world()[0] != 0:
            return
        try:
            _write(self.path(key), {"key": key, "state": state})
        except OSError as error:
            warnings.warn(f"statistics of reals are not kept: {error}", stacklevel=2)


def _read(path: Path, key: Key) -> Mapping[str, State]:
    """The statistics; of the cells of a grid the first reads every byte, which the others map."""
    sound = known_whole(path)
    content = map_archive(path) if sound else read_archive(path)
    if content["key"] != key:
        raise ValueError("it belongs to other data or another extractor")
    state: Mapping[str, State] = content["state"]
    if int(state["images"]["real_images"]) != key["num_real"]:  # type: ignore[arg-type]
        raise ValueError(f"it holds other than {key['num_real']} images")
    if not sound:
        for name, values in state.items():
            if not all(map(_finite, values.values())):
                raise ValueError(f"its {name} are not finite numbers")
        note_whole(path)
    return state


def _finite(value: Tensor | list[Tensor]) -> bool:
    parts = value if isinstance(value, list) else [value]
    return all(bool(part.isfinite().all()) for part in parts)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(descriptor)
    try:
        write_archive(content, Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _agreed(found: bool, device: torch.device) -> bool:
    """What rank 0 found, on every rank: ranks that disagree would wait for each other for ever."""
    answer = torch.tensor(int(found), device=device)
    torch.distributed.broadcast(answer, src=0)
    return bool(answer)
