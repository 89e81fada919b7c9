"""Near-duplicates among millions of 64-bit perceptual hashes: exact within a Hamming radius, whatever the hashes.

*Which copy stays.* Images are taken best first (of equally good ones the first row). One stays unless a better one
that stays is within the radius; then it is a copy of the best such one. So no two that stay are within the radius of
each other, every copy is within the radius of the one it is said to copy, and chains of small steps do not pull in what
is far. The answer is a function of the rows alone. The rule is our choice.

*How.* Equal hashes become one. If two hashes of which the bits are dealt to radius + k bands differ in at most `radius`
bits, at least k bands are equal (the pigeonhole principle; with k = 1 it is multi-index hashing: M. Norouzi, A. Punjani,
D. J. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012). So for every choice of k bands the
hashes are sorted by these bits, and within a run of equal bits all pairs are compared; pairs that are near are united
into groups. k, and which bits make a band, follow from the hashes themselves (a sample): bits that vary little are
spread evenly. A run that is still crowded is searched in the same way by the bits in which it varies. Nothing is stored
for a pair, so neither crowds nor many near pairs cost memory. Then the rule is applied within each group; in a large one
those that stay are found by the same kind of keys.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
MAX_RADIUS: Final = 10
_CROWD: Final = 4096  # all pairs of so many are compared in the time that planning anything better takes
_PART: Final = 1 << 24  # hashes sorted at once: 128 MiB
_GROUPS: Final = 1 << 22  # hashes in the groups that are decided at once
_SAMPLE: Final = 1 << 14
_MOST_KEYS: Final = 600
_INDEX_BYTES: Final = 1 << 30
_KEY_COST: Final = 100.0  # what handling one hash for one key costs, in units of comparing one pair; measured
_DESCENDING: Final = (1 << 63) - 1  # flips signed numbers to unsigned ones in the other order


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows that are copies (m,), ascending; the row that each is a copy of, which stays (m,); and their distance."""

    rows: NDArray[np.int64]
    originals: NDArray[np.int64]
    distances: NDArray[np.uint8]


def near_duplicates(hashes: U64, worth: NDArray[np.integer], radius: int) -> Copies:
    """The copies among `hashes` (n,), n < 2**31, by the rule above; more `worth` (n,) is better.

    Both columns may be memory-mapped files. Beside their pages, memory is about 25 bytes a hash and a quarter of a GiB;
    the answer takes 17 bytes a copy of it. A group of more than 4 million hashes that hang together by small steps takes
    about 50 bytes more for each of them, and its index 4 to 12 for each key and each hash that stays.

    Raises:
        ValueError: the columns differ in length, or the radius is not 0 .. 10.
    """
    from filters import near_kernels as kernels

    if hashes.shape != worth.shape or not 0 <= radius <= MAX_RADIUS:
        raise ValueError(
            f"near-duplicates need columns of one length and a radius of 0 to {MAX_RADIUS}, got {hashes.shape}, "
            f"{worth.shape} and {radius}"
        )
    if len(hashes) < 2:
        return Copies(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    given, value = np.asarray(hashes), np.asarray(worth, np.int64)
    rows = np.arange(len(given), dtype=np.uint32)
    _sort_by(rows, value.view(np.uint64), _DESCENDING)
    _sort_by(rows, given)
    values, runs = kernels.distinct(given, rows)  # of equal hashes the best row is the first of its run
    _let_go(hashes)
    keeper = np.arange(len(values), dtype=np.uint32)
    if radius:
        _unite(values, np.zeros(0, np.uint32), radius, keeper)
        _choose(keeper, values, rows, runs, value, radius)
    original, distance = kernels.spread(values, rows, runs, keeper)
    del rows, values, runs, keeper
    copies = np.flatnonzero(original != np.arange(len(original), dtype=np.uint32))
    return Copies(copies, original[copies].astype(np.int64), distance[copies])


def _let_go(column: U64) -> None:
    """Pages of a file that is mapped for reading need not stay in memory, where the system can be told so."""
    if isinstance(column.base, mmap.mmap) and not column.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        column.base.madvise(mmap.MADV_DONTNEED)


def _sort_by(order: U32, column: U64 | U32, flip: int = 0) -> None:
    """Sort positions `order` (n,) in place by (column ^ flip)[order]; equal ones stay as they stand.

    Half a value at a time stands beside the position, in one number: 8 bytes a row, and faster than `argsort`.
    """
    from filters import near_kernels as kernels

    for shift in range(0, 8 * column.itemsize, 32):
        halves = kernels.halves(column, order, np.uint64(flip), np.uint64(shift))
        halves.sort()
        kernels.reorder(order, halves)


def _choose(parent: U32, values: U64, rows: U32, runs: U32, worth: NDArray[np.int64], radius: int) -> None:
    """Apply the rule within each group of distinct hashes (d,), some whole groups at a time.

    `parent` (d,) are the groups as sets, and becomes the position of the one that stays for each; runs[i] is where the
    rows of a hash begin in `rows`, the best first.
    """
    from filters import near_kernels as kernels

    kernels.flatten(parent)
    sizes, lo = kernels.group_sizes(parent), 0
    while lo < len(sizes):
        hi, count = kernels.groups_within(sizes, lo, _GROUPS)
        members = kernels.members(parent, sizes, lo, hi, count)
        best = rows[runs[members]]
        order = np.arange(count, dtype=np.uint32)
        _sort_by(order, best)
        _sort_by(order, worth[best].view(np.uint64), _DESCENDING)
        _sort_by(order, parent[members])
        members = members[order]
        chosen = _chosen(values[members], parent[members], radius)
        parent[members] = members[chosen]  # and `members` will not find them again: no later root stays for them
        lo = hi


def _chosen(values: U64, groups: U32, radius: int) -> NDArray[np.int64]:
    """The rule in each run of equal `groups` (n,), best first: the position of the one that stays for each."""
    from filters import near_kernels as kernels

    bounds = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1], [True]]))
    chosen = np.arange(len(values), dtype=np.int64)
    kernels.choose(values, bounds, radius, _CROWD, chosen)
    for g in np.flatnonzero(np.diff(bounds) > _CROWD):
        lo, hi = int(bounds[g]), int(bounds[g + 1])
        chosen[lo:hi] = lo + _chosen_among(values[lo:hi], radius)
    return chosen


