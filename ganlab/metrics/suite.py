"""A suite: one pass through one extractor feeds every score, under one protocol of counts."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.features.base import Extractor
from ganlab.features.pixels import quantize
from ganlab.metrics.score import ImageCount, Score, State, rank_and_world
from ganlab.nn.randomness import keyed_generator

Record = dict[str, str | int | float | bool | None]
_COUNT = "images"  # the key of the suite's own image count, next to the scores


class Suite:
    """Scores of generated images against real ones, named and recorded by their protocol.

    A name is score, number of images, score's own protocol and extractor: `fid10k_classifier`,
    `recall10k_k3_classifier`. Inception has no suffix, scores of the images themselves end in
    `_pixels`; `_full` means against all reals; unequal counts are both named (`fid1300_of10k`),
    and `_own` follows where the reals are other samples of the same generator.
    A score's `source` is an output of the extractor, or "images": those of `update` on the 8-bit
    grid. Every method but `records` and `real_indices` is to be called on all ranks, each with its
    own share of the images and no image twice.

    It is a plain object on purpose: as a submodule it would put the extractor into checkpoints.
    """

    key = "metrics"  # its place in the config, or that of a study's own

    def __init__(
        self,
        extractor: Extractor,  # images in [-1, 1] -> named features
        metrics: Mapping[str, Score],  # name -> score; a score of several values names them itself
        num_real: int | None,  # real images to compare with; None = all there are
        num_fake: int,  # generated images
        batch_size: int = 100,  # images that go through the extractor at once
        reducible: int | None = None,  # so many of both sides may become fewer, see `fit`
    ) -> None:
        _check_counts(num_real, num_fake, batch_size)
        if not isinstance(extractor, nn.Module):
            raise ValueError(
                f"features={str(extractor)[:80]} is no extractor: choose one, as features=inception"
            )
        if not metrics:
            raise ValueError("metrics.metrics={} names no score; scores=null leaves scoring out")
        self.extractor = extractor.eval().requires_grad_(False)
        self.metrics: dict[str, Score] = dict(metrics.items())
        self.num_real, self.num_fake, self.batch_size = num_real, num_fake, batch_size
        self.reducible = reducible
        self.own = False  # whether the reals are samples of the scored generator: names say it
        self.device = torch.device("cpu")
        self._expected_real = num_real
        self._counted: dict[str, int] | None = None
        self._sources: dict[str, str] = {}  # full name -> source, of all that was computed
        self.ways: dict[str, str] = {}  # full name -> `min`, `max` or `neither`, where said
        self._real_loaded = False
        self._scores: dict[str, Score] = {**self.metrics, _COUNT: ImageCount()}
        for name, metric in self.metrics.items():
            self._adopt(name, metric)
        if reducible is None:  # else `fit` leaves out what cannot be
            self.check_sizes(num_real, num_fake)

    def _adopt(self, name: str, metric: Score) -> None:
        if not isinstance(metric, Score) or name == _COUNT:
            raise ValueError(
                f"metrics.metrics.{name}: needs a ganlab.metrics.Score by another name"
            )
        classless = isinstance(self.extractor, Extractor) and not self.extractor.has_logits
        if metric.source == "logits" and classless:
            raise ValueError(
                f"metrics.metrics.{name} needs logits, which features of {self.extractor.name} do "
                f"not have: leave it out with ~metrics.metrics.{name}"
            )
        if metric.source == "features":
            metric.allocate(self.extractor.feature_dim)

    def to(self, device: torch.device | str) -> "Suite":
        """Move the extractor and all statistics."""
        self.device = torch.device(device)
        self.extractor.to(self.device)
        for metric in self._scores.values():
            metric.to(self.device)
        return self

    def fit(self, num_images: int) -> str:
        """Compare as many as there are, where the data has fewer than a protocol that may shrink.

        It may where its counts are `reducible`, or all reals against so many. Of the former there
        are then as many generated images as reals. Scores that need more are left out, and the
        answer says all that in one sentence.
        """
        asked, told = self.reducible, f"the data has {num_images:,} images"
        if asked is None or self.num_fake != asked or self.num_real not in (None, asked):
            return ""
        if self.num_real is not None and num_images < asked:
            self.num_real = self.num_fake = self._expected_real = num_images
            told += f", fewer than {asked:,}: scores are of as many of either side"
        elif self.num_real is not None:
            return ""
        left_out = self.unfit(num_images, self.num_fake)
        for name in left_out:
            del self.metrics[name], self._scores[name]
        if not self.metrics:
            raise ValueError(f"no score can be taken of {num_images} images: say scores=null")
        if self.num_real is None and not left_out:
            return ""
        without = "".join(f"; without {name}: {why}" for name, why in left_out.items())
        return (
            f"{told}{without}. So few bias FID upwards and make all scores uncertain: compare "
            "equal counts only"
        )

    def unfit(self, num_real: int | None, num_fake: int) -> dict[str, str]:
        """Name -> why, of the scores that so few images leave undefined."""
        found: dict[str, str] = {}
        for name, metric in self.metrics.items():
            try:
                metric.check_sizes(num_real, num_fake)
            except ValueError as error:
                found[name] = str(error)
        return found

    def check_available(self, num_images: int) -> int:
        """How many real images to feed of the `num_images` there are.

        Raises:
            ValueError: the protocol wants more than there are, and which would fit; or there are
                too few for a score.
        """
        wanted = num_images if self.num_real is None else self.num_real
        if wanted > num_images:
            fake = min(self.num_fake, num_images)
            left_out = self.unfit(num_images, fake)
            without = "".join(f" ~{self.key}.metrics.{name}" for name in left_out)
            way = f"{self.key}.num_real={num_images} {self.key}.num_fake={fake}{without} would fit"
            default = ", and so does metrics=available, the default of train and evaluate"
            raise ValueError(
                f"{self.key}.num_real={wanted} asks for more real images than exist: the data has "
                f"{num_images}. {way}{default if self.key == Suite.key else ''}"
            )
        self.check_sizes(wanted, self.num_fake)
        self._expected_real = wanted
        return wanted

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError, with the score's key, where so few images leave it undefined."""
        for name, why in self.unfit(num_real, num_fake).items():
            key = f"{self.key}.metrics.{name}"
            raise ValueError(f"{key}: {why}; ~{key} leaves it out")

    def check_resolution(self, resolution: int) -> None:
        """Raise ValueError where images of this side, in pixels, are too small for a score."""
        for metric in self.metrics.values():
            metric.check_resolution(resolution)

    def check_channels(self, channels: int) -> None:
        """Raise ValueError where a score's features are not of so many channels."""
        if self._extracts and isinstance(self.extractor, Extractor):
            self.extractor.check_channels(channels)

    def real_indices(self, num_images: int) -> Tensor:
        """Which of the data's images are the reals: ascending, (n,) int64, the same in every run.

        A fixed random subset, as the first n images of a sorted folder are of few classes.
        """
        wanted = self.check_available(num_images)
        order = torch.randperm(num_images, generator=keyed_generator("reals", num_images))
        return order[:wanted].sort().values

    def tell_mirrors(self, num_stored: int | None) -> None:
        """Say that real n + i is the mirror image of real i, n = `num_stored`; None = none is."""
        for metric in self.metrics.values():
            metric.num_stored = num_stored

    @torch.no_grad()
    def update(self, images: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Feed float images in [-1, 1], (N, C, H, W).

        `index`, (N,) int64, is each image's position in its set. Without it the j-th image that
        rank r of w feeds is image `r + w * j`.

        Raises:
            ValueError: features that are not finite, or an output that the extractor lacks.
        """
        chunks = images.split(self.batch_size)
        indices = [None] * len(chunks) if index is None else index.split(self.batch_size)
        for chunk, positions in zip(chunks, indices, strict=True):
            outputs = self._extracted(chunk, "real" if real else "generated")
            for name, metric in self._scores.items():
                metric.update(self._source(outputs, name, metric), real, positions)

    def _extracted(self, images: Tensor, side: str) -> dict[str, Tensor]:
        images = images.to(self.device).float()
        outputs: dict[str, Tensor] = self.extractor(images) if self._extracts else {}
        if outputs and not outputs["features"].isfinite().all():
            raise ValueError(f"{self.extractor.name} features of {side} images are not finite")
        return {**outputs, "images": quantize(images) / 127.5 - 1}

    @property
    def _extracts(self) -> bool:
        """Whether any score is of what the extractor gives."""
        return any(metric.source != "images" for metric in self.metrics.values())

    def _source(self, outputs: Mapping[str, Tensor], name: str, metric: Score) -> Tensor:
        found = metric.source_of(outputs)
        if found is None:
            raise ValueError(
                f"metrics.metrics.{name} needs {metric.source}, which the extractor "
                f"{self.extractor.name} does not give: choose other features="
            )
        return found

    def compute(self) -> dict[str, float]:
        """Every score by its full name.

        Raises:
            ValueError: the images seen, summed over ranks, are not those the names promise.
        """
        self._counted = {side: int(n) for side, n in self._scores[_COUNT].compute().items()}
        expected = {"real": self._expected_real, "fake": self.num_fake}
        for side, count in self._counted.items():
            if expected[side] not in (None, count):
                raise ValueError(
                    f"the scores are named for {expected[side]} {side} images, but {count} were "
                    "seen: feed each image once, over all ranks, without padding"
                )
        found: dict[str, float] = {}
        for name, value in self._values():
            if name in found:
                raise ValueError(f"metrics.metrics gives {name} twice: leave one of the two out")
            found[name] = value
        return found

    def _values(self) -> Iterable[tuple[str, float]]:
        for name, metric in self.metrics.items():
            result = metric.compute()
            parts = result if isinstance(result, dict) else {name: result}
            for part, value in parts.items():
                full = self.name_of(part, metric.protocol, metric.source)
                self._sources[full] = metric.source
                self._say(full, metric.way_of(part))
                yield full, float(value)

    def known_names(self) -> list[str] | None:
        """Full names of what `compute` will give; None where a score cannot tell beforehand.

        `ways` then has theirs.
        """
        names: list[str] = []
        for name, metric in self.metrics.items():
            if metric.parts is None:
                return None
            for part in metric.parts or (name,):
                names.append(self.name_of(part, metric.protocol, metric.source))
                self._say(names[-1], metric.way_of(part))
        return names

    def _say(self, name: str, way: str) -> None:
        if way:
            self.ways[name] = way

    def name_of(self, score: str, protocol: str = "", source: str = "features") -> str:
        """The full name of a score: `fid` -> `fid10k_classifier`."""
        extractor = "" if self.extractor.name == "inception" else self.extractor.name
        space = "pixels" if source == "images" else extractor
        return "_".join(filter(None, (score + self._counts_name(), protocol, space)))

    def _counts_name(self) -> str:
        if self.num_real is None:
            return f"{short_count(self.num_fake)}_full" + "_own" * self.own
        against = "" if self.num_real == self.num_fake else f"_of{short_count(self.num_real)}"
        return short_count(self.num_fake) + against + "_own" * self.own

    def reset(self, real: bool = False) -> None:
        """Forget the fakes, and the reals too if `real`."""
        for metric in self._scores.values():
            metric.reset() if real else metric.reset_fakes()
        self._real_loaded = self._real_loaded and not real

    @property
    def has_real(self) -> bool:
        """Whether statistics of reals are in, from images or from a file."""
        return self._real_loaded or bool(self._scores[_COUNT].real_images)

    def real_state(self) -> dict[str, State]:
        """Statistics of all reals by score, gathered over ranks."""
        return {name: metric.real_state() for name, metric in self._scores.items()}

    def load_real_state(self, state: Mapping[str, State] | None) -> None:
        """Take over `real_state()` of an equal suite: rank 0 holds it all, the others nothing.

        Only rank 0 looks at `state`; the others may pass None.

        Raises:
            ValueError: scores or shapes that are not this suite's.
        """
        self.reset(real=True)
        if rank_and_world()[0] == 0:
            if state is None or set(state) != set(self._scores):
                raise ValueError(f"statistics of {sorted(state or ())}, not {sorted(self._scores)}")
            for name, metric in self._scores.items():
                metric.load_real_state(state[name])
        self._real_loaded = True

    def records(
        self,
        values: Mapping[str, float],  # what `compute` gave
        *,
        seed: int,  # seed of the latents
        images_seen: int,  # reals the generator had been trained on
        truncation: float | None = None,  # psi; None = no truncation
        ema: bool = True,  # whether the averaged generator was scored
    ) -> list[Record]:
        """One record a score, as they stand in result.json. Raises ValueError before `compute`."""
        if self._counted is None:
            raise ValueError("records describe computed scores: call Suite.compute() first")
        stamp: dict[str, Any] = {
            "n_real": self._counted["real"],
            "n_fake": self._counted["fake"],
            "truncation": truncation,
            "ema": ema,
            "seed": seed,
            "images_seen": images_seen,
        }
        return [
            {"metric": name, "value": value, **self._space_of(name), **stamp}
            for name, value in values.items()
        ]

    def _space_of(self, name: str) -> Record:
        """What the images went through before they were compared under this full name."""
        if self._sources.get(name) == "images":
            return {"extractor": "pixels", "extractor_sha256": "", "resize": "none"}
        return {
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "resize": self.extractor.resize,
        }


def short_count(count: int) -> str:
    """A count as in a score's name: 50000 -> `50k`, 64 -> `64`, 1300 -> `1300`."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def _check_counts(num_real: int | None, num_fake: int, batch_size: int) -> None:
    counts = {"num_real": num_real, "num_fake": num_fake, "batch_size": batch_size}
    for key, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"metrics.{key}={count}: must be at least 1")
