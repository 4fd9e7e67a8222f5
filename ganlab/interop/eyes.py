"""`ckpt=eyes`: a conditional DCGAN of painted eyes, 128x128 in colour, trained by somebody else.

The package omniart-eye-generator 0.1 (Rogier Knoester, MIT) carries its weights: a bare state of
the generator, without a word on its labels, which are the eye's colours, beside the latent.
"""

from ganlab.features.packaged import Packaged
from ganlab.interop.foreign import ForeignFile

COLOURS = ("amber", "blue", "brown", "gray", "grayscale", "green", "hazel", "red")  # labels 0 to 7
PACKAGE = Packaged(
    name="eyes",
    requirement="omniart-eye-generator==0.1",
    megabytes=48,
    wheel="omniart_eye_generator-0.1-py3-none-any.whl",
    wheel_sha256="e21910eb2ea8ce1eeadd037454fafd5bb7cee28cee7ed07f14d897b67971fd74",
    member="omniart_eye_generator/generator_model_state.pth",
    member_sha256="dd486abbd738bfe3d28ddd46987bec11e3842ddcc8c28ccc5251b52c6ecf4da0",
    licence="MIT (c) 2019 Rogier Knoester",
    origin="omniart-eye-generator==0.1; eyes cut from the paintings of OmniArt",
)


def open_weights() -> ForeignFile:
    """The weights, fetched if this machine lacks them; raises what `Packaged.content` does."""
    content = {
        "generator": PACKAGE.content(),
        "num_labels": len(COLOURS),
        "class_names": [*COLOURS],
    }
    return ForeignFile(PACKAGE.name, content, PACKAGE.source)
