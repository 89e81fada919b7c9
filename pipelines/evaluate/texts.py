"""Texts against the truth: are the kinds, attributes, actions and counts that they name there, and which do they miss."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate.claims import Said
from pipelines.evaluate.matching import pairs, rates
from pipelines.evaluate.truth import Claims, Scenes, Things
from pipelines.scenes.model import GRANULARITIES

Index = NDArray[np.int64]
Flags = NDArray[np.bool_]
FAMILIES: Final = ("objects", "attributes", "actions", "counts")
_STRANGERS: Final = 20  # of the nouns that name no kind, how many are listed
_SPAN: Final = 1 << 20  # more than there are kinds, values, actions or things in an image


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts (n): `image`, `granularity`, `specialist`, and what they say."""

    image: Index
    granularity: NDArray[np.str_]
    specialist: NDArray[np.str_]
    said: Said


class Facts:
    """How many things of a scene have a property; asked for whole columns at once."""

    def __init__(self, things: Things, scenes: Scenes) -> None:
        base = np.column_stack([things.image, things.kind])
        self._kinds = _Counts(base)
        self._clear = _Counts(base[things.clear])
        self._values = _Counts(np.concatenate([np.column_stack([base, value]) for value in scenes.value.T]))
        doing = scenes.action >= 0
        self._actions = _Counts(np.column_stack([base, scenes.action])[doing])

    def right(self, said: Said, image: Index) -> tuple[Flags, Flags, Flags, Flags]:
        """Which of the kinds, attributes, actions and counts that texts of the images `image` claim are true."""
        claims = said.claims

        def scene(rows: Index) -> Index:
            return np.column_stack([image[rows[:, 0]], rows[:, 1:]])

        counted = scene(claims.counts)
        low, high = self._clear.of(counted[:, :2]), self._kinds.of(counted[:, :2])
        return (
            self._kinds.of(scene(claims.kinds)) > 0,
            self._values.of(scene(claims.attributes)) >= said.need,
            self._actions.of(scene(claims.actions)) > 0,
            (low <= counted[:, 2]) & (counted[:, 2] <= high),
        )


def measure_texts(texts: Texts, facts: Facts, scenes: Scenes) -> dict[str, Any]:
    """By granularity: all texts together and those of each specialist."""
    right = facts.right(texts.said, texts.image)
    names = sorted(set(texts.specialist.tolist()))
    table: dict[str, Any] = {}
    for granularity in GRANULARITIES:
        mine = texts.granularity == granularity
        compared = _Compared(texts, mine, right, scenes.claims[granularity])
        by_name = {
            name: compared.measure(texts.specialist == name)
            for name in names
            if (mine & (texts.specialist == name)).any()
        }
        table[granularity] = {"all": compared.measure(mine), "specialists": by_name}
    table["unknown_nouns"] = dict(_most(texts.said.strangers))
    return table


class _Compared:
    """The claims of one granularity's texts and those of the truth's captions, text by text."""

    def __init__(self, texts: Texts, chosen: Flags, right: Sequence[Flags], truth: Claims) -> None:
        self._texts = texts
        self._chosen = chosen
        self._claimed: list[tuple[Index, Flags]] = []
        self._wanted: list[tuple[Index, Flags]] = []
        for mine, hits, theirs in zip(_families(texts.said.claims), right, _families(truth), strict=True):
            self._claimed.append((mine[:, 0], hits))
            rows = np.flatnonzero(chosen)
            i, k = pairs(texts.image[rows], theirs[:, 0])
            wanted = np.column_stack([rows[i], theirs[k, 1:]])
            self._wanted.append((wanted[:, 0], np.isin(_keys(wanted), _keys(mine))))

    def measure(self, who: Flags) -> dict[str, Any]:
        """Rates of each family over the chosen texts of `who` (texts,)."""
        who = who & self._chosen
        found: dict[str, Any] = {"texts": int(who.sum()), "images": len(np.unique(self._texts.image[who]))}
        for name, (text, right), (owner, hit) in zip(FAMILIES, self._claimed, self._wanted, strict=True):
            mine, theirs = who[text], who[owner]
            counts = int(mine.sum()), int(right[mine].sum()), int(theirs.sum()), int(hit[theirs].sum())
            found[name] = rates(*counts)
        found["unknown_nouns"] = int(self._texts.said.unknown[who].sum())
        return found


class _Counts:
    """How often each row of whole numbers (n, columns) occurs."""

    def __init__(self, rows: Index) -> None:
        self._keys, self._counts = np.unique(_keys(rows), return_counts=True)

    def of(self, rows: Index) -> Index:
        """The counts of other rows, 0 for those that do not occur."""
        if not len(self._keys):
            return np.zeros(len(rows), np.int64)
        keys = _keys(rows)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, self._counts[place], 0).astype(np.int64)


def _keys(rows: Index) -> Index:
    """One number a row: the first column up to 2**23, the others below _SPAN."""
    key = rows[:, 0].copy()
    for column in rows.T[1:]:
        key = key * _SPAN + column
    return key


def _families(claims: Claims) -> tuple[Index, Index, Index, Index]:
    return claims.kinds, claims.attributes, claims.actions, claims.counts


def _most(words: Counter[str]) -> list[tuple[str, int]]:
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))[:_STRANGERS]
