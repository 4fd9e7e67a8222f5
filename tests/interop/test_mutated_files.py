"""Bytes of each format's files changed at random: the file is read, or refused in one line."""

import io
import re

import genforce_networks
import pickled
import pytest
import stylegan2_files
import test_bmsg_gan
import test_nvidia_stylegan3 as stylegan3_files
import test_nvidia_tensorflow as tensorflow_files
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutations
from safetensors.torch import save
from tutorial_networks import discriminator, generator, lively, state

from ganlab.interop.ganlab_safetensors import content_of
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.conversion import inference_state
from ganlab.runs.recipes import rebuild_system


def saved(content):
    """By torch as before archives, in which no checksum finds a changed byte."""
    buffer = io.BytesIO()
    plain = {key: {n: v.clone() for n, v in part.items()} for key, part in content.items()}
    torch.save(plain, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def stylegan2(folder):
    networks = {
        "G_ema": stylegan2_files.persistent("G", stylegan2_files.nvidia_generator(8)[0], {}),
        "D": stylegan2_files.persistent("D", stylegan2_files.nvidia_discriminator(8)[0], {}),
    }
    return stylegan2_files.write_nvidia(folder / "made.pkl", **networks).read_bytes()


def stylegan3(folder):
    network = stylegan3_files.generator(stylegan3_files.drawn(labels=3), 3)
    return stylegan3_files.written(folder / "made.pkl", {"G_ema": network}).read_bytes()


def tensorflow(_):
    network = tensorflow_files.stylegan_network(genforce_networks.stylegan_generator(16))
    critic = genforce_networks.stylegan_discriminator(16)
    critic = {"variables": tensorflow_files.discriminator_variables(critic)}
    return pickled.tensorflow_bytes([network, critic, network])


def genforce(_):
    g, d = stylegan2_files.genforce_generator(8)[0], stylegan2_files.genforce_discriminator(8)[0]
    return saved({"generator_smooth": g, "discriminator": d})


def hammer(_):
    g = stylegan2_files.genforce_generator(8, labels=2, hammer=True)[0]
    return saved({"generator_smooth": g})


def rosinality(_):
    g = stylegan2_files.rosinality_generator(8)[0]
    return saved({"g_ema": g, "d": stylegan2_files.rosinality_discriminator(8)[0]})


def pggan(_):
    networks = genforce_networks.pggan_generator(16), genforce_networks.pggan_discriminator(16)
    return saved(dict(zip(("generator_smooth", "discriminator"), networks, strict=True)))


def msg_gan(_):
    g, d = test_bmsg_gan.generator_state(), test_bmsg_gan.discriminator_state()
    return saved({"generator": g, "discriminator": d})


def dcgan(_):
    return saved({"netG": state(lively(generator())), "netD": state(lively(discriminator()))})


def tensors_by_name(_):
    return save(state(lively(generator())))


def ours(folder):
    (folder / "theirs").write_bytes(rosinality(folder))
    return content_of(inference_state(open_checkpoint(folder / "theirs")))


MADE = (
    *(stylegan2, stylegan3, tensorflow, genforce, hammer, rosinality, pggan, msg_gan, dcgan),
    *(tensors_by_name, ours),
)


def corrupted(sample):
    """Some bytes anywhere, or in its names and texts, replaced by some others."""
    texts = [
        place for found in re.finditer(rb"[\w./ ]{4,}", sample) for place in range(*found.span())
    ]
    places = st.one_of(st.integers(0, len(sample) - 1), st.sampled_from(texts))
    letters = st.sampled_from([b"", b"0", b"9", b"_", b".", b"b4", b"weight"])
    return mutations(sample, places, st.one_of(st.binary(max_size=4), letters), most=4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* has no checksum")
@pytest.mark.parametrize("make", MADE)
def test_a_changed_file_is_read_or_refused(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    sample = make(folder)
    (folder / "whole").write_bytes(sample)
    rebuild_system(open_checkpoint(folder / "whole"), [])

    @settings(
        max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(corrupted(sample))
    def read_or_refused(content):
        (folder / "file").write_bytes(content)
        said = ""
        try:
            rebuild_system(open_checkpoint(folder / "file"), [])
        except ValueError as error:
            said = str(error)
        assert "\n" not in said

    read_or_refused()
