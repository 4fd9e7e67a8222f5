"""Files that ask for what none may have; as a script it refuses them and prints what that cost.

Each is `(bytes, what the refusal says)`. Instructions are written out by hand, since Python's own
pickler writes no such thing.
"""

import io
import json
import pickle
import resource
import signal
import struct
import sys
import zipfile
from pathlib import Path

import torch

SECONDS = 5.0  # of computing that a refusal may take
HEAD = b"\x80\x02"  # PROTO 2
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def doubled(first, combine, times):
    """A value that holds itself twice at each of many levels."""
    body = first + b"q\x000"
    for _ in range(times):
        body += b"h\x00" * 2 + combine + b"q\x000"
    return body + b"h\x00"


def zipped(pickled, **storages):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in storages.items():
            archive.writestr(f"a/data/{name.removeprefix('s')}", data)
    return buffer.getvalue()


def tensor(number, size, stride, offset=0):
    """A pickle of one tensor on storage 0."""
    identity = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    identity += pickle.dumps(number, 2)[2:-1] + b"tQ"
    parts = b"".join(pickle.dumps(each, 2)[2:-1] for each in (offset, size, stride, False))
    body = b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + parts + b"}tR"
    return HEAD + body + b"."


def nested(content):
    body = b"ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(content)) + content
    return HEAD + body + b"tR."


def legacy(pickled, keys=(), data=b""):
    return MAGIC + SYSTEM + pickled + pickle.dumps(list(keys), 2) + data


def files(marker):
    """Name -> (content, words of its refusal); one tries to write to `marker`."""
    writing = pickle.dumps(Calls(exec, f"open({str(marker)!r}, 'w')"), 4)
    whole = io.BytesIO()
    torch.save({"a": torch.ones(9)}, whole, _use_new_zipfile_serialization=False)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1, 2))
        archive.writestr("a/data/0", bytes(2**24))
    cut = whole.getvalue()
    deep = HEAD + b"]" * 100_000 + b"a" * 99_999 + b"."
    strided = zipped(tensor(4, (10**5, 10**5), (0, 0)), s0=bytes(16))
    return {
        "exec": (writing, "builtins.exec"),
        "os.system": (HEAD + b"cos\nsystem\n" + text("true") + b"\x85R.", "os.system"),
        "posix": (HEAD + b"cposix\nsystem\n" + text("true") + b"\x85R.", "posix.system"),
        "getattr": (HEAD + b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        "Python 2": (HEAD + b"c__builtin__\neval\n" + text("1") + b"\x85R.", "__builtin__.eval"),
        "torch.load": (HEAD + b"ctorch.serialization\nload\n.", "torch.serialization.load"),
        "torch.hub": (HEAD + b"ctorch.hub\nload\n.", "torch.hub.load"),
        "jit": (HEAD + b"ctorch.jit\nload\n.", "torch.jit.load"),
        "numpy": (HEAD + b"cnumpy.testing._private.utils\nrunstring\n.", "runstring"),
        "attributes": (HEAD + text("builtins") + text("__import__") + b"\x93.", "__import__"),
        "in a zip": (zipped(writing), "builtins.exec"),
        "in a storage": (nested(writing), "builtins.exec"),
        "in a storage of torch's": (nested(legacy(writing)), "builtins.exec"),
        "in a file of torch's": (legacy(writing), "builtins.exec"),
        "twice within": (nested(nested(b"")), "more than once"),
        "no storage": (nested(legacy(pickle.dumps(5, 2))), "something else than numbers"),
        "an old protocol": (b"cos\nsystem\n(S'true'\ntR.", "neither as an archive nor as a pickle"),
        "INST": (HEAD + b"(ios\nsystem\n.", "instruction INST"),
        "extension": (HEAD + b"\x82\x01.", "instruction EXT1"),
        "cut short": (cut[: len(cut) // 2], "cut short"),
        "cut in the numbers": (cut[:-3], "cut short"),
        "another magic": (
            pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1002, 2) + SYSTEM,
            "first numbers",
        ),
        "empty": (b"", "neither as an archive"),
        "compressed": (bomb.getvalue(), "compressed"),
        "shape of 10^9": (zipped(tensor(4, (10**9,), (1,)), s0=bytes(16)), "fewer numbers"),
        "storage of 10^9": (zipped(tensor(10**9, (4,), (1,)), s0=bytes(16)), "fewer than its"),
        "stride 0": (strided, "fewer numbers"),
        "beyond its end": (zipped(tensor(4, (2, 2), (2, 2)), s0=bytes(16)), "fewer numbers"),
        "behind its end": (zipped(tensor(4, (4,), (1,), 1), s0=bytes(16)), "fewer numbers"),
        "before its start": (zipped(tensor(4, (4,), (1,), -1), s0=bytes(16)), "a shape in it"),
        "many dimensions": (zipped(tensor(4, (1,) * 99, (1,) * 99), s0=bytes(16)), "a shape in it"),
        "memo": (HEAD + b"Nr" + struct.pack("<I", 40_000_000) + b".", "numbers a value 40,000,000"),
        "long text": (HEAD + b"X" + struct.pack("<I", 2**31) + b"abc", "cut short"),
        "long bytes": (HEAD + b"\x8e" + struct.pack("<Q", 2**40) + b"abc", "cut short"),
        "huge number": (HEAD + b"\x8b" + struct.pack("<i", 999) + b"\x01" * 999 + b".", "digits"),
        "frame": (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.", "a frame of"),
        "deep lists": (deep, "nested too deeply"),
        "doubled lists": (HEAD + doubled(b"]", b"\x86", 100) + b".", "nested too deeply"),
        "doubled keys": (HEAD + b"}" + doubled(b"N\x85", b"\x86", 60) + b"Ns.", "a key in it"),
        "holds itself": (HEAD + b"]q\x00h\x00a.", "holds itself"),
        "instructions": (HEAD + b"N0" * 3_000_000 + b"N.", "instructions"),
        "one storage, many tensors": (many_views(), "more memory"),
        "objects in an array": (
            HEAD + b"cnumpy\ndtype\n" + text("O8") + b"\x85R.",
            "of 'O8', not of numbers",
        ),
        "a large array": (
            HEAD
            + b"cnumpy.core.multiarray\n_reconstruct\n)R"
            + b"(K\x01" + pickle.dumps((10**9,), 2)[2:-1]
            + b"cnumpy\ndtype\n" + text("f4") + b"\x85R\x89" + text("abcd") + b"tb.",
            "an array in it of shape",
        ),
    }  # fmt: skip


def many_views():
    """Thousands of tensors, each as large as the one storage."""
    one = tensor(2**18, (2**18,), (1,))[2:-1]
    return zipped(HEAD + b"(" + one * 1000 + b"t.", s0=bytes(2**20))


if __name__ == "__main__":
    from ganlab.storage.untrusted import read_untrusted

    folder = Path(sys.argv[1])
    found = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i, (name, (content, _)) in enumerate(files(folder / "written").items()):
        path = folder / f"{i}.pkl"
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # past which this process is ended
        try:
            read_untrusted(path)
            said = None
        except ValueError as error:
            said = str(error)
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        found[name] = said, SECONDS - left, megabytes
    print(json.dumps(found))
