"""Pack Fashion-MNIST's test split into ganlab/data/fashion_mnist.png.

    python scripts/pack_fashion_mnist.py /usr/share/datasets/fashion-mnist

A lossless mosaic, row k the 1,000 images of class k in their published order, with the labels of
all 10,000 in a text chunk. Sorted by class it takes 3.9 MB; the published gzip file has 4.4 MB and
xz, which some Python builds lack, would need 3.7 MB.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ganlab.data.download import unpack
from ganlab.data.idx import SHA256, read_embedded, read_idx


def main() -> None:
    """Read the two published files, write the mosaic, read it back and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds t10k-images-idx3-ubyte.gz and its labels")
    folder = parser.parse_args().folder
    images, labels = (
        read_idx(unpack(folder / f"{name}.gz", SHA256[name]), folder)
        for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    )
    tiles = images[np.argsort(labels, kind="stable")].reshape(10, 1000, 28, 28)
    text = PngImagePlugin.PngInfo()
    text.add_text("labels", "".join(map(str, labels)), zip=True)
    text.add_text("Copyright", "2017 Zalando SE, MIT License: see fashion_mnist.LICENSE")
    target = Path(__file__).parents[1] / "ganlab" / "data" / "fashion_mnist.png"
    mosaic = tiles.transpose(0, 2, 1, 3).reshape(280, 28_000)
    Image.fromarray(mosaic).save(target, optimize=True, pnginfo=text)
    assert all(map(np.array_equal, read_embedded(), (images, labels)))
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
