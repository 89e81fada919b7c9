"""Printed words: how many were read, and how much of what was read is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.geometry import quad_to_box
from pipelines.evaluate.matching import areas, one_to_one, pairs, share, shared_area
from pipelines.evaluate.truth import Words

CLEAR_VISIBILITY: Final = 0.95  # of a word that a reader can be asked for: nothing of it is hidden …
CLEAR_HEIGHT: Final = 12.0  # … and it is so many pixels high
_INSIDE: Final = 0.5  # of a word's box that must lie in the box of the reading
_EDGES: Final = "\"'“”‘’.,:;!?()[]"  # not part of a word at its edges


@dataclass(frozen=True, slots=True)
class Readings:
    """What a reader read (n): `image` (n,), `texts` n, `quads` (n, 8) in pixels; a text may hold several words."""

    image: NDArray[np.int64]
    texts: Sequence[str]
    quads: NDArray[np.float64]


def measure_reading(readings: Readings, words: Words) -> dict[str, Any]:
    """Word accuracy and precision, case-sensitively and not."""
    return {"case_sensitive": _measure(readings, words, fold=False), "any_case": _measure(readings, words, fold=True)}


def _measure(readings: Readings, words: Words, fold: bool) -> dict[str, Any]:
    read = [_split(text, fold) for text in readings.texts]
    line = np.repeat(np.arange(len(read)), [len(parts) for parts in read]).astype(np.int64)
    tokens = [word for parts in read for word in parts]
    wanted = [_plain(text, fold) for text in words.texts]
    code = {text: i for i, text in enumerate(sorted({*tokens, *wanted}))}
    left, right = (np.array([code[text] for text in texts], np.int64) for texts in (tokens, wanted))
    i, k = pairs(readings.image[line] * len(code) + left, words.image * len(code) + right)
    lines, places = (quad_to_box(q.astype(np.float32)).astype(np.float64) for q in (readings.quads, words.quads))
    overlap = shared_area(lines[line[i]], places[k]) / np.maximum(areas(places[k]), 1e-9)
    near = overlap >= _INSIDE
    kept = one_to_one(i[near], k[near], overlap[near], np.zeros(len(tokens)))
    found = np.zeros(len(wanted), np.bool_)
    found[k[near][kept]] = True
    clear = (words.visibility >= CLEAR_VISIBILITY) & (words.height >= CLEAR_HEIGHT)
    return {
        "accuracy": share(int(found[clear].sum()), int(clear.sum())),
        "accuracy_all": share(int(found.sum()), len(found)),
        "precision": share(len(kept), len(tokens)),
        "words": int(clear.sum()), "words_all": len(found), "read": len(tokens), "right": len(kept),
    }  # fmt: skip


def _split(text: str | None, fold: bool) -> list[str]:
    return [plain for word in (text or "").split() if (plain := _plain(word, fold))]


def _plain(word: str, fold: bool) -> str:
    plain = word.strip(_EDGES)
    return plain.casefold() if fold else plain
