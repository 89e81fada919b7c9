"""The compiled loops of the search for near-duplicates. Import this module late: numba costs a quarter of a second."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
_INDEX = np.uint64(0xFFFFFFFF)
_KEY = np.uint64(32)
_BYTE, _BYTE_BITS = np.uint64(0xFF), np.uint64(8)
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
def key_of(value: np.uint64, table: U32) -> np.uint64:
    """The chosen bits side by side, the first one the highest of 32: `table` (8, 256) has what each byte gives."""
    key = np.uint64(0)
    for byte in range(8):
        key |= np.uint64(table[byte, np.intp(value & _BYTE)])
        value >>= _BYTE_BITS
    return key


@_kernel
def halves(column: U64 | U32, order: U32, flip: np.uint64, shift: np.uint64) -> U64:
    """half << 32 | i, of the 32 bits from `shift` on of column[order[i]] ^ flip: (n,)."""
    found = np.empty(len(order), np.uint64)
    for i in range(len(order)):
        found[i] = (((np.uint64(column[order[i]]) ^ flip) >> shift) & _INDEX) << _KEY | np.uint64(i)
    return found


@_kernel
def reorder(order: U32, halves: U64) -> None:
    """`order` (n,) as `halves` are ordered; these are spent."""
    for i in range(len(order)):
        halves[i] = order[np.intp(halves[i] & _INDEX)]
    for i in range(len(order)):
        order[i] = np.uint32(halves[i])


@_kernel
def distinct(hashes: U64, rows: U32) -> tuple[U64, U32]:
    """The distinct values (d,) of hashes (n,) that `rows` (n,) sort, and where in `rows` each begins, and n: (d + 1,)."""
    n, count, last = len(rows), 1, hashes[rows[0]]
    for row in rows:
        count += hashes[row] != last
        last = hashes[row]
    values, runs = np.empty(count, np.uint64), np.empty(count + 1, np.uint32)
    count = 0
    for i in range(n):
        value = hashes[rows[i]]
        if i == 0 or value != values[count - 1]:
            values[count], runs[count] = value, i
            count += 1
    runs[count] = n
    return values, runs


@_kernel
def spread(values: U64, rows: U32, runs: U32, keeper: U32) -> tuple[U32, NDArray[np.uint8]]:
    """For each row (n,) the row that stays for it, and their distance, from `keeper` (d,) of the distinct `values`."""
    original, distance = np.empty(len(rows), np.uint32), np.empty(len(rows), np.uint8)
    for k in range(len(values)):
        stays, far = rows[runs[keeper[k]]], differing(values[k], values[keeper[k]])
        for i in range(runs[k], runs[k + 1]):
            original[rows[i]], distance[rows[i]] = stays, far
    return original, distance


@_kernel
def varying(values: U64) -> np.uint64:
    """The bits that are not the same in all values (n,), n > 0."""
    found = np.uint64(0)
    for value in values:
        found |= value ^ values[0]
    return found


@_kernel
def part_sizes(values: U64, table: U32, parts: int) -> NDArray[np.int64]:
    """How many values (n,) have a key in each of so many equal ranges of keys: (parts,)."""
    sizes = np.zeros(parts, np.int64)
    for value in values:
        sizes[np.intp((key_of(value, table) * np.uint64(parts)) >> _KEY)] += 1
    return sizes


@_kernel
def keyed(values: U64, table: U32, part: int, parts: int, size: int) -> U64:
    """key << 32 | position, of the `size` values whose key lies in that part: (size,)."""
    found, count = np.empty(size, np.uint64), 0
    for i in range(len(values)):
        key = key_of(values[i], table)
        if np.intp((key * np.uint64(parts)) >> _KEY) == part:
            found[count] = (key << _KEY) | np.uint64(i)
            count += 1
    return found


@_kernel
def root(parent: U32, i: np.uint32) -> np.uint32:
    """The lowest member of the set of i; paths are halved on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@_kernel
def unite(parent: U32, i: np.uint32, j: np.uint32) -> None:
    """Two sets become one; its root is its lowest member, so the order of calls does not show."""
    a, b = root(parent, i), root(parent, j)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@_kernel
def united(parent: U32, ids: U32) -> bool:
    """All of `ids` (n,), n > 0, are in one set already: comparing them would say nothing new."""
    first = root(parent, ids[0])
    for i in ids:  # noqa: SIM110  numba has no generators in all()
        if root(parent, i) != first:
            return False
    return True


@_kernel
def unite_all(values: U64, ids: U32, radius: int, parent: U32) -> None:
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
def unite_runs(sorted_keys: U64, values: U64, ids: U32, radius: int, crowd: int, parent: U32) -> NDArray[np.int64]:
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
def flatten(parent: U32) -> None:
    """Every member points at its root."""
    for i in range(len(parent)):
        parent[i] = root(parent, np.uint32(i))


@_kernel
def group_sizes(parent: U32) -> U32:
    """How many members the group of each root has (d,); 0 where a hash is alone or no root."""
    sizes = np.zeros(len(parent), np.uint32)
    for i in range(len(parent)):
        sizes[parent[i]] += np.uint32(1)
    for i in range(len(parent)):
        if sizes[i] == 1:
            sizes[i] = 0
    return sizes


@_kernel
def groups_within(sizes: U32, lo: int, most: int) -> tuple[int, int]:
    """The end of the roots from `lo` on whose groups have at most `most` members together, or are one; and how many."""
    count, hi = 0, lo
    while hi < len(sizes) and (count == 0 or count + sizes[hi] <= most):
        count += int(sizes[hi])
        hi += 1
    return hi, count


@_kernel
def members(parent: U32, sizes: U32, lo: int, hi: int, count: int) -> U32:
    """The `count` members of the groups with roots lo .. hi - 1."""
    found, k = np.empty(count, np.uint32), 0
    for i in range(len(parent)):
        if lo <= parent[i] < hi and sizes[parent[i]] > 0:
            found[k] = i
            k += 1
    return found


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
def choose_by_keys(values: U64, tables: U32, slots: int, radius: int, keeper: NDArray[np.int64]) -> None:
    """`choose` for one large group: those that stay are found by keys, `tables` (keys, 8, 256).

    `slots`: log2 of the number of chains for each key. Pages of the index that no hash that stays falls on are never
    touched, so they take no memory.
    """
    n, keys = len(values), len(tables)
    kept, count = np.empty(n, np.uint32), 0
    heads = np.zeros((keys, 1 << slots), np.uint32)  # 1 + the place among those that stay, 0 at the end of a chain
    older = np.empty((keys, n), np.uint32)
    place = np.empty(keys, np.intp)
    shift = np.uint64(64 - slots)
    for i in range(n):
        found = count
        for c in range(keys):
            key = key_of(values[i], tables[c])
            place[c] = np.intp((key * np.uint64(0x9E3779B97F4A7C15)) >> shift)  # Fibonacci hashing
            k = int(heads[c, place[c]])
            while k > 0:
                if k <= found and differing(values[kept[k - 1]], values[i]) <= radius:
                    found = k - 1
                k = int(older[c, k - 1])
        if found == count:
            for c in range(keys):
                older[c, count] = heads[c, place[c]]
                heads[c, place[c]] = count + 1
            kept[count] = i
            count += 1
        keeper[i] = kept[found]
