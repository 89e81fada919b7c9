"""Which noun phrases are not worth looking for in an image."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from engine.errors import ConfigError
from filters.decision import Decision, below, reject
from filters.registry import Chosen, choose

PhraseChecks = Annotated[Chosen, BeforeValidator(partial(choose, "phrases"))]


@dataclass(frozen=True, slots=True)
class PhraseColumns:
    """The columns that a declared filter of phrases is given, for n noun phrases.

    `phrase` (n,): as written; `head` (n,): lemma of its head noun; `number` (n,): how many things it asks for, 0 for a
    plural that does not say; `text` (n,): the id of the text that it stands in.
    """

    phrase: pa.Array
    head: pa.Array
    number: NDArray[np.int64]
    text: pa.Array

    def __len__(self) -> int:
        return len(self.phrase)


class PhraseFilterConfig(BaseModel):
    """What a phrase must be. The paper names a blacklist and a phrase threshold and publishes neither."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blacklist_version: int = Field(
        default=1,
        description="version of filters/data/phrase_blacklist.toml (paper section 4.3 names a list; words our choice)",
    )
    also_blacklisted: tuple[str, ...] = Field(
        default=(),
        description="more phrases to reject, compared in lower case without a leading determiner (our choice: none)",
    )
    also_blacklisted_heads: tuple[str, ...] = Field(
        default=(),
        description='lemmas of more head nouns to reject whatever stands before them: "sky" rejects "a blue sky" (our '
        "choice: none)",
    )
    allowed: tuple[str, ...] = Field(
        default=(),
        description="phrases or head lemmas to take off the shipped list, compared in the same way (our choice: none)",
    )
    max_words: int = Field(
        default=12, ge=1, description="most words of a phrase; longer ones are parser errors (our choice)"
    )
    checks: PhraseChecks = Field(
        default={}, validate_default=True, description="settings of the declared filters of phrases, by name"
    )


@dataclass(frozen=True, slots=True)
class Blacklist:
    """Lower-case words: whole `phrases` without determiner, and lemmas of `heads`."""

    version: int
    determiners: frozenset[str]
    phrases: frozenset[str]
    heads: frozenset[str]


@cache
def shipped_blacklist() -> Blacklist:
    """The list in `filters/data/phrase_blacklist.toml`, which documents itself."""
    with files("filters").joinpath("data", "phrase_blacklist.toml").open("rb") as file:
        raw = tomllib.load(file)
    sections = [value for value in raw.values() if isinstance(value, dict)]
    return Blacklist(
        raw["version"],
        frozenset(raw["determiners"]),
        frozenset(word for section in sections for word in section.get("phrases", ())),
        frozenset(word for section in sections for word in section.get("heads", ())),
    )


def blacklist(config: PhraseFilterConfig) -> Blacklist:
    """The shipped list with the user's changes.

    Raises:
        ConfigError: the configuration asks for a version that is not the shipped one.
    """
    shipped = shipped_blacklist()
    if config.blacklist_version != shipped.version:
        raise ConfigError(
            f"filters.phrases.blacklist_version is {config.blacklist_version}, but this release ships version "
            f"{shipped.version} of the phrase blacklist. Set it to {shipped.version}, or install the release you want."
        )
    phrases, heads, allowed = (
        frozenset(_without_determiners(pa.array(words, pa.string()), shipped.determiners).to_pylist())
        for words in (config.also_blacklisted, config.also_blacklisted_heads, config.allowed)
    )
    return Blacklist(
        shipped.version,
        shipped.determiners,
        (shipped.phrases - allowed) | phrases,
        (shipped.heads - allowed) | heads,
    )


def blacklisted(phrases: Sequence[str] | pa.Array, heads: Sequence[str] | pa.Array, words: Blacklist) -> Decision:
    """Reject phrases (n) of the list, or whose head lemma (n) is on it."""
    plain = _without_determiners(pa.array(phrases, pa.string()), words.determiners)
    lemma = pc.utf8_lower(pc.fill_null(pa.array(heads, pa.string()), ""))
    found = pc.or_(
        pc.is_in(plain, value_set=pa.array(sorted(words.phrases), pa.string())),
        pc.is_in(lemma, value_set=pa.array(sorted(words.heads), pa.string())),
    )
    return reject(_flags(found), "blacklist")


def without_noun(upos: Sequence[str] | pa.Array) -> Decision:
    """Reject phrases whose head's Universal part of speech (n) is none of NOUN, PROPN and PRON."""
    found = pc.is_in(pa.array(upos, pa.string()), value_set=pa.array(["NOUN", "PROPN", "PRON"], pa.string()))
    return reject(~_flags(found), "no noun")


def pronoun(upos: Sequence[str] | pa.Array) -> Decision:
    """Reject phrases whose head (n) is a pronoun (paper section 4.3)."""
    return reject(_flags(pc.equal(pc.fill_null(pa.array(upos, pa.string()), ""), "PRON")), "pronoun")


def denied(flags: NDArray[np.bool_]) -> Decision:
    """Reject phrases (n) that say that a thing is not there: "no dogs" (`filters.syntax.Chunks.denied`; our choice)."""
    return reject(flags, "denied")


def too_long(phrases: Sequence[str] | pa.Array, max_words: int) -> Decision:
    """Reject phrases (n) of more than `max_words` words."""
    words = pc.count_substring_regex(pa.array(phrases, pa.string()), r"\S+")
    count = words.to_numpy(zero_copy_only=False).astype(np.int64)
    return reject(count > max_words, "too long", count, max_words)


def score(scores: NDArray[np.floating], threshold: float) -> Decision:
    """Reject phrase scores (n,) under the threshold; NaN counts as under it."""
    return reject(below(scores, threshold), "phrase score", scores, threshold)


def surplus(rank: NDArray[np.integer], number: NDArray[np.integer]) -> Decision:
    """Reject the boxes (n,) of a phrase beyond the number that it asks for: "two dogs" gets two.

    `rank` counts the boxes of a phrase from 1, the best first, and is 0 for boxes that do not take part; `number` is
    that of their phrase, 0 where it asks for all there are.
    """
    return reject((number > 0) & (rank > number), "number", rank, number)


def _without_determiners(phrases: pa.Array, determiners: frozenset[str]) -> pa.Array:
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(pc.fill_null(phrases, "")), r"\s+", " "))
    words = "|".join(sorted(determiners))
    return pc.replace_substring_regex(plain, rf"^(?:(?:{words})\s)+", "")


def _flags(mask: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)
