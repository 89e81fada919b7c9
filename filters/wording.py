"""Filters of texts by what stands in them: the patterns of `filters/data/text_noise.toml`, and capitals."""

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
from filters.enhance import in_capitals
from filters.registry import FilterConfig, declare
from filters.texts import GRANULARITIES, TextColumns

_NOISE = ("leak", "boilerplate")


class Patterns(FilterConfig):
    """Which patterns a text must not have."""

    version: Literal[2] = Field(2, description="version of filters/data/text_noise.toml (words our choice)")
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


class Profanity(Patterns):
    """Texts that swear."""

    enabled: bool = Field(False, description="whether the filter is asked (our choice: by profile)")


class Personal(FilterConfig):
    """Data of persons."""

    enabled: bool = Field(False, description="whether the filter is asked (our choice: by profile)")
    version: Literal[2] = Field(2, description="version of filters/data/text_noise.toml (patterns our choice)")
    kinds: tuple[Literal["email", "phone", "plate"], ...] = Field(
        ("email", "phone", "plate"), description="what is looked for (our choice)"
    )


@declare("texts", "leak", Patterns, source="paper section 4.2 (noise); patterns our choice")
def leak(texts: TextColumns, config: Patterns) -> Decision:
    """Reject texts with markup, prompts or refusals of a model."""
    return reject(_has(texts.text, "leak", config.also), "leak")


@declare("texts", "boilerplate", Patterns, source="paper section 4.2 (noise); patterns our choice")
def boilerplate(texts: TextColumns, config: Patterns) -> Decision:
    """Reject texts with addresses, file names, camera models, rights, or what pages say under any image."""
    return reject(_has(texts.text, "boilerplate", config.also), "boilerplate")


@declare("texts", "framing", Framing, source="our choice")
def framing(texts: TextColumns, config: Framing) -> Decision:
    """Reject texts that speak of the image and not of what is there: "The image shows"."""
    held = np.isin(texts.granularity, [GRANULARITIES.index(name) for name in config.granularities])
    return reject(held & _has(texts.text, "framing", config.also), "framing")


@declare("texts", "capitals", Capitals, source="our choice")
def capitals(texts: TextColumns, config: Capitals) -> Decision:  # noqa: ARG001 - it has no settings of its own
    """Reject texts that were said in capitals; captioners do not, notices do."""
    return reject(_flags(in_capitals(texts.said)), "capitals")


@declare("texts", "profanity", Profanity, source="our choice")
def profanity(texts: TextColumns, config: Profanity) -> Decision:
    """Reject texts that swear, insult or sell sex."""
    return reject(_has(texts.text, "profanity", config.also), "profanity")


@declare("texts", "personal", Personal, source="our choice")
def personal(texts: TextColumns, config: Personal) -> Decision:
    """Reject texts with an e-mail address, a phone number or a licence plate."""
    found = [reject(_has(texts.text, kind), str(_kinds()[kind]["reason"])) for kind in config.kinds]
    return first([reject(np.zeros(len(texts), bool), "personal"), *found])


def noise(texts: pa.Array | pa.ChunkedArray) -> Decision:
    """Reject texts (n) that the shipped patterns of leaks and boilerplate fit."""
    return first([reject(_has(texts, kind), kind) for kind in _NOISE])


def _has(texts: pa.Array | pa.ChunkedArray, kind: str, also: tuple[str, ...] = ()) -> NDArray[np.bool_]:
    """Which texts (n) have a pattern of the kind; each distinct text is searched once."""
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    coded = pc.dictionary_encode(pc.fill_null(column, ""))
    said = _kinds()[kind]
    pattern = "|".join(f"(?:{one})" for one in said["patterns"])
    hit = pc.match_substring_regex(coded.dictionary, pattern, ignore_case=not said.get("case", False))
    for one in also:
        hit = pc.or_(hit, pc.match_substring_regex(coded.dictionary, one, ignore_case=True))
    found: NDArray[np.bool_] = _flags(hit)[coded.indices.to_numpy(zero_copy_only=False)]
    return found


@cache
def _kinds() -> dict[str, dict[str, Any]]:
    with files("filters").joinpath("data", "text_noise.toml").open("rb") as file:
        return {kind: said for kind, said in tomllib.load(file).items() if isinstance(said, dict)}


def _flags(mask: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)
