"""Files of which some bytes were replaced, as hypothesis draws them."""

from hypothesis import strategies as st


def mutations(sample, places=None, new=None, most=6):
    """The bytes of a sample with up to four at some places, up to `most` times, made others."""
    places = st.integers(0, len(sample) - 1) if places is None else places
    new = st.binary(max_size=4) if new is None else new
    changes = st.lists(st.tuples(places, new, st.integers(0, 4)), min_size=1, max_size=most)

    def mutated(changed):
        content = bytearray(sample)
        for place, others, length in changed:
            content[place : place + length] = others
        return bytes(content)

    return changes.map(mutated)
