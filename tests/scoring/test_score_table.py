"""The table of scores says how each was measured."""

from ganlab.scoring.scoring import score_table


def record(metric, extractor, **other):
    counts = {"n_real": 50, "n_fake": 40, "seed": 0, "images_seen": 1000}
    return {
        "metric": metric,
        "value": 1.5,
        "extractor": extractor,
        "resize": "r",
        **counts,
        **other,
    }


def test_scores_of_one_protocol_share_a_note():
    found = score_table([record("fid40", "classifier"), record("kid40", "classifier")])
    assert found.rows == [{"images_seen": 1000, "seed": 0, "fid40": 1.5, "kid40": 1.5}]
    (note,) = found.notes
    assert note.startswith("40 generated against 50 real images; extractor classifier")


def test_scores_of_unlike_protocols_are_told_apart():
    pixels = record("swd40_pixels", "pixels", mirror=True)
    first, second = score_table([record("fid40", "classifier"), pixels]).notes
    assert first.startswith("fid40: ")
    assert "classifier" in first
    assert second.startswith("swd40_pixels: ")
    assert "pixels" in second
    assert "reals mirrored" in second
