"""`python -m ganlab push ckpt=<run>/checkpoints/best.ckpt repo=owner/name`: a run for others.

Into a model repository on Hugging Face go the networks as `.safetensors`, the recipe, a picture of
uncurated samples, and a card with the scores and how they were measured. Nothing that names a place
on this machine leaves it: such values are null there, and are listed.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ganlab import __version__
from ganlab.checks.places import free_place
from ganlab.config import Settings, targets
from ganlab.interop import NAMED, ganlab_safetensors, hub
from ganlab.places import run_of
from ganlab.report.images import save_grid
from ganlab.report.protocols import protocol_stamp, protocol_text
from ganlab.report.tables import Table
from ganlab.runs.checkpoint_files import open_own
from ganlab.runs.conversion import check_told, inference_state
from ganlab.runs.directory import result_of
from ganlab.runs.recipes import RECIPE, rebuild_system
from ganlab.runs.saved_options import is_place
from ganlab.sampling import Sampler
from ganlab.storage.atomic import replace_file
from ganlab.systems.checkpoint import CheckpointError
from ganlab.systems.system import System

NETWORKS, KEPT, PICTURE, CARD = "generator.safetensors", "recipe.yaml", "samples.png", "README.md"
REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
PLACE = re.compile(r"(?:^|[\s'\"=,:\[{(])(?:[/~\\]|\.{1,2}/|[A-Za-z]:[\\/]|file:)")  # of a machine
PUBLIC = re.compile(r"https?://")
NUM_SHOWN, MOST_COLUMNS = 64, 16  # samples of the picture, addresses 0 to 63 of seed 0


def named_place(path: str, value: str) -> bool:
    """Whether a setting is a file or a folder here, by its key or by its look."""
    return is_place(path, value) or bool(PLACE.search(value))


@dataclass
class Scrubbed:
    """Plain data without places, and the keys that had one."""

    left_out: list[str] = field(default_factory=list)

    def __call__(self, node: object, path: str) -> Any:
        """The same data, null where a place was named."""
        if isinstance(node, dict):
            return {key: self(value, f"{path}.{key}".lstrip(".")) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [self(value, path) for value in node]
        if isinstance(node, str) and not PUBLIC.match(node) and named_place(path, node):
            self.left_out.append(path)
            return None
        return node


@dataclass(frozen=True)
class Publication:
    """What is said of a run."""

    checkpoint: Settings  # as it was read
    system: System
    result: Settings  # of its directory; nothing where there is none
    repo: str
    licence: str | None
    recipe: Settings  # without places
    left_out: list[str]

    @classmethod
    def of(cls, ckpt: str, repo: str, licence: str | None, extra: list[str]) -> "Publication":
        """That of a checkpoint of a run of ours.

        Raises:
            CheckpointError: it is missing, damaged or no training's.
            ValueError: no repository's name, or a generator that is told more than a class.
        """
        if not REPO.fullmatch(repo):
            raise ValueError(f"repo={repo} should be owner/name")
        if ckpt in NAMED or hub.is_address(ckpt):
            raise CheckpointError(f"ckpt={ckpt} was trained elsewhere: its owner publishes it")
        checkpoint = open_own(ckpt, "push publishes runs of ganlab's own")
        recipe = checkpoint["recipe"]
        if recipe.get("source") or "optimizer_states" not in checkpoint:
            raise CheckpointError(
                f"ckpt={ckpt} is of no training of ganlab's: push publishes those"
            )
        system = rebuild_system(checkpoint, extra)
        check_told(system, ckpt)
        scrub = Scrubbed()
        kept = {key: recipe[key] for key in (*RECIPE, "choices") if key in recipe}
        plain = scrub(json.loads(json.dumps(kept, default=str)), "")
        directory = run_of(ckpt)
        result = {} if directory is None else result_of(directory)
        return cls(checkpoint, system, result, repo, licence, plain, scrub.left_out)

    def write(self, folder: Path) -> list[Path]:
        """The files, in a folder.

        Raises:
            ValueError: one of them would name this machine's home or the run's directory, or be
                written over a file of something else.
        """
        others = [name for name in (KEPT, PICTURE, CARD) if (folder / name).exists()]
        if others and not (folder / NETWORKS).exists():
            raise ValueError(
                f"out={folder} holds {', '.join(others)} of something else: name an empty folder"
            )
        scrub = Scrubbed()
        bare = inference_state(self.checkpoint)
        bare["recipe"] = scrub(bare["recipe"] | {"source": None}, "")
        images = Sampler.of(self.system).images(range(NUM_SHOWN))
        recipe = yaml.safe_dump(self.recipe, sort_keys=False, allow_unicode=True)
        found = [
            replace_file(folder / NETWORKS, ganlab_safetensors.content_of(bare)),
            replace_file(folder / KEPT, recipe.encode()),
            replace_file(folder / CARD, self.card().encode()),
        ]
        text = {"Description": self.caption}
        save_grid(images, folder / PICTURE, columns=self.columns, metadata=text)
        refuse_homes([*found, folder / PICTURE])
        return [*found, folder / PICTURE]

    @property
    def columns(self) -> int | None:
        """Of the picture: a class each, where there are few."""
        labels = self.system.generator_ema.num_labels
        return labels if 2 <= labels <= MOST_COLUMNS else None

    @property
    def caption(self) -> str:
        """Of the picture."""
        told = ", a column a class" if self.columns else ""
        return f"latents 0 to {NUM_SHOWN - 1} of seed 0, none picked, no truncation{told}"

    def card(self) -> str:
        """README.md: YAML for the hub, then what a reader wants to know."""
        about = {
            **({"license": self.licence} if self.licence else {}),
            "library_name": "ganlab",
            "pipeline_tag": "unconditional-image-generation",
            "tags": ["gan", self.model],
        }
        scores = self.scores()
        parts = [
            f"---\n{yaml.safe_dump(about, sort_keys=False)}---",
            f"# {self.repo.partition('/')[2]}",
            f"![samples]({PICTURE})\n\n*{self.caption}*",
            "\n".join(f"- {label}: {value}" for label, value in self.facts()),
            f"## Scores\n\n{scores}" if scores else "No scores were measured of these weights.",
            f"## Use\n\n```\npip install 'ganlab[hub]'\n{self.command()}\n```",
        ]
        return "\n\n".join(parts) + "\n"

    @property
    def model(self) -> str:
        """The config's name, else the generator's module."""
        chosen = (self.recipe.get("choices") or {}).get("model")
        return str(chosen or type(self.system.generator_ema).__module__.rpartition(".")[2])

    def facts(self) -> Iterator[tuple[str, str]]:
        """Lines of the card."""
        network, choices = self.system.generator_ema, self.recipe.get("choices") or {}
        size = " x ".join(map(str, (network.channels, *network.image_size)))
        numbers = sum(each.numel() for each in network.parameters())
        yield "model", f"`{self.model}`, {numbers:,} parameters in the generator"
        yield "images", size + (f", {network.num_labels} classes" if network.num_labels else "")
        yield "data", str(choices.get("data") or (self.recipe["data"] or {}).get("name"))
        yield "trained on", f"{self.system.images_seen / 1000:g} thousand images"
        yield "trained with", f"ganlab {self.checkpoint.get('version', __version__)}{self.commit}"
        if begun := self.result.get("begun_from"):
            known = ("name", "format", "licence", "sha256")
            yield "begun from", ", ".join(str(begun[key]) for key in known if key in begun)
        yield "recipe", f"[{KEPT}]({KEPT}); values that name a place on a machine are null"

    @property
    def commit(self) -> str:
        """Of the code that trained, where the run's result says it."""
        said = self.result.get("commit")
        return f", commit {said}" if said else ""

    def scores(self) -> str:
        """Those of exactly these weights, and how they were measured."""
        seen = self.system.images_seen
        records = [
            each for each in self.result.get("scores") or [] if each.get("images_seen") == seen
        ]
        rows = [{"score": each["metric"], "value": each["value"]} for each in records]
        ways = {each["metric"]: protocol_text(protocol_stamp(each)) for each in records}
        seeds = sorted({str(each["seed"]) for each in records if "seed" in each})
        notes = [
            f"{', '.join(name for name in ways if ways[name] == way)}: {way}"
            for way in dict.fromkeys(ways.values())
        ]
        notes += [f"latents of seed {', '.join(seeds)}"] if seeds else []
        return Table(["score", "value"], rows, notes=notes).markdown() if rows else ""

    def command(self) -> str:
        """What paints with it."""
        packages = {str(node["_target_"]).split(".")[0] for _, node in targets(self.recipe)}
        theirs = sorted(packages - {"ganlab", "torch"})
        more = f" allow_targets=[{','.join(theirs)}]" if theirs else ""
        return f"python -m ganlab evaluate ckpt=hf://{self.repo}/{NETWORKS} study=samples{more}"


