"""`study=samples`: images of chosen latents as files, in the forms that other programs read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path

from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.nn.digest import digest
from ganlab.report import images
from ganlab.report.image_files import ImageArray, ImageZip
from ganlab.report.timeline import opened
from ganlab.sampling import Sampler, batched
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import File, Findings, ImageFile
from ganlab.studies.latents.latent_set import LatentSet, address_list, is_array, latent_set
from ganlab.studies.latents.pictures import LatentQuestion
from ganlab.studies.neurons.detection import is_detection, read_ranking
from ganlab.studies.question import at_least

FORMS = ("png", "zip", "npz")
MOST_IN_PNG = 4  # channels


@dataclass(frozen=True, kw_only=True)
class Samples(LatentQuestion):
    """Writes the images, one grid of them, and `samples.json`, which says how they were made.

    png: `samples/<index>.png`, each rank its share; a stopped run
    goes on. zip: the same files in `samples.zip`. npz:
    `samples.npz` with `arr_0`, (N, H, W, C) uint8; a conditional generator's classes go into
    either. File and image of latent i of a seed are the same in any run.

    Raises:
        ValueError: no latents, indices together with latents, or an unknown form.
    """

    num: int = 64  # addresses 0 .. num-1
    indices: Sequence[int] | str | None = None  # these addresses instead; or ranking.npz, of which
    # the first `num` are taken
    which: str = "top"  # end of that ranking: top = the most LR neurons, or bottom
    latents: Latents = None  # a file of latents, w or w+ instead, see `read_latents`
    form: str = "png"  # or zip, npz
    num_shown: int = 64  # at most so many images in the grid
    size: Sequence[int] | None = None  # height and width they are resized to: undoes a stretch

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num=self.num, num_shown=self.num_shown)
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"study.size={[*self.size]} must be a height and a width in pixels")
        if self.form not in FORMS:
            raise ValueError(f"give study.form one of {', '.join(FORMS)}, not {self.form}")
        if self.indices is not None and self.latents is not None:
            raise ValueError("study.indices and study.latents are two answers: give one of them")
        _ = self.named

    @cached_property
    def named(self) -> Latents:
        """The addresses, or the file of latents."""
        if isinstance(self.indices, str) and is_detection(self.indices, "study.indices"):
            return read_ranking(self.indices, self.which, self.num, self.seed, "study.indices")
        if self.indices is not None:
            return unique(address_list(self.indices, "study.num or study.indices"))
        if is_array(self.latents):
            return self.latents
        first = address_list(f"0:{self.num}", "study.num")
        return first if self.latents is None else unique(address_list(self.latents))

    def check(self, bench: Bench) -> None:
        """Read a file of latents before anything is scored."""
        bench.truncated(self.truncation, self.cutoff)
        if self.form != "npz" and bench.generator.channels > MOST_IN_PNG:
            raise ValueError(
                f"study.form={self.form}: a PNG holds at most {MOST_IN_PNG} channels and this "
                f"generator makes {bench.generator.channels}: study.form=npz holds any number"
            )
        if is_array(self.named):
            latent_set(bench.generator, self.named, self.seed)

    def run(self, bench: Bench) -> Findings:
        """The images, the grid, and how they were made."""
        found = latent_set(bench.generator, self.named, self.seed)
        sampler = bench.truncated(self.truncation, self.cutoff)
        shares = self.shares(bench, sampler, found) if self.form == "png" else iter(())
        if not bench.ranks.first:
            return Findings(images=shares)
        first = found[: self.num_shown]
        shown = self.painted(sampler, first.values, first.addresses)
        text = {"Description": f"{found.source}; {sampler.stated}"}
        files: dict[str, File] = {
            "samples.json": self.manifest(found, sampler),
            "figures/samples.png": partial(images.save_grid, shown, metadata=text),
        }
        if self.form != "png":
            files[f"samples.{self.form}"] = partial(self.archive, bench, sampler, found)
        latents = {"samples": found.values} if found.filed else {}
        return Findings(images=shares, files=files, latents=latents)

    def shares(self, bench: Bench, sampler: Sampler, found: LatentSet) -> Iterator[ImageFile]:
        """This rank's share of the images, painted as they are written.

        What an earlier run of the same command wrote before it was stopped is left as it is.
        """
        weights = digest(bench.generator)
        for rows in bench.batched("samples", range(len(found))):
            marks = marks_of(f"{weights} {self.size}", sampler, found, rows)
            texts = [self.text_of(found, row) | {"made": mark} for row, mark in marks.items()]
            left = {row: t for row, t in zip(rows, texts, strict=True) if not is_there(bench, t)}
            if not left:
                continue
            addresses = [found.addresses[row] for row in left]
            batch = self.painted(sampler, found.values[[*left]], addresses)
            for text, image in zip(left.values(), batch, strict=True):
                yield ImageFile(f"samples/{text.pop('name')}", image, text)

    def archive(self, bench: Bench, sampler: Sampler, found: LatentSet, path: Path) -> None:
        """All of them in one file."""
        kind = ImageZip if self.form == "zip" else ImageArray
        with kind(path, len(found)) as archive:
            every = bench.ranks.progress(range(len(found)), "samples")
            for rows in batched(every, self.batch_size):
                addresses = [found.addresses[row] for row in rows]
                batch = self.painted(sampler, found.values[rows], addresses)
                told = sampler.condition(addresses)
                labels = None if told is None or told.label is None else told.label.tolist()
                texts = [self.text_of(found, row) for row in rows]
                if labels is not None:  # a folder a class
                    for text, label in zip(texts, labels, strict=True):
                        text["name"] = f"{label}/{text['name']}"
                archive.add(batch, texts, labels)

    def painted(self, sampler: Sampler, values: Tensor, addresses: Sequence[int]) -> Tensor:
        """Images in the size that is asked for, (N, C, H, W) in [-1, 1]."""
        images = sampler.paint(values, addresses)
        if self.size is None:
            return images
        size = (self.size[0], self.size[1])
        return interpolate(images, size, mode="bicubic", antialias=True).clamp(-1, 1)

    def text_of(self, found: LatentSet, row: int) -> dict[str, str]:
        """A file's name, and what its metadata say."""
        index = found.addresses[row]
        address = {"row" if found.filed else "index": str(index)}
        made = {"seed": str(self.seed), "truncation": str(self.truncation), "noise": self.noise}
        return {"name": f"{index:06d}.png", **address, **made}

    def manifest(self, found: LatentSet, sampler: Sampler) -> bytes:
        """`samples.json`: addresses, seed, truncation, noise and classes that were chosen."""
        made = {
            "num": len(found),
            "source": found.source,
            "rows" if found.filed else "indices": found.addresses,
            "seed": self.seed,
            "truncation": self.truncation,
            **({} if self.cutoff is None else {"cutoff": self.cutoff}),
            "noise": self.noise,
            **({"labels": list(sampler.labels)} if sampler.labels else {}),
            "averaged_generator": True,
        }
        resized = {} if self.size is None else {"size": [*self.size]}
        return json.dumps(made | resized, indent=1).encode()