def _unite(values: U64, ids: U32, radius: int, parent: U32) -> None:
    """Unite in `parent` all pairs of distinct `values` (n,) within the radius; no `ids` means 0 .. n - 1."""
    from filters import near_kernels as kernels

    names = ids if len(ids) else parent
    keys = _keys(values, radius, _MOST_KEYS)
    if keys is None:
        kernels.unite_all(values, names, radius, parent)
        return
    for bits in keys:
        parts, table = -(-len(values) // _PART), _table(bits)
        sizes = kernels.part_sizes(values, table, parts) if parts > 1 else [len(values)]
        for part, size in enumerate(sizes):
            keyed = kernels.keyed(values, table, part, parts, int(size))
            keyed.sort()
            crowded = kernels.unite_runs(keyed, values, ids, radius, _CROWD, parent)
            runs = [(keyed[lo:hi] & np.uint64(0xFFFFFFFF)).astype(np.uint32) for lo, hi in crowded]
            del keyed
            for run in runs:
                named = names[run] if len(ids) else run
                if not kernels.united(parent, named):
                    _unite(values[run], named, radius, parent)


def _chosen_among(values: U64, radius: int) -> NDArray[np.int64]:
    """The rule in one large group (n,), best first: the position of the one that stays for each."""
    from filters import near_kernels as kernels

    chosen = np.arange(len(values), dtype=np.int64)
    most = max(radius + 1, min(_MOST_KEYS, _INDEX_BYTES // (12 * len(values))))
    keys = _keys(values, radius, most)
    if keys is None:
        kernels.choose(values, np.array([0, len(values)]), radius, len(values), chosen)
        return chosen
    tables = np.stack([_table(bits) for bits in keys])
    kernels.choose_by_keys(values, tables, len(values).bit_length(), radius, chosen)
    return chosen


# ---- which bits to sort by ---------------------------------------------------------------------------------


def _keys(values: U64, radius: int, most: int) -> list[U64] | None:
    """Bits to sort by, so that hashes within the radius agree in at least one of the keys; None: compare all pairs.

    The cheapest by an estimate from a sample, with at most `most` keys.
    """
    from filters import near_kernels as kernels

    n = len(values)
    sample = np.ascontiguousarray(values[:: -(-n // _SAMPLE)])
    bits = _by_balance(sample, int(kernels.varying(values)))
    best, cheapest = None, n * n / 2.0
    for bands in range(radius + 1, len(bits) + 1):
        count = comb(bands, radius)
        if count > most or count * n * _KEY_COST > cheapest:
            break
        keys = list(_combined(bits, bands, bands - radius))
        if max(map(len, keys)) > 32:
            break
        cost = count * n * (_KEY_COST + _pairs(sample, keys) * n / 2.0)
        if cost < cheapest:
            best, cheapest = keys, cost
    return best


def _by_balance(sample: U64, varying: int) -> U64:
    """The bits set in `varying`, those first that split the sample most evenly."""
    bits = np.array([bit for bit in range(64) if varying >> bit & 1], np.uint64)
    ones = np.array([np.count_nonzero(sample >> bit & np.uint64(1)) for bit in bits]) / len(sample)
    return bits[np.argsort(np.abs(ones - 0.5), kind="stable")]


def _combined(bits: U64, bands: int, chosen: int) -> Iterator[U64]:
    """Bits dealt to and fro to so many bands, and every choice of `chosen` of them."""
    turn = np.arange(len(bits)) % (2 * bands)
    band = np.minimum(turn, 2 * bands - 1 - turn)
    for choice in combinations(range(bands), chosen):
        yield bits[np.isin(band, choice)]


def _table(bits: U64) -> U32:
    """What each value of each byte of a hash gives to the key of these bits (at most 32): (8, 256).

    The first bit is the highest; keys are 32 bits wide, so those of fewer bits have a tail of zeros.
    """
    table, byte = np.zeros((8, 256), np.uint32), np.arange(256)
    for place, bit in enumerate(bits.tolist()):
        table[bit // 8] |= ((byte >> bit % 8 & 1) << 31 - place).astype(np.uint32)
    return table


def _pairs(sample: U64, keys: list[U64]) -> float:
    """The part of all pairs that agree in a key, over a few of the keys."""
    from filters import near_kernels as kernels

    few = list(islice(keys, 0, None, max(1, len(keys) // 4)))
    agreeing = 0.0
    for bits in few:
        found = np.sort(kernels.keyed(sample, _table(bits), 0, 1, len(sample)) >> np.uint64(32))
        runs = np.diff(np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1], [True]]))).astype(np.float64)
        agreeing += float((runs * (runs - 1.0)).sum())
    return agreeing / max(len(few) * len(sample) * (len(sample) - 1.0), 1.0)
