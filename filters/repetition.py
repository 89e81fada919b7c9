"""Filters of texts that say the same again: loops of a captioner, and what is written in the image."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from filters.decision import Decision, first, reject
from filters.registry import FilterConfig, declare
from filters.texts import TextColumns, words_of

I64 = NDArray[np.int64]


class Repetition(FilterConfig):
    """Loops of the same words."""

    max_copies: int = Field(
        2, ge=1, description="how often the same 1 to `longest` words may stand one after another (our choice)"
    )
    longest: int = Field(8, ge=1, description="words of the longest loop that is looked for (our choice)")
    max_share: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="share of runs of four words that the text had before, anywhere (the measure of Gopher's data set, "
        "Rae et al. 2021, table A1; value our choice for shorter texts)",
    )


class Echo(FilterConfig):
    """Texts that read the image aloud."""

    max_share: float = Field(
        0.8, ge=0.0, le=1.0, description="share of a text's words that may be written in the image (our choice)"
    )


@declare("texts", "repetition", Repetition, source="kind: Rae et al. 2021; values our choice")
def repetition(texts: TextColumns, config: Repetition) -> Decision:
    """Reject texts that loop: the same words again and again, or mostly what was said before."""
    ids, offsets, words = words_of(texts.text)
    copies = _copies(ids, offsets, config.longest)
    share = _said_before(ids, offsets, len(words))
    return first(
        [
            reject(copies > config.max_copies, "repetition", copies, config.max_copies),
            reject(share > config.max_share, "repetition", share, config.max_share),
        ]
    )


@declare("texts", "echo", Echo, source="our choice")
def echo(texts: TextColumns, config: Echo) -> Decision:
    """Reject texts that only repeat what is written in the image."""
    everything = pa.concat_arrays([texts.text.cast(pa.string()), texts.readings.cast(pa.string())])
    ids, offsets, words = words_of(everything)
    n, size = len(texts), np.diff(offsets)
    image = np.concatenate([texts.image, texts.reading_image]).astype(np.int64)
    key = np.repeat(image, size) * (len(words) + 1) + ids
    split = int(offsets[n])
    written = np.isin(key[:split], key[split:])
    count = size[:n]
    share = np.bincount(np.repeat(np.arange(n), count)[written], minlength=n) / np.maximum(count, 1)
    return reject(share > config.max_share, "echo", share, config.max_share)


def _copies(ids: I64, offsets: I64, longest: int) -> I64:
    """How often each text (n,) says the same words in a row, at most, over runs of 1 to `longest` words."""
    n = len(offsets) - 1
    text = np.repeat(np.arange(n), np.diff(offsets))
    most = np.minimum(np.diff(offsets), 1)
    for lag in range(1, longest + 1):
        same = (ids[lag:] == ids[:-lag]) & (text[lag:] == text[:-lag])
        edge = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        begin, length = edge[::2], edge[1::2] - edge[::2]
        np.maximum.at(most, text[begin], 1 + length // lag)
    return most


def _said_before(ids: I64, offsets: I64, n_words: int, width: int = 4) -> NDArray[np.float64]:
    """The share of each text's (n,) runs of `width` words that stand in it before."""
    n = len(offsets) - 1
    text = np.repeat(np.arange(n), np.diff(offsets))
    count = max(0, len(ids) - width + 1)
    whole = np.flatnonzero(text[:count] == text[width - 1 :][:count])
    owner = text[whole]
    run = owner
    for place in range(width):  # numbers of runs, one word longer each time
        _, earliest, run = np.unique(run * n_words + ids[whole + place], return_index=True, return_inverse=True)
    total = np.bincount(owner, minlength=n)
    new = np.bincount(owner[earliest], minlength=n)
    return np.asarray((total - new) / np.maximum(total, 1))