def refuse_homes(paths: list[Path]) -> None:
    """Look for this machine's home in what would leave it.

    Raises:
        ValueError: names the file.
    """
    home = str(Path.home()).encode()
    for path in paths:
        if len(home) > 1 and home in path.read_bytes():
            raise ValueError(
                f"{path} names {home.decode()}, a place on this machine: not published"
            )


def push(
    ckpt: str,
    repo: str,
    licence: str | None = None,  # an identifier such as mit; None = the card says none
    folder: Path | None = None,  # write the files here, and upload nothing
    private: bool = False,  # whether a repository that is made now is seen by its owner alone
    extra: list[str] | None = None,  # packages of the user's that the recipe may name
) -> str:
    """Publish a run, or write what would be; what was done, in lines.

    Raises:
        CheckpointError, ValueError: see `Publication.of` and `Publication.write`.
        ConnectionError: the hub did not take it.
    """
    found = Publication.of(ckpt, repo, licence, extra or [])
    if folder is not None:
        paths = found.write(free_place(folder, "out", folder=True))
        said = [f"{path}: {path.stat().st_size:,} bytes" for path in paths]
        said += ["nothing was uploaded"]
    else:
        with TemporaryDirectory() as place:
            paths = found.write(Path(place))
            said = [f"{repo}: {upload(repo, Path(place), private)}"]
    if found.left_out:
        said += [f"left out, as places on this machine: {', '.join(found.left_out)}"]
    return "\n".join(said)


def upload(repo: str, folder: Path, private: bool) -> str:
    """Put a folder's files into a repository, which is made unless it is there.

    Raises:
        ValueError: without `huggingface_hub`.
        ConnectionError: the hub did not take it; says how to sign in.
    """
    client = hub.library(f"repo={repo}").HfApi()
    try:
        client.create_repo(repo, private=private, exist_ok=True)
        message = f"A run of ganlab {__version__}"
        return str(client.upload_folder(repo_id=repo, folder_path=folder, commit_message=message))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(
            f"repo={repo} was not written ({reason:.200}): sign in with `hf auth login`, or "
            "dry=true writes the files for you to upload"
        ) from error
