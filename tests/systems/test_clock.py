import pytest

from ganlab.systems.clock import crossed


@pytest.mark.parametrize("batch", [1, 7, 13, 64, 100])
@pytest.mark.parametrize("every", [100, 101, 250, 999])
def test_a_walk_crosses_each_multiple_once(batch, every):
    events = [at + batch for at in range(0, 10_000, batch) if crossed(at, at + batch, every)]
    end = -(-10_000 // batch) * batch
    assert len(events) == end // every
    for number, at in enumerate(events, start=1):  # each event is the first moment at or past it
        assert at - batch < number * every <= at


def test_the_boundary_belongs_to_the_batch_that_reaches_it():
    assert crossed(64, 128, 128)
    assert not crossed(128, 192, 128)


def test_a_large_batch_is_one_event():
    assert crossed(0, 1000, 10)
