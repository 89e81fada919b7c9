"""What filters are told of texts, and the limits on their measures. A measure is a column made by `filters.syntax`."""

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.records import Granularity
from engine.tokens import Tokens
from filters.decision import Decision, first, reject

GRANULARITIES: Final[tuple[Granularity, ...]] = get_args(Granularity)
_NO_WORD = r"[^\p{L}\p{N}']+"


@dataclass(frozen=True, slots=True)
class TextColumns:
    """The columns that a filter of texts is given, for n texts of some images.

    `text` (n,): as they are published; `said` (n,): as specialists said them; `image` (n,): numbers their images;
    `granularity` (n,): place in GRANULARITIES; `tokens`: of the n texts, none where nobody parsed. `readings` (m,) and
    `reading_image` (m,): what is written in the images, as accepted from readers.
    """

    text: pa.Array
    said: pa.Array
    image: NDArray[np.int64]
    granularity: NDArray[np.int64]
    tokens: Tokens
    readings: pa.Array
    reading_image: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.text)

    def count(self, pattern: str) -> NDArray[np.int64]:
        """How often a regular expression (RE2) is found in each text: (n,)."""
        found = pc.count_substring_regex(pc.fill_null(self.text, ""), pattern)
        return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def words_of(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """(ids, offsets, words) of texts (n,): the words of text i are words[ids[offsets[i]:offsets[i + 1]]].

    Words are runs of letters, digits and apostrophes, in lower case.
    """
    split = pc.split_pattern_regex(pc.utf8_lower(pc.fill_null(texts, "")), _NO_WORD)
    owner = np.repeat(np.arange(len(split)), pc.list_value_length(split).to_numpy(zero_copy_only=False))
    coded = pc.dictionary_encode(split.flatten())
    ids = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    words = coded.dictionary.to_pylist()
    real = np.array([bool(word) for word in words], bool)[ids] if len(ids) else np.zeros(0, bool)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[real], minlength=len(split)))]).astype(np.int64)
    return ids[real], offsets, words


class TextLimits(BaseModel):
    """Limits on the texts of one granularity. The paper names the kinds of limit and gives no value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_tokens: int = Field(default=3, ge=0, description="fewest tokens of a text (our choice)")
    max_tokens: int = Field(default=60, ge=1, description="most tokens of a text (our choice)")
    max_objects: int = Field(
        default=15,
        ge=0,
        description="most objects a text may name (paper section 4.2 drops texts with too many; value our choice)",
    )
    min_object_complexity: float = Field(
        default=1.0,
        ge=0.0,
        description="lowest complexity of its objects (paper section 4.2, after DiHT; value our choice)",
    )
    min_action_complexity: float = Field(
        default=0.0,
        ge=0.0,
        description="lowest complexity of its actions; 0 keeps texts without a verb "
        "(paper section 4.2, after DiHT; value our choice)",
    )


class DetailedLimits(TextLimits):
    """The same, by the length of detailed texts; a setting that is given leaves the others as they are here."""

    max_tokens: int = Field(default=200, ge=1, description="most tokens of a text (our choice)")
    max_objects: int = Field(default=50, ge=0, description="most objects a text may name (our choice)")


class MoreDetailedLimits(TextLimits):
    """The same, by the length of more detailed texts."""

    max_tokens: int = Field(default=400, ge=1, description="most tokens of a text (our choice)")
    max_objects: int = Field(default=100, ge=0, description="most objects a text may name (our choice)")


class TextFilterConfig(BaseModel):
    """Limits by granularity; defaults scale with the lengths of the paper's table 2."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    brief: TextLimits = Field(
        default=TextLimits(), description="limits on brief texts (paper's mean: 8 tokens, 3 objects)"
    )
    detailed: DetailedLimits = Field(
        default=DetailedLimits(), description="limits on detailed texts (paper's mean: 32 tokens, 13 objects)"
    )
    more_detailed: MoreDetailedLimits = Field(
        default=MoreDetailedLimits(),
        description="limits on more detailed texts (paper's mean: 71 tokens, 28 objects)",
    )
    drop_duplicates: bool = Field(
        default=True, description="drop a text that an image already has but for case and spaces (our choice)"
    )


def empty(texts: pa.Array | pa.ChunkedArray) -> Decision:
    """Reject texts (n) that are null or have no letter and no digit."""
    count = pc.count_substring_regex(pc.fill_null(texts, ""), r"[\p{L}\p{N}]").to_numpy(zero_copy_only=False)
    return reject(count < 1, "empty", count, 1)


def limits(
    n_tokens: NDArray[np.integer],
    n_objects: NDArray[np.integer],
    object_complexity: NDArray[np.floating],
    action_complexity: NDArray[np.floating],
    config: TextLimits,
) -> Decision:
    """Reject texts outside the limits: all columns (n,). Reasons in order: too short, too long, too many objects,
    object complexity, action complexity."""
    return first(
        [
            reject(n_tokens < config.min_tokens, "too short", n_tokens, config.min_tokens),
            reject(n_tokens > config.max_tokens, "too long", n_tokens, config.max_tokens),
            reject(n_objects > config.max_objects, "too many objects", n_objects, config.max_objects),
            _under(object_complexity, config.min_object_complexity, "object complexity"),
            _under(action_complexity, config.min_action_complexity, "action complexity"),
        ]
    )


def duplicates(
    texts: pa.Array | pa.ChunkedArray, groups: NDArray[np.integer], candidates: NDArray[np.bool_]
) -> Decision:
    """Reject `candidates` (n,) that repeat an earlier candidate of their group (n,) but for case and spaces. The value
    is how many earlier ones they repeat."""
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(pc.fill_null(texts, "")), r"\s+", " "))
    if isinstance(plain, pa.ChunkedArray):
        plain = plain.combine_chunks()
    number = pc.dictionary_encode(plain).indices.to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.flatnonzero(candidates)
    keys = np.asarray(groups, np.int64)[rows] * (int(number.max(initial=0)) + 1) + number[rows]
    _, said, count = np.unique(keys, return_inverse=True, return_counts=True)
    ordered = np.argsort(said, kind="stable")
    earlier = np.zeros(len(candidates), np.int64)
    earlier[rows[ordered]] = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return reject(earlier > 0, "duplicate", earlier, 0)


def _under(values: NDArray[np.floating], threshold: float, reason: str) -> Decision:
    return reject(~(np.asarray(values, np.float64) >= threshold), reason, values, threshold)
