"""Train one of the two small classifiers of Fashion-MNIST, and write its weights.

    python scripts/train_classifier.py
    python scripts/train_classifier.py --network fashion_vgg --epochs 8 --threads 1

The features of the first score small grey images; the second has the stages that a semantic
pyramid mirrors. Reads Fashion-MNIST (Debian's copy, `--data`, or a download), trains on its 60,000
training images with flips, shifts and both ways to reach 32x32 (padding, resizing), and prints the
file's sha256 and its accuracy on the 10,000 test images, which are never trained on. About four
minutes on two CPU threads with bfloat16 instructions, and as many on one. Another processor or
torch gives other last digits, so a new file comes with a new `SHA256` in the network's file under
`ganlab/features`.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.data.idx import FashionMNIST
from ganlab.features import Classifier, Extractor, FashionVGG, classifier, fashion_vgg
from ganlab.features.pixels import resize_antialiased
from ganlab.features.weights import sha256_of

NUM_TRAIN = 60_000  # the training split comes first in the full set
REACH = 2  # pixels an image is shifted at most, each way
NETWORKS: dict[str, tuple[ModuleType, type[Classifier] | type[FashionVGG]]] = {
    "classifier": (classifier, Classifier),
    "fashion_vgg": (fashion_vgg, FashionVGG),
}
PEAK_RATE, WARM_UP = 4e-3, 0.15  # highest learning rate; share of the training until it is reached


def fashion_mnist(path: Path | None) -> tuple[Tensor, Tensor]:
    """All 70,000 images (N, 1, 28, 28) in bytes and labels (N,), the training split first."""
    source = FashionMNIST(path, full=True)
    source.prepare()
    arrays = source.open()
    return torch.from_numpy(arrays.images).unsqueeze(1), torch.as_tensor(arrays.labels)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Bytes (N, 1, 28, 28) as (N, 1, 32, 32) in [-1, 1]: flipped, sized and shifted at random.

    A batch as a whole is either padded to 32x32 or resized, with equal chance.
    """
    images = images.float()
    flip = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    images = torch.where(flip, images.flip(3), images)
    resized = bool(torch.rand((), generator=generator) < 0.5)
    images = resize_antialiased(images, 32, "bilinear") if resized else F.pad(images, [2] * 4)
    return shifted(images, generator) / 127.5 - 1


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each (1, 32, 32) image moved by up to `REACH` pixels, black coming in."""
    padded = F.pad(images, [REACH] * 4).squeeze(1)  # (N, 36, 36)
    offsets = torch.randint(0, 2 * REACH + 1, (2, len(images), 1), generator=generator)
    rows = (offsets[0] + torch.arange(32)).unsqueeze(2)  # (N, 32, 1)
    columns = (offsets[1] + torch.arange(32)).unsqueeze(1)  # (N, 1, 32)
    samples = torch.arange(len(images)).view(-1, 1, 1)
    return padded[samples, rows, columns].unsqueeze(1)


def trained(
    build: Callable[[], nn.Module],  # the untrained network: images -> (features, logits)
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int,
    seed: int,
) -> nn.Module:
    """Train with AdamW on cross-entropy with smoothed labels, the matrix work in bfloat16."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    steps = epochs * (len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: rate(i / steps))
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: len(order) // batch_size * batch_size].split(batch_size):
            inputs = augmented(images[rows], generator)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(network(inputs)[1], labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * batch_size / len(images)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}/{epochs}: loss {total:.4f}, {seconds:.0f} s", flush=True)
    return network.eval()


def rate(progress: float) -> float:
    """Share of the peak learning rate: the lower of a linear warm-up and a cosine to zero."""
    return min(progress / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * progress))


def accuracy(extractor: Extractor, images: Tensor, labels: Tensor) -> float:
    """Share of images, bytes (N, 1, 28, 28), whose highest logit is their label's."""
    batches = (images / 127.5 - 1).split(500)
    guesses = torch.cat([extractor(batch)["logits"].argmax(1) for batch in batches])
    return (guesses == labels).float().mean().item()


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="classifier")
    parser.add_argument("--data", type=Path, help="folder with Fashion-MNIST's idx files")
    parser.add_argument("--out", type=Path, help="the file of weights; default: the embedded one")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train, write, and report what the written file scores."""
    options = arguments()
    module, extractor = NETWORKS[options.network]
    out = options.out or module.EMBEDDED
    torch.set_num_threads(options.threads)
    images, labels = fashion_mnist(options.data)
    training = images[:NUM_TRAIN], labels[:NUM_TRAIN]
    settings = options.epochs, options.batch_size, options.seed
    state = trained(module.Network, *training, *settings).state_dict()
    halves = {k: v.half().contiguous() for k, v in state.items() if v.is_floating_point()}
    torch.save(halves, out)
    score = accuracy(extractor(out), images[NUM_TRAIN:], labels[NUM_TRAIN:])
    print(f"{out}: {out.stat().st_size} bytes, sha256 {sha256_of(out)}")
    print(f"accuracy on the test images: {100 * score:.2f}%")


if __name__ == "__main__":
    main()
