"""What an mp4 says of its film, read from its boxes (ISO/IEC 14496-12) without any library."""

import struct
from dataclasses import dataclass
from fractions import Fraction

INSIDE = ("moov", "trak", "mdia", "minf", "stbl")


@dataclass
class Film:
    frames: int
    fps: Fraction
    width: int
    height: int


def boxes(data):
    """Name -> contents of each box, those inside of others too; of one name the first."""
    found, at = {}, 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", data[at + 8 : at + 16])[0], 16
        body = data[at + head : at + size]
        inner = boxes(body) if name.decode() in INSIDE else {}
        found = {**inner, name.decode(): body, **found}
        at += size
    return found


def film(path):
    """The only track of a file."""
    found = boxes(path.read_bytes())
    width, height = (side >> 16 for side in struct.unpack(">II", found["tkhd"][-8:]))
    (scale,) = struct.unpack(">I", found["mdhd"][12:16])  # ticks a second; version 0
    (frames,) = struct.unpack(">I", found["stsz"][8:12])
    count, ticks = struct.unpack(">II", found["stts"][8:16])
    assert count == frames, "all frames are equally long"
    return Film(frames, Fraction(scale, ticks), width, height)
