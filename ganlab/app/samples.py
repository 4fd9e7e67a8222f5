"""The tab of samples: a contact sheet of a seed's latents, paged, in an order that was counted."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

from ganlab.app.commands import addresses_text, command
from ganlab.app.session import How, Progress, Session
from ganlab.app.view import View
from ganlab.metrics.activation_rate import low_rate
from ganlab.report.figures import npz
from ganlab.report.images import contact_sheet, sheet_cell
from ganlab.sampling import batched
from ganlab.storage.arrays import ArrayArchive
from ganlab.storage.atomic import replace_file
from ganlab.studies.address import addresses
from ganlab.studies.circles.levels import Levels
from ganlab.studies.circles.observation import observe, reading_points
from ganlab.studies.neurons.detection import Ranking, activated_neurons
from ganlab.studies.neurons.layers import early_layers

PER_PAGE, COLUMNS = 24, 6
MOST, MOST_COUNTED = 200, 1_000_000  # images of one sheet, and that are looked at for an order
BY_ADDRESS, BY_NEURONS, BY_CIRCLES = "latent", "low-rate neurons", "circular artifacts"
BY_REALISM = "realism"
RATE = 0.3  # R of the neurons counted (Choi et al. 2022, section 4.1)


def orders_of(session: Session) -> list[str]:
    """By what samples can be ordered: circular artifacts are looked for where there are styles."""
    return [BY_ADDRESS, BY_NEURONS, *([BY_CIRCLES] if session.has_styles else []), BY_REALISM]


def chosen_indices(text: str) -> list[int]:
    """Addresses as typed: `0:24`, `[3,17]` or `3, 17`.

    Raises:
        ValueError: no addresses, or more than one sheet holds.
    """
    bare = text.strip().strip("[]")
    if ":" not in bare:
        words = bare.replace(",", " ").split()
        if not words or not all(word.isdecimal() for word in words):
            raise ValueError(f"latents={text}: give numbers such as 3, 17, or a range such as 0:24")
        found = addresses([int(word) for word in dict.fromkeys(words)], "latents")
    else:
        found = addresses(bare, "latents")
    if len(found) > MOST:
        raise ValueError(f"latents={text} are {len(found):,} images; one sheet holds {MOST}")
    return found


def sheet(session: Session, how: How, indices: list[int], order: str = BY_ADDRESS) -> View:
    """The images of these addresses, each with its number."""
    sampler = session.sampler(how)
    with session.lock:
        images = sampler.images(indices)
    facts = f"latents {addresses_text(indices)} of seed {how.seed}, by {order}; {sampler.stated}"
    line = command(session.ckpt, "samples", {"indices": addresses_text(indices), **how.options})
    return View(contact_sheet(images, list(map(str, indices)), COLUMNS), facts, line)


def index_at(session: Session, indices: list[int], x: int, y: int) -> int | None:
    """The address of the image under a pixel of the sheet; None = beside them."""
    height, width = session.generator.image_size
    cell = sheet_cell(x, y, (height, width), COLUMNS)
    return indices[cell] if cell is not None and cell < len(indices) else None


def page_of(order: Sequence[int], page: int) -> list[int]:
    """The addresses of a page, from 1 on.

    Raises:
        ValueError: there is no such page.
    """
    found = list(order[(page - 1) * PER_PAGE : page * PER_PAGE]) if page >= 1 else []
    if not found:
        last = -(-len(order) // PER_PAGE)
        raise ValueError(f"page={page}: there are pages 1 to {last}")
    return found


def known_order(session: Session, how: How, by: str, num: int) -> Sequence[int] | None:
    """Latents 0 .. num-1 in this order, most first; None where it was not counted yet.

    Raises:
        ValueError: no such order, too few or too many latents, or no reals for realism.
    """
    if not 1 <= num <= MOST_COUNTED or by not in orders_of(session):
        kinds = ", ".join(orders_of(session))
        raise ValueError(f"order={by} of {num} latents: {kinds} of 1 to {MOST_COUNTED:,}")
    if by == BY_ADDRESS:
        return range(num)
    path = order_file(session, how, by, num)
    if session.kept.get(path) is None:
        session.kept[path] = read_order(path, num)
    found: Sequence[int] | None = session.kept[path]
    return found


def count_order(session: Session, how: How, by: str, num: int, progress: Progress) -> Sequence[int]:
    """The same, counted where it was not; kept in the cache. Raises as `known_order`."""
    if (found := known_order(session, how, by, num)) is not None:
        return found
    counting = {BY_NEURONS: count_neurons, BY_CIRCLES: count_circles, BY_REALISM: count_realism}
    scores, path = counting[by](session, how, num, progress), order_file(session, how, by, num)
    index = Ranking.of(scores, how.seed).index
    replace_file(path, npz({"index": index.numpy(), "score": scores.numpy()}))
    order: list[int] = index.tolist()
    session.kept[path] = order
    return order


def order_file(session: Session, how: How, by: str, num: int) -> Path:
    """Where an order is kept."""
    told = "" if how.label is None else f"-class{how.label}"
    if by == BY_REALISM:
        told += f"-{blake2b(session.realism.made_of.encode(), digest_size=8).hexdigest()}"
    return session.cache / f"{by.replace(' ', '-')}-{how.seed}-{num}-{how.noise}{told}.npz"


def read_order(path: Path, num: int) -> list[int] | None:
    """An order that was kept; None where there is none to be read."""
    try:
        order = ArrayArchive(path)["index"]
    except (OSError, ValueError, KeyError):
        return None
    whole = order.dtype == np.int64 and np.array_equal(np.sort(order), np.arange(num))
    return order.tolist() if whole else None


def count_neurons(session: Session, how: How, num: int, progress: Progress) -> torch.Tensor:
    """How many low-rate neurons of the early layers each latent activates, (N,) int64."""
    with session.lock:
        layers = early_layers(session.sampler(how, truncated=False))
    rates = session.count_rates(how, layers, num, progress).rates
    masks = {name: low_rate(rates[name], RATE) for name in layers}
    sampler, found = session.sampler(how, truncated=False), []
    for batch in batched(range(num), sampler.batch_size):
        with session.lock:
            found.append(activated_neurons(sampler, batch, masks))
        progress((batch[-1] + 1) / num, "low-rate neurons")
    return torch.cat(found)


def count_realism(session: Session, how: How, num: int, progress: Progress) -> torch.Tensor:
    """How far inside the reals' manifold each image lies, (N,); see `ImageRealism`."""
    sampler = session.sampler(how, truncated=False)
    progress(0.0, "the reals")

    def batches() -> Iterator[torch.Tensor]:
        for batch in batched(range(num), sampler.batch_size):
            with session.lock:
                images = sampler.batch(batch)
            yield images
            progress((batch[-1] + 1) / num, "realism")

    return session.realism.of(batches(), session.place)


def count_circles(session: Session, how: How, num: int, progress: Progress) -> torch.Tensor:
    """The score of each latent's strongest persisting peak, (N,); 0 = none."""
    sampler, found = replace(session.sampler(how, truncated=False), batch_size=20), []
    points = reading_points(session.generator)
    for batch in batched(range(num), sampler.batch_size):
        with session.lock:
            seen = observe(sampler, batch, points)
        found.append(seen.detect(Levels()).score.cpu())
        progress((batch[-1] + 1) / num, "circular artifacts")
    return torch.cat(found)
