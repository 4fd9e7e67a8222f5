"""What the command line needs before torch is imported: resolvers, its words, one-line errors."""

import difflib
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganlab.arguments import arrange, key_of, value_of
from ganlab.hydra_versions import listed_as_found, register_resolver, whitelist
from ganlab.places import config_folder, data_choice, training_directory
from ganlab.processes import external_rank

# What a user can cause; anything else is a defect and keeps its traceback.
EXPECTED = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    KeyError,
    OSError,
    ImportError,
    FloatingPointError,
)
EXTRAS = {  # what begins the names of options that come with a plugin -> the extra that brings it
    "hydra/sweeper/optuna": "optuna",
    "hydra/launcher/submitit": "slurm",
    "hydra/launcher/ray": "ray",
}
PLUGIN = r"Unknown plugin class : 'hydra_plugins\.hydra_(submitit|ray|optuna)\w*"  # of an extra
NO_SLURM = r'Could not detect "srun"'  # of its launcher
STOPPED_EARLY = "stopped before anything was trained"


class ListedError(ValueError):
    """One that lists what is wrong, a line each; elsewhere a message is one line."""


class SharedError(OSError):
    """One that every rank meets at once, and the first of them tells."""


def visible(text: str) -> str:
    """Text with whatever a terminal obeys or hides written out; line breaks stay.

    Names in files of others may hold commands for a terminal, or turn the direction of writing.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(character: str) -> str:
    byte = ord(character) - 0xDC00  # of a file's name that is no text, as Python keeps it
    return f"\\x{byte:02x}" if 128 <= byte < 256 else ascii(character)[1:-1]


def tell(text: str) -> None:
    """Say a line on standard error; a run outlives the terminal or the pipe that hears it."""
    with suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)


def plain_warning(message: object, *_: object, **__: object) -> str:
    """A library's warning as people read it: one line, without the place in its source."""
    return f"warning: {visible(' '.join(str(message).split()))}\n"


