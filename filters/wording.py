"""Filters of texts by what stands in them: the patterns of `filters/data/text_noise.toml`, and capitals."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from engine.records import Granularity
from filters.decision import Decision, first, reject
from filters.registry import FilterConfig, declare
from filters.texts import GRANULARITIES, TextColumns

_NOISE = ("leak", "boilerplate")
_TWO_IN_CAPITALS = r"(?s)\p{Lu}{2}.*\s.*\p{Lu}{2}"


class Patterns(FilterConfig):
    """Which patterns a text must not have."""

    version: Literal[3] = Field(3, description="version of filters/data/text_noise.toml (words our choice)")
    also: tuple[str, ...] = Field(
        (), description="more patterns: regular expressions of RE2, found anywhere, in any case (our choice: none)"
    )

    @field_validator("also")
    @classmethod
    def _compiles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                pc.match_substring_regex(pa.array([""]), pattern)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{pattern!r} is no regular expression of RE2: {error}") from error
        return value


class Framing(Patterns):
    """Texts that speak of the image."""

    granularities: tuple[Granularity, ...] = Field(
        ("brief",),
        description="texts of which granularities are held to it; captioners trained to say much nearly always begin "
        "so, and what follows is good (our choice)",
    )


class Capitals(FilterConfig):
    """Texts written in capitals."""

    max_share: float = Field(
        0.9, ge=0.0, le=1.0, description="share of a text's cased letters that may be capitals (our choice)"
    )


class Profanity(Patterns):
    """Texts that swear."""

    enabled: bool = Field(False, description="whether the filter is asked (our choice: by profile)")


class Personal(FilterConfig):
    """Data of persons."""

    enabled: bool = Field(False, description="whether the filter is asked (our choice: by profile)")
    version: Literal[3] = Field(3, description="version of filters/data/text_noise.toml (patterns our choice)")
    kinds: tuple[Literal["email", "phone", "plate"], ...] = Field(
        ("email", "phone", "plate"), description="what is looked for (our choice)"
    )


@declare("texts", "leak", Patterns, source="paper section 4.2 (noise); patterns our choice")
def leak(texts: TextColumns, config: Patterns) -> Decision:
    """Reject texts with markup, prompts or refusals of a model."""
    return _struck(_hits(texts.text, "leak", config.also), "leak")


@declare("texts", "boilerplate", Patterns, source="paper section 4.2 (noise); patterns our choice")
def boilerplate(texts: TextColumns, config: Patterns) -> Decision:
    """Reject texts with addresses, file names, camera models, rights, or what pages say under any image."""
    return _struck(_hits(texts.text, "boilerplate", config.also), "boilerplate")


@declare("texts", "framing", Framing, source="our choice")
def framing(texts: TextColumns, config: Framing) -> Decision:
    """Reject texts that speak of the image and not of what is there: "The image shows"."""
    held = np.isin(texts.granularity, [GRANULARITIES.index(name) for name in config.granularities])
    return _struck(np.where(held, _hits(texts.text, "framing", config.also), 0), "framing")


@declare("texts", "capitals", Capitals, source="our choice")
def capitals(texts: TextColumns, config: Capitals) -> Decision:
    """Reject texts with two words or more in capitals and hardly a small letter; captioners do not, notices do."""
    said = pc.fill_null(texts.said, "")
    large, small = (_numbers(pc.count_substring_regex(said, kind)) for kind in (r"\p{Lu}", r"\p{Ll}"))
    share = large / np.maximum(large + small, 1)
    notice = _flags(pc.match_substring_regex(said, _TWO_IN_CAPITALS))
    return reject(notice & (share > config.max_share), "capitals", share, config.max_share)


@declare("texts", "profanity", Profanity, source="our choice")
def profanity(texts: TextColumns, config: Profanity) -> Decision:
    """Reject texts that swear, insult or sell sex."""
    return _struck(_hits(texts.text, "profanity", config.also), "profanity")


@declare("texts", "personal", Personal, source="our choice")
def personal(texts: TextColumns, config: Personal) -> Decision:
    """Reject texts with an e-mail address, a phone number or a licence plate."""
    found = [_struck(_hits(texts.text, kind), str(_kinds()[kind]["reason"])) for kind in config.kinds]
    return first([reject(np.zeros(len(texts), bool), "personal"), *found])


def noise(texts: pa.Array | pa.ChunkedArray) -> Decision:
    """Reject texts (n) that the shipped patterns of leaks and boilerplate fit."""
    return first([_struck(_hits(texts, kind), kind) for kind in _NOISE])


def struck(text: str, reason: str) -> list[str]:
    """The words of a text that the shipped patterns behind a reason fit, each once; none for another reason."""
    said = next((said for kind, said in _kinds().items() if said.get("reason", kind) == reason), None)
    if said is None:
        return []
    flags = re.ASCII if said.get("case", False) else re.ASCII | re.IGNORECASE
    found = (re.search(pattern, text, flags) for pattern in said["patterns"])
    return list(dict.fromkeys(match[0].strip(" ,;|") for match in found if match))


def _struck(hits: NDArray[np.int64], reason: str) -> Decision:
    return reject(hits > 0, reason, hits, 0)


def _hits(texts: pa.Array | pa.ChunkedArray, kind: str, also: tuple[str, ...] = ()) -> NDArray[np.int64]:
    """How many patterns of the kind fit each text (n,); each distinct text is searched once."""
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    coded = pc.dictionary_encode(pc.fill_null(column, ""))
    said = _kinds()[kind]
    shipped = _fitting(coded.dictionary, tuple(said["patterns"]), any_case=not said.get("case", False))
    count = shipped + _fitting(coded.dictionary, also, any_case=True)
    found: NDArray[np.int64] = count[coded.indices.to_numpy(zero_copy_only=False)]
    return found


def _fitting(texts: pa.Array, patterns: tuple[str, ...], *, any_case: bool) -> NDArray[np.int64]:
    """How many of the patterns fit each text (n,); one by one they are asked only of texts that any of them fits."""
    count = np.zeros(len(texts), np.int64)
    if not patterns:
        return count
    any_of_them = "|".join(f"(?:{one})" for one in patterns)
    rows = np.flatnonzero(_flags(pc.match_substring_regex(texts, any_of_them, ignore_case=any_case)))
    if len(rows):
        hit = texts.take(pa.array(rows))
        count[rows] = sum(_flags(pc.match_substring_regex(hit, one, ignore_case=any_case)) for one in patterns)
    return count


@cache
def _kinds() -> dict[str, dict[str, Any]]:
    with files("filters").joinpath("data", "text_noise.toml").open("rb") as file:
        return {kind: said for kind, said in tomllib.load(file).items() if isinstance(said, dict)}


def _numbers(counts: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(counts.to_numpy(zero_copy_only=False), np.int64)


def _flags(mask: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)
