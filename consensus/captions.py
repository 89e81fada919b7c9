"""How far the texts about one image agree: a stand-in for how far they can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_NOT_WORD = r"[^\p{L}\p{N}']+"


@dataclass(frozen=True, slots=True)
class Agreement:
    """`mean` (texts,) is the mean token F1 with the group's other texts (NaN: there is no other);
    `closest` (texts, specialists) the highest F1 with a text of each specialist (NaN: it has none in the group;
    of its author it is 1)."""

    mean: F64
    closest: F64


def agreement(
    texts: Sequence[str] | pa.Array,
    groups: NDArray[np.integer],
    specialists: NDArray[np.integer],
    n_specialists: int,
) -> Agreement:
    """Token F1 between every two texts of a group, summed up for each text.

    `groups` (texts,) numbers what is compared (one image and granularity), `specialists` (texts,) the authors. Tokens
    are lower-case runs of letters, digits and apostrophes; F1 is 2 * shared / (both lengths), repeated words counted.
    The text with the highest mean is the one of minimum Bayes risk under the loss 1 - F1 with every text equally
    probable (Kumar and Byrne 2004); the choice of F1, which needs no corpus, is ours.
    """
    from consensus import kernels

    ids, offsets = _tokens(pa.array(texts, pa.string()) if not isinstance(texts, pa.Array | pa.ChunkedArray) else texts)
    group = np.asarray(groups, np.int64)
    order = np.argsort(group, kind="stable")
    if np.array_equal(order, np.arange(len(order))):
        sorted_ids, sorted_offsets = ids, offsets
    else:
        lengths = np.diff(offsets)[order]
        ends = np.cumsum(lengths)
        sorted_ids = ids[np.arange(len(ids)) + np.repeat(offsets[:-1][order] - (ends - lengths), lengths)]
        sorted_offsets = np.concatenate([[0], ends]).astype(np.int64)
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1)) if len(group) else np.zeros(1)
    mean, closest = kernels.agree(
        sorted_ids, sorted_offsets, bounds.astype(np.int64), np.asarray(specialists, np.int64)[order], n_specialists
    )
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return Agreement(mean[back], closest[back])


def known_mean(parts: Sequence[F64]) -> F64:
    """The mean of those parts (n,) that are known: (n,), NaN where none is."""
    known = np.sum(~np.isnan(parts), axis=0)
    return np.where(known > 0, np.nansum(parts, axis=0) / np.maximum(known, 1), np.nan)


def worth(groups: NDArray[np.integer], parts: Sequence[F64], similarity: F64, kept: NDArray[np.bool_]) -> F64:
    """What a text is worth beside the others of its group: (texts,) in 0..1, 0 where nothing is known.

    The mean of what is known of it: the `parts` (texts,) in 0..1, and its similarity to the image between the lowest
    (0) and highest (1) of the group's `kept` texts, since scorers have scales of their own. Equal weights are our
    choice.
    """
    n = int(np.max(groups, initial=-1)) + 1
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    np.fmin.at(low, groups[kept], similarity[kept])
    np.fmax.at(high, groups[kept], similarity[kept])
    span = (high - low)[groups]
    scaled = np.where(span > 0, (similarity - low[groups]) / np.where(span > 0, span, 1.0), np.nan)
    return np.nan_to_num(known_mean([*parts, scaled]))


def _tokens(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted word numbers of every text, flat, and offsets (texts + 1,)."""
    words = pc.split_pattern_regex(pc.utf8_lower(pc.fill_null(texts, "")), _NOT_WORD)
    if isinstance(words, pa.ChunkedArray):
        words = words.combine_chunks()
    of = np.repeat(np.arange(len(words)), pc.list_value_length(words).to_numpy(zero_copy_only=False))
    flat = words.flatten()
    real = pc.not_equal(flat, "").to_numpy(zero_copy_only=False).astype(bool)
    encoded = pc.dictionary_encode(flat)
    ids, of = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)[real], of[real]
    order = np.lexsort((ids, of))
    counts = np.bincount(of, minlength=len(words))
    return ids[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