def conf_dir() -> Path:
    """The config tree: inside an installed package, else beside it in a source checkout."""
    here = Path(__file__).parent
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def nearest(word: str, known: Iterable[str]) -> str:
    """A "did you mean" clause for a misspelt word, or nothing."""
    others = [each for each in known if each != word]
    close = difflib.get_close_matches(word, others, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def register_resolvers() -> None:
    """Make the path rules usable in YAML."""
    register_resolver("config_folder", config_folder)
    register_resolver("training_directory", training_directory)
    register_resolver("data_choice", data_choice)


class Again(BaseException):
    """The command line says `resume=auto`; with what that comes to it is to be read once more.

    No `Exception`, which Hydra would turn into a warning.
    """

    def __init__(
        self,
        ckpt: Path | None,  # to go on from; None = begin
    ) -> None:
        super().__init__()
        self.ckpt = ckpt

    def words(self, words: Sequence[str]) -> list[str]:
        """The command line with the decision in place of `resume=auto`, wherever that was said."""
        kept = [word for word in words if key_of(word) != "resume"]
        overrides = [at for at, word in enumerate(kept) if "=" in word and word[0] != "-"]
        at = overrides[0] if overrides else len(kept)  # Hydra takes its options on either side
        said = [*([f"ckpt={self.ckpt}"] if self.ckpt else []), "resume=exact"]
        return [*kept[:at], *said, *kept[at:]]

    @property
    def ways(self) -> str:
        """How to go on where that checkpoint cannot be read."""
        best = self.ckpt and self.ckpt.with_name("best.ckpt")
        others = f"ckpt={best} goes on from the best one, " if best and best.is_file() else ""
        return f"{others}hydra.run.dir=<a new folder> begins another run"


def run(
    main: Callable[[], Any],  # a `@hydra.main` function
    rearrange: Callable[[list[str]], list[str]] | None = None,  # asked only if a file is given
    around: Callable[[], AbstractContextManager[None]] = nullcontext,  # what concludes a sweep
) -> None:
    """Answer a mistake with one line and exit code 1, an early Ctrl-C with one line and 130."""
    if not os.environ.get("GANLAB_TRACEBACK"):
        warnings.formatwarning = plain_warning
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    register_resolvers()
    words = sys.argv[1:]
    try:
        decision = _read(words, main, rearrange, around)
        if decision is not None:
            _read(decision.words(words), main, rearrange, around, decision.ways)
    except EXPECTED as error:
        fail(error)
    except RuntimeError as error:
        if not re.match(f"{PLUGIN}|{NO_SLURM}", str(error)):
            raise
        fail(error)
    except KeyboardInterrupt:
        print(STOPPED_EARLY, file=sys.stderr)
        sys.exit(130)


def _read(
    words: Sequence[str],
    main: Callable[[], Any],
    rearrange: Callable[[list[str]], list[str]] | None,
    around: Callable[[], AbstractContextManager[None]],
    ways: str = "",  # how to go on where the checkpoint cannot be read
) -> Again | None:
    """Hand the words to Hydra; what it is to be asked instead, if anything."""
    words = arrange(words, groups())
    reads = any(key_of(word) in ("ckpt", "init", "fake") for word in words)
    if rearrange is not None and reads and value_of(words, "resume") != "auto":  # refused later
        try:
            words = rearrange(words)
        except EXPECTED as error:
            if not ways:
                raise
            raise ValueError(f"{one_line(error)}; {ways}") from error
    sys.argv[1:] = words
    try:
        with around(), whitelist(), listed_as_found():
            main()
    except Again as decision:
        return decision
    return None


@contextmanager
def importing() -> Iterator[None]:
    """Let Ctrl-C end the process inside the block: not every library survives it in its import."""

    def stop(number: int, frame: object) -> None:
        print(STOPPED_EARLY, file=sys.stderr, flush=True)
        os._exit(128 + number)

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def groups() -> list[str]:
    """Every config group, nested ones as `model/loss`."""
    folders = (path for path in conf_dir().rglob("*") if path.is_dir())
    return [path.relative_to(conf_dir()).as_posix() for path in folders]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Answer a mistake in a job with one line and exit code 1; a sweep goes on."""
    try:
        yield
    except EXPECTED as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        fail(error)


def stopped_by(result: dict[str, Any]) -> None:
    """Exit with 128 + the signal that stopped a run; after any other end a sweep goes on."""
    if result["exit_code"]:
        sys.exit(result["exit_code"])


def fail(error: BaseException) -> NoReturn:
    """Print the error's useful sentence (its traceback too under GANLAB_TRACEBACK=1) and exit."""
    if os.environ.get("GANLAB_TRACEBACK"):
        traceback.print_exception(error)
    if not (isinstance(error, SharedError) and external_rank()):
        sys.stderr.write(
            f"error: {one_line(error)}\n"
        )  # in one piece, beside other processes' lines
    sys.exit(1)


def one_line(error: BaseException) -> str:
    """The useful sentence of an exception, whatever Hydra wrapped around it; `visible`."""
    while error.__cause__ is not None and isinstance(
        error, (HydraException, OmegaConfBaseException)
    ):
        error = error.__cause__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    for pattern, explain in EXPLANATIONS:
        if match := re.search(pattern, text, re.DOTALL):
            return visible(explain(*match.groups()))
    listed = isinstance(error, ListedError)
    return visible(text if listed else _shortened(" ".join(text.split())))


def _shortened(line: str, most: int = 1600) -> str:
    """A line without its middle, where that is something huge that somebody typed."""
    half = most // 2
    return line if len(line) <= most else f"{line[:half]} [...] {line[-half:]}"


def _unknown_key(key: str) -> str:
    if key.startswith("grid.table."):  # empty until something is put there
        return f"{key} is not there yet: +{key}=<value> puts it there"
    return f"there is no config key {key}{nearest(key, known_keys())}"


def _unknown_option(path: str) -> str:
    if extra := next((EXTRAS[each] for each in EXTRAS if path.startswith(each)), None):
        chosen, _, plugin = path.rpartition("/")
        return f"{chosen}={plugin} is not installed: pip install 'ganlab[{extra}]'"
    parts, depth = Path(path.lstrip("/")).parts, 0
    while depth < max(1, len(parts) - 1) and _is_group(*parts[: depth + 1]):
        depth += 1
    group, option = "/".join(parts[:depth]), "/".join(parts[depth:])
    names = _options(group)
    close = nearest(option, names) or f"; {OWN_OPTIONS}"
    return f"there is no {group}={option}; there are {', '.join(names)}{close}"


def _options(group: str) -> list[str]:
    """A group's choices; folders in it are choices too (`experiment`), or groups (`model/norm`)."""
    folder = conf_dir() / group
    paths = sorted(folder.rglob("[!_]*.yaml"))
    own = [path for path in paths if path.parent == folder or _is_whole(path)]
    names = own if group and own else paths
    return [path.relative_to(folder).with_suffix("").as_posix() for path in names]


def _is_whole(path: Path) -> bool:
    return path.read_text(encoding="utf-8").startswith("# @package _global_")


OWN_OPTIONS = "those of a package of yours need hydra.searchpath=[pkg://<package>.conf]"


def _is_group(*parts: str) -> bool:
    return ".." not in parts and conf_dir().joinpath(*parts).is_dir()


def _no_plugin(name: str) -> str:
    extra = "slurm" if name == "submitit" else name
    return f"Hydra's plugin for {name} is not installed: pip install 'ganlab[{extra}]'"


def _no_slurm() -> str:
    return (
        "hydra/launcher=slurm sends cells to SLURM with srun, which is not here: start the grid on "
        "a machine of the cluster, or leave the launcher out"
    )


def _not_there(of: str, key: str) -> str:
    return f"{key} is ${{{of}}}, and there is no {of}: give {key} a value of its own"


def _missing_value(key: str) -> str:
    return f"{key} has no value; give one, as in {key}=..."


def _lists(path: Path, name: str) -> bool:
    """Whether a config has a choice of this name, by itself or by one of its bases (`_gan`)."""
    text = path.read_text(encoding="utf-8")
    bases = re.findall(r"^ *- (_(?!self_)\w+)$", text, re.MULTILINE)
    own = re.search(rf"^ *- (override )?{name}:", text, re.MULTILINE)
    return bool(own) or any(_lists(path.with_name(f"{base}.yaml"), name) for base in bases)


def _not_chosen_here(key: str) -> str:
    """A key that no defaults list of the chosen configs has, such as `model/norm` of a DCGAN."""
    group, _, name = key.rpartition("/")
    if not name or not (conf_dir() / key).is_dir():
        return _unknown_key(key)
    paths = sorted((conf_dir() / group).glob("[!_]*.yaml")) if group else []
    having = [path.stem for path in paths if _lists(path, name)]
    return f"this {group} has no choice of {key}; those that have: {', '.join(having) or 'none'}"


def _no_space(path: str = "a file of this run") -> str:
    return (
        f"no space left on device: {path} was not written; free some there, or write elsewhere "
        "(hydra.run.dir=<folder>, for what is kept between runs GANLAB_CACHE)"
    )


def _without_folder(key: str | None) -> str:  # OmegaConf 2.4 does not say which
    return (
        f"{key or 'run_dir'} cannot be told before the run has a folder: run_dir and hydra.run.dir "
        "stay; name one with hydra.run.dir=<folder>"
    )


def _stays(key: str) -> str:
    return f"{key} cannot be taken out (~{key}): Hydra needs it; its parts can be set"


EXPLANATIONS: list[tuple[str, Callable[..., str]]] = [
    (r"\[Errno 28\] [^:]*: '([^']*)'$", _no_space),
    (r"\[Errno 28\] [^:]*$", _no_space),  # a write, of which the system names no file
    (r"Could not override '([^']+)'", _not_chosen_here),
    (r"Key '[^']*' (?:is )?not in .*?full_key: (\S+)", _unknown_key),
    (r"Could not find '([^']+)'", _unknown_option),
    (PLUGIN, _no_plugin),
    (NO_SLURM, _no_slurm),
    (r"Interpolation key '([^']+)' not found.*full_key: (\S+)", _not_there),
    (r"Missing mandatory value: (\S+)", _missing_value),
    (r"HydraConfig was not set(?:.*full_key: (\S+))?", _without_folder),
    (r"does not support deletion.*full_key: (\S+)", _stays),
]


def known_keys() -> list[str]:
    """Every key a user can set: groups and the dotted paths of the configs on disk."""
    keys: set[str] = set()
    root = conf_dir()
    for path in root.rglob("*.yaml"):
        group = path.parent.relative_to(root).as_posix()
        prefix = "" if group == "." else group.replace("/", ".") + "."
        keys.update((group, group.replace("/", ".")) if prefix else ())
        keys.update(prefix + key for key in dotted_paths(OmegaConf.load(path)))
    return sorted(keys)


def dotted_paths(node: object, prefix: str = "") -> list[str]:
    """Dotted paths of all keys of nested mappings, outer ones included."""
    plain = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    if not isinstance(plain, dict):
        return []
    paths: list[str] = []
    for name, value in plain.items():
        key = str(name)
        if not key.startswith("_") and key != "defaults":
            paths += [f"{prefix}{key}", *dotted_paths(value, f"{prefix}{key}.")]
    return paths
