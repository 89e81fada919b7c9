"""Near-duplicates: exactly what the rule says, whatever the hashes look like."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import near_duplicates as search
from filters.near_duplicates import near_duplicates


def by_the_rule(hashes, areas, radius):
    """Each image, best first, against all better ones that stay: {copy: (original, distance)}."""
    hashes, stays, copies = np.asarray(hashes, np.uint64), [], {}
    others = np.empty(len(hashes), np.uint64)
    for row in sorted(range(len(hashes)), key=lambda i: (-int(areas[i]), i)):
        distances = np.bitwise_count(others[: len(stays)] ^ hashes[row])
        near = np.flatnonzero(distances <= radius)
        if len(near):
            copies[row] = (stays[near[0]], int(distances[near[0]]))
        else:
            others[len(stays)] = hashes[row]
            stays.append(row)
    return copies


def found(hashes, areas, radius):
    copies = near_duplicates(np.asarray(hashes, np.uint64), np.asarray(areas, np.int64), radius)
    assert np.all(np.diff(copies.rows) > 0)
    pairs = zip(copies.originals.tolist(), copies.distances.tolist(), strict=True)
    return dict(zip(copies.rows.tolist(), pairs, strict=True))


def flips(rng, count):
    return np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)


def scattered(rng, count):
    """Half random, half copies of those with up to nine bits changed."""
    own = rng.integers(0, 2**64, count // 2, dtype=np.uint64)
    copies = rng.choice(own, count - len(own))
    for changes in range(9):
        some = rng.random(len(copies)) < changes / 9
        copies[some] ^= flips(rng, some.sum())
    return rng.permutation(np.concatenate([own, copies]))


def crowded(rng, count):
    """Flat drawings: all in 16 bits, so nearly every hash is near many others."""
    hashes = np.zeros(count, np.uint64)
    for bit in rng.permutation(64)[:16].astype(np.uint64):
        hashes |= rng.integers(0, 2, count, dtype=np.uint64) << bit
    return hashes


def filmed(rng, count):
    """Frames of a film: one bit from the frame before, so everything hangs together and little is near."""
    return np.bitwise_xor.accumulate(flips(rng, count))


def sparse_crowd(rng, count):
    """Half random, half with 44 bits in common, so that runs of equal bits are long and hold hardly a pair."""
    own = rng.integers(0, 2**64, count, dtype=np.uint64)
    own[::2] >>= np.uint64(44)
    return own


@pytest.mark.parametrize("radius", [0, 1, 4, 8])
@pytest.mark.parametrize("made", [scattered, crowded, filmed, sparse_crowd])
def test_it_is_what_the_rule_says(made, radius):
    rng = np.random.default_rng(radius)
    hashes, areas = made(rng, 6000), rng.integers(1, 20, 6000)
    assert found(hashes, areas, radius) == by_the_rule(hashes, areas, radius)


# Few distinct bits, so that hashes meet; the largest radius and equal areas among them.
words = st.lists(st.sampled_from([0, 1, 3, 7, 2**63, 2**64 - 1, 0xFF00, 0xFF0F, 0xF0F0F0F0F0F0F0F0]), max_size=40)


@settings(max_examples=100, deadline=None)
@given(words, st.integers(0, 10), st.data())
def test_small_and_degenerate_ones_too(hashes, radius, data):
    areas = data.draw(st.lists(st.integers(1, 3), min_size=len(hashes), max_size=len(hashes)))
    assert found(hashes, areas, radius) == by_the_rule(hashes, areas, radius)


def test_many_of_one_colour_are_copies_of_the_largest():
    hashes, areas = np.zeros(1_000_000, np.uint64), np.ones(1_000_000, np.int64)
    areas[[70, 7000]] = 2
    copies = near_duplicates(hashes, areas, 6)
    assert len(copies.rows) == 999_999
    assert set(copies.originals.tolist()) == {70}
    assert not copies.distances.any()


def test_a_chain_of_small_steps_does_not_reach_far():
    hashes = [0, 0b1, 0b11, 0b111, 0b1111]
    assert found(hashes, [9, 8, 7, 6, 5], 2) == {1: (0, 1), 2: (0, 2), 4: (3, 1)}
    # The largest is in the middle: all are near it.
    assert found(hashes, [8, 7, 9, 6, 5], 2) == {0: (2, 2), 1: (2, 1), 3: (2, 1), 4: (2, 2)}


@pytest.mark.parametrize(("limit", "value"), [("_PART", 1000), ("_GROUPS", 50), ("_CROWD", 20), ("_INDEX_BYTES", 1)])
@pytest.mark.parametrize("radius", [1, 4])
def test_what_millions_need_changes_nothing(monkeypatch, limit, value, radius):
    """More hashes than are sorted at once, more in groups than are decided at once, runs too crowded for all pairs, and
    no room for an index: here with few."""
    rng = np.random.default_rng(3)
    hashes = np.concatenate([scattered(rng, 3000), crowded(rng, 2000), filmed(rng, 1000), sparse_crowd(rng, 2000)])
    areas = rng.integers(1, 20, len(hashes))
    monkeypatch.setattr(search, limit, value)
    assert found(hashes, areas, radius) == by_the_rule(hashes, areas, radius)


def test_columns_may_lie_on_disk(tmp_path):
    rng = np.random.default_rng(4)
    hashes, areas = scattered(rng, 5000), rng.integers(1, 20, 5000)
    hashes.tofile(tmp_path / "hashes")
    areas.tofile(tmp_path / "areas")
    mapped = np.memmap(tmp_path / "hashes", np.uint64, "r"), np.memmap(tmp_path / "areas", np.int64, "r")
    assert found(*mapped, 4) == found(hashes, areas, 4)


@pytest.mark.parametrize(("areas", "radius"), [([1, 1], 4), ([1, 1, 1], -1), ([1, 1, 1], 11)])
def test_what_cannot_be_meant_is_refused(areas, radius):
    with pytest.raises(ValueError, match="near-duplicates need columns of one length and a radius of 0 to 10"):
        near_duplicates(np.zeros(3, np.uint64), np.array(areas), radius)
