"""The compiled loops of the search for near-duplicates. Import this module late: numba costs a quarter of a second."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
U64 = NDArray[np.uint64]
_INDEX = np.uint64(0xFFFFFFFF)
_KEY = np.uint64(32)
_FEW = 16


def _kernel(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True)(function))


@_kernel
def differing(a: np.uint64, b: np.uint64) -> int:
    """In how many bits two hashes differ (the compiler makes one instruction of it)."""
    x = a ^ b
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@_kernel
def key_of(value: np.uint64, bits: U64) -> np.uint64:
    """The chosen bits (at most 32) side by side."""
    key = np.uint64(0)
    for bit in bits:
        key = (key << np.uint64(1)) | ((value >> bit) & np.uint64(1))
    return key


@_kernel
def varying(values: U64) -> np.uint64:
    """The bits that are not the same in all values (n,), n > 0."""
    found = np.uint64(0)
    for value in values:
        found |= value ^ values[0]
    return found


@_kernel
def part_sizes(values: U64, bits: U64, parts: int) -> NDArray[np.int64]:
    """How many values (n,) have a key in each of so many equal ranges of keys: (parts,)."""
    sizes = np.zeros(parts, np.int64)
    width = np.uint64(len(bits))
    for value in values:
        sizes[np.int64((key_of(value, bits) * np.uint64(parts)) >> width)] += 1
    return sizes


@_kernel
def keyed(values: U64, bits: U64, part: int, parts: int, size: int) -> U64:
    """key << 32 | position, of the `size` values whose key lies in that part: (size,)."""
    found = np.empty(size, np.uint64)
    width, count = np.uint64(len(bits)), 0
    for i in range(len(values)):
        key = key_of(values[i], bits)
        if np.int64((key * np.uint64(parts)) >> width) == part:
            found[count] = (key << _KEY) | np.uint64(i)
            count += 1
    return found


@_kernel
def root(parent: NDArray[np.uint32], i: np.uint32) -> np.uint32:
    """The lowest member of the set of i; paths are halved on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@_kernel
def unite(parent: NDArray[np.uint32], i: np.uint32, j: np.uint32) -> None:
    """Two sets become one; its root is its lowest member, so the order of calls does not show."""
    a, b = root(parent, i), root(parent, j)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@_kernel
def united(parent: NDArray[np.uint32], ids: NDArray[np.uint32]) -> bool:
    """All of `ids` (n,), n > 0, are in one set already: comparing them would say nothing new."""
    first = root(parent, ids[0])
    for i in ids:  # noqa: SIM110  numba has no generators in all()
        if root(parent, i) != first:
            return False
    return True


@_kernel
def unite_all(values: U64, ids: NDArray[np.uint32], radius: int, parent: NDArray[np.uint32]) -> None:
    """Unite every pair of values (n,) within the radius; `ids` (n,) are their places in `parent`.

    Of many, one is compared with all others, each that is near with those that are left, and so on: at most all pairs,
    and few where many are near.
    """
    n = len(values)
    if n <= _FEW:
        for a in range(n):
            for b in range(a + 1, n):
                if differing(values[a], values[b]) <= radius:
                    unite(parent, ids[a], ids[b])
        return
    if united(parent, ids):
        return
    left, names, waiting, count = values.copy(), ids.copy(), np.empty(n, np.uint64), n
    while count > 0:
        count -= 1
        reached, name = 1, names[count]
        waiting[0] = left[count]
        while reached > 0:
            reached -= 1
            value, k = waiting[reached], 0
            while k < count:
                if differing(value, left[k]) <= radius:
                    unite(parent, name, names[k])
                    waiting[reached] = left[k]
                    reached += 1
                    count -= 1
                    left[k], names[k] = left[count], names[count]
                else:
                    k += 1


@_kernel
def unite_runs(
    sorted_keys: U64, values: U64, ids: NDArray[np.uint32], radius: int, crowd: int, parent: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """`unite_all` for each run of equal keys, as `keyed` gives them, sorted. No `ids` means 0 .. n - 1.

    Returns:
        bounds (runs, 2) of those with more than `crowd` members, which are left out.
    """
    n, start = len(sorted_keys), 0
    crowded = [(0, 0) for _ in range(0)]
    near = np.empty(crowd, np.uint64)
    names = np.empty(crowd, np.uint32)
    while start < n:
        end = start + 1
        while end < n and sorted_keys[end] >> _KEY == sorted_keys[start] >> _KEY:
            end += 1
        if end - start > crowd:
            crowded.append((start, end))
        elif end - start > 1:
            for k in range(start, end):
                i = np.uint32(sorted_keys[k] & _INDEX)
                near[k - start] = values[i]
                names[k - start] = ids[i] if len(ids) else i
            unite_all(near[: end - start], names[: end - start], radius, parent)
        start = end
    bounds = np.empty((len(crowded), 2), np.int64)
    for k in range(len(crowded)):
        bounds[k, 0], bounds[k, 1] = crowded[k]
    return bounds


@_kernel
def flatten(parent: NDArray[np.uint32]) -> None:
    """Every member points at its root."""
    for i in range(len(parent)):
        parent[i] = root(parent, np.uint32(i))


@_kernel
def choose(values: U64, offsets: NDArray[np.int64], radius: int, most: int, keeper: NDArray[np.int64]) -> None:
    """Greedy choice in each group offsets[g]:offsets[g+1] of at most `most` values (n,), best first.

    `keeper` (n,) gets the position of the one that stays: its own, or the best that stays within the radius.
    """
    kept = np.empty(most, np.int64)
    for g in range(len(offsets) - 1):
        if offsets[g + 1] - offsets[g] > most:
            continue
        count = 0
        for i in range(offsets[g], offsets[g + 1]):
            found = i
            for k in range(count):
                if differing(values[kept[k]], values[i]) <= radius:
                    found = kept[k]
                    break
            keeper[i] = found
            if found == i:
                kept[count] = i
                count += 1


@_kernel
def choose_by_keys(
    values: U64, bits: U64, starts: NDArray[np.int64], slots: int, radius: int, keeper: NDArray[np.int64]
) -> None:
    """`choose` for one large group: those that stay are found by the keys bits[starts[c]:starts[c+1]].

    `slots`: log2 of the number of chains for each key.
    """
    n, keys = len(values), len(starts) - 1
    heads = np.full((keys, 1 << slots), -1, np.int32)
    older = np.empty((keys, n), np.int32)
    place = np.empty(keys, np.int64)
    shift = np.uint64(64 - slots)
    for i in range(n):
        found = i
        for c in range(keys):
            key = key_of(values[i], bits[starts[c] : starts[c + 1]])
            place[c] = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> shift)  # Fibonacci hashing
            k = int(heads[c, place[c]])
            while k >= 0:
                if k < found and differing(values[k], values[i]) <= radius:
                    found = k
                k = int(older[c, k])
        keeper[i] = found
        if found == i:
            for c in range(keys):
                older[c, i] = heads[c, place[c]]
                heads[c, place[c]] = i
