"""Train the classifier whose features score small grey images, and write its weights.

    python scripts/train_classifier.py --data /usr/share/datasets/fashion-mnist

Reads the 60,000 training images of Fashion-MNIST (idx files, gzipped), trains with flips, shifts
and both ways to reach 32x32 (padding, resizing), and prints the accuracy on the 10,000 test images
together with the file's sha256. The test images are never trained on. About four minutes on two
CPU threads; the same seed and machine give the same file.
"""

import argparse
import gzip
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.features.classifier import EMBEDDED, Classifier, Network
from ganlab.features.pixels import resized_antialiased
from ganlab.features.weights import sha256_of


def idx(path: Path) -> Tensor:
    """Content of a gzipped idx file of unsigned bytes: images (N, H, W) or labels (N,)."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    pixels = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    return torch.from_numpy(pixels.reshape(tuple(dimensions)).copy())


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """28x28 bytes (N, 28, 28) as (N, 1, 32, 32) in [-1, 1]: flipped, sized and shifted at random.

    Half the batches are padded to 32x32 and half resized; shifts are up to 2 pixels.
    """
    images = images.float().unsqueeze(1)
    flip = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    images = torch.where(flip, images.flip(3), images)
    resized = bool(torch.rand((), generator=generator) < 0.5)
    images = resized_antialiased(images, 32, "bilinear") if resized else F.pad(images, [2] * 4)
    return _shifted(images, 2, generator) / 127.5 - 1


def _shifted(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    padded = F.pad(images, [reach] * 4).squeeze(1)  # (N, 36, 36)
    offsets = torch.randint(0, 2 * reach + 1, (2, len(images), 1), generator=generator)
    rows = (offsets[0] + torch.arange(32)).unsqueeze(2)  # (N, 32, 1)
    columns = (offsets[1] + torch.arange(32)).unsqueeze(1)  # (N, 1, 32)
    samples = torch.arange(len(images)).view(-1, 1, 1)
    return padded[samples, rows, columns].unsqueeze(1)


def trained(images: Tensor, labels: Tensor, epochs: int, batch_size: int, seed: int) -> Network:
    """Train with AdamW, a warm-up and a cosine to zero, on cross-entropy with smoothed labels."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=0.02)
    steps = epochs * (len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i / steps))
    for epoch in range(epochs):
        start, losses = time.perf_counter(), []
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: len(order) // batch_size * batch_size].split(batch_size):
            inputs = augmented(images[rows], generator).contiguous(
                memory_format=torch.channels_last
            )
            loss = F.cross_entropy(network(inputs)[1], labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.4f}, {seconds:.0f} s", flush=True
        )
    return network.eval()


def _rate(progress: float) -> float:
    """Learning rate at a share of the training: linear to 4e-3 in the first 15%, then a cosine."""
    return 4e-3 * min(progress / 0.15, 0.5 + 0.5 * math.cos(math.pi * progress))


def accuracy(extractor: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of (N, 28, 28) byte images whose highest logit is their label's."""
    batches = (images.unsqueeze(1) / 127.5 - 1).split(500)
    guesses = torch.cat([extractor(batch)["logits"].argmax(1) for batch in batches])
    return (guesses == labels).float().mean().item()


def main() -> None:
    """Train, write, and report what the written file scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=EMBEDDED)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, labels = (
        idx(options.data / f"train-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1")
    )
    network = trained(images, labels.long(), options.epochs, options.batch_size, options.seed)
    state = {
        k: v.half().contiguous() for k, v in network.state_dict().items() if v.is_floating_point()
    }
    torch.save(state, options.out)
    images, labels = (
        idx(options.data / f"t10k-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1")
    )
    score = accuracy(Classifier(options.out), images, labels)
    print(f"{options.out}: {options.out.stat().st_size} bytes, sha256 {sha256_of(options.out)}")
    print(f"accuracy on the {len(images)} test images: {100 * score:.2f}%")


if __name__ == "__main__":
    main()