def marks_of(
    made: str,  # by which generator, and in which size
    sampler: Sampler,
    found: LatentSet,
    rows: Sequence[int],
) -> dict[int, str]:
    """Row -> 16 hexadecimal digits of all that its image is made of."""
    told = sampler.condition([found.addresses[row] for row in rows])
    labels = [None] * len(rows) if told is None or told.label is None else told.label.tolist()
    how = f"{made} {sampler.seed} {sampler.stated}"
    return {
        row: blake2b(
            f"{how} {found.addresses[row]} {label} ".encode() + found.values[row].numpy().tobytes(),
            digest_size=8,
        ).hexdigest()
        for row, label in zip(rows, labels, strict=True)
    }


def is_there(bench: Bench, text: Mapping[str, str]) -> bool:
    """Whether the file of this name was written whole, of the same image."""
    if bench.directory is None:
        return False
    try:
        with opened(bench.directory / "samples" / text["name"]) as image:
            return {**image.info, "name": text["name"]} == dict(text)
    except OSError:
        return False


def unique(indices: list[int]) -> list[int]:
    """The same addresses.

    Raises:
        ValueError: one is named twice; its files would have one name.
    """
    if len(set(indices)) < len(indices):
        raise ValueError("study.indices names a latent twice; each has one file")
    return indices
