"""From captions (or written texts) to the texts of each image, kept and rejected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from consensus import mentions
from consensus.aboutness import about
from consensus.captions import Agreement, agreement, known_mean, worth
from consensus.mentions import MentionReliability, Mentions, Sightings
from engine import ids
from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from filters import texts as filters
from filters.decision import Decision, below, first, keep, reject
from filters.enhance import enhanced
from filters.registry import Chosen, ask, choose
from filters.syntax import Measures, measures
from filters.texts import GRANULARITIES, TextColumns, TextFilterConfig
from pipelines.decide import columns as c
from pipelines.decide import things
from pipelines.decide.said import WRITING
from pipelines.decide.tokens import tokens_of

TextChecks = Annotated[Chosen, BeforeValidator(partial(choose, "texts"))]


class TextsConfig(BaseModel):
    """Which texts are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filters: TextFilterConfig = Field(default=TextFilterConfig(), description="limits by granularity")
    checks: TextChecks = Field(
        default={}, validate_default=True, description="settings of the declared filters of texts, by name"
    )
    min_similarity: float | None = Field(
        default=None, description="lowest mean similarity of image and text; null keeps all (our choice)"
    )
    max_per_granularity: int | None = Field(
        default=None,
        ge=1,
        description="most texts of one granularity for an image, those of highest worth; "
        "null keeps all that pass (our choice)",
    )
    min_thing: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="lowest probability that a thing is there that a text names and detectors know (our choice)",
    )
    min_about: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="lowest probability that a text is about its image and no other, by what detectors saw (our choice)",
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What detectors can say about texts.

    `regions` are all rows of DECIDED_REGIONS, rejected ones too; `vocabularies` says which labels each detector knows
    (None: any); `words` which labels a word may mean beyond itself; `reliability` what was learned over the labels
    `things.vocabulary(vocabularies)` and the sorted names of the captioners (None: nothing); `answered` (images,) for
    which images a detector answered at all (absent: for every image).
    """

    regions: Grouped
    vocabularies: Mapping[str, Sequence[str] | None]
    words: things.Words
    reliability: MentionReliability | None = None
    answered: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Things:
    """Of every text (n,): the lowest and the mean probability of the things it names (NaN: it names none that a
    detector knows), the share of the accepted labels of its image that it names (NaN: there are none), and the
    probability that it is about its image (NaN: it names nothing)."""

    lowest: NDArray[np.float64]
    mean: NDArray[np.float64]
    named: NDArray[np.float64]
    about: NDArray[np.float64]


def text_ids(frames: Frames, captions: Mapping[str, Grouped]) -> list[str]:
    """The ids of all texts, in the order of `decide`: by image, specialist name, and place among its texts."""
    return _text_ids(frames, c.pool(captions, s.PREDICTED_TEXTS, len(frames.ids)))


def decide(
    frames: Frames,
    captions: Mapping[str, Grouped],
    tokens: Grouped,
    similarities: Mapping[str, Grouped],
    config: TextsConfig,
    gold: frozenset[str] = frozenset(),
    seen: Seen | None = None,
    regions: Grouped | None = None,
    parsed: NDArray[np.bool_] | None = None,
    as_they_stand: frozenset[str] = frozenset(),
) -> pa.Table:
    """One row for each predicted text, a table `engine.schema.DECIDED_TEXTS`, in the order of `text_ids`.

    `captions` by specialist (PREDICTED_TEXTS), as they were said; published are the enhanced texts
    (`filters.enhance`), and of these are `tokens` (TOKENS, by those text ids) and `similarities` by scorer (SIMILARITIES
    with no region); `seen` by detectors; `regions` (DECIDED_REGIONS) say what is written in the images; `parsed`
    (images,) of which images the texts were parsed (None: of all). The others have no measures, and nothing that needs
    a parse rejects them. Confidence is the mean of what is known of two: the mean token F1 with the other texts of the
    image and granularity that passed the limits, and the mean probability of the things it names (null: neither is
    known); each specialist with a text to compare votes by its closest one. Texts of specialists in `gold` are human:
    only empty and repeated ones are rejected, and their confidence is 1. Texts of specialists named `as_they_stand` are
    published as they were said: their characters are counted already.
    Reasons in order: empty, those of the declared filters (`filters.registry`), the limits of the granularity,
    similarity, another image, unseen thing, duplicate, rank. A text is judged by its image alone.

    Raises:
        StoreError: a granularity is unknown, or a table is not over the images of `frames`.
    """
    pool = c.pool(captions, s.PREDICTED_TEXTS, len(frames.ids))
    names = _text_ids(frames, pool)
    texts = _columns(pool, as_they_stand, tokens_of(tokens, names), *_readings(regions, len(frames.ids)))
    measured = measures(texts.tokens)
    known = np.ones(len(texts), bool) if parsed is None else parsed[texts.image]
    similarity = c.mean_similarity(texts.image, texts.text, _of_images(frames, similarities))
    human = np.array([name in gold for name in pool.names], bool)[pool.specialist]
    fit = _fit(texts, measured, known, similarity, human, config)
    told = _things(frames, texts, pool, fit.kept, human, seen)
    passed = first([fit, _contradicted(told, config).only(~human)])
    agreed = _agreement(texts, pool, passed.kept)
    value = worth(_groups(texts), [agreed.mean, told.mean, told.named], similarity, passed.kept)
    columns = {
        s.IMAGE_ID: c.flat(pool.table.column(s.IMAGE_ID)),
        s.TEXT_ID: pa.array(names, pa.string()),
        s.GRANULARITY: c.flat(pool.table.column(s.GRANULARITY)),
        s.TEXT: texts.text,
        s.SPECIALIST: c.names_of(pool.names, pool.specialist),
        s.SIMILARITY: c.numbers(similarity, pa.float32()),
        s.CONFIDENCE: c.numbers(np.where(human, 1.0, known_mean([agreed.mean, told.mean])), pa.float32()),
        **_measure_columns(measured, known),
        s.VOTES: _votes(agreed, pool),
        **_choose(texts, value, passed, config).columns(),
    }
    return c.table(s.DECIDED_TEXTS, columns)


def _columns(
    pool: c.Pool, as_they_stand: frozenset[str], tokens: Tokens, readings: pa.Array, reading_image: NDArray[np.int64]
) -> TextColumns:
    said = c.flat(pool.table.column(s.TEXT))
    image, granularity = pool.rows.image_index(), _granularities(pool.table)
    counted = np.array([name in as_they_stand for name in pool.names], bool)[pool.specialist]
    text = pc.if_else(pa.array(counted), said, enhanced(said))
    return TextColumns(text, said, image, granularity, tokens, readings, reading_image)


def _fit(
    texts: TextColumns,
    measured: Measures,
    known: NDArray[np.bool_],
    similarity: NDArray[np.float64],
    human: NDArray[np.bool_],
    config: TextsConfig,
) -> Decision:
    """What speaks against each text by itself; measures are `known` (n,) of some."""
    limits = [
        ask("texts", texts, len(texts), config.checks),
        _limits(measured, texts.granularity, config.filters).only(known),
        _similar(similarity, config),
    ]
    return first([filters.empty(texts.text), first(limits).only(~human)])


def _contradicted(told: _Things, config: TextsConfig) -> Decision:
    """What speaks against each text by what was seen."""
    return first(
        [
            reject(told.about < config.min_about, "another image", told.about, config.min_about),
            reject(told.lowest < config.min_thing, "unseen thing", told.lowest, config.min_thing),
        ]
    )


def _measure_columns(measured: Measures, known: NDArray[np.bool_]) -> dict[str, pa.Array]:
    """The columns of measures, null where they are not `known` (n,)."""
    columns = {
        s.N_TOKENS: measured.n_tokens,
        s.N_OBJECTS: measured.n_objects,
        s.N_ATTRIBUTES: measured.n_attributes,
        s.N_ACTIONS: measured.n_actions,
        s.N_PROPER_NOUNS: measured.n_proper_nouns,
        s.OBJECT_COMPLEXITY: measured.object_complexity,
        s.ACTION_COMPLEXITY: measured.action_complexity,
    }
    return {name: pa.array(column, mask=~known) for name, column in columns.items()}


def learn(frames: Frames, captions: Mapping[str, Grouped], tokens: Grouped, seen: Seen) -> MentionReliability:
    """How far captioners and detectors can be trusted about things, from a sample of images, without labels.

    The arguments are those of `decide`; give the answer to it as `Seen.reliability`.

    Raises:
        StoreError: a table is not over the images of `frames`.
    """
    pool = c.pool(captions, s.PREDICTED_TEXTS, len(frames.ids))
    everything = np.ones(pool.table.num_rows, bool)
    texts = enhanced(pool.table.column(s.TEXT))
    parsed = tokens_of(tokens, _text_ids(frames, pool))
    _, mentioned, sighted = _mentioned(parsed, texts, pool, everything, seen, things.vocabulary(seen.vocabularies))
    return mentions.learn(mentioned, sighted)


def _text_ids(frames: Frames, pool: c.Pool) -> list[str]:
    image = pool.rows.image_index()
    # rows stand by image and then specialist, so this key is sorted
    key = image * max(1, len(pool.names)) + pool.specialist
    place = c.places(key, len(frames.ids) * max(1, len(pool.names)))
    who = map(pool.names.__getitem__, pool.specialist.tolist())
    return list(map(ids.text_id, map(frames.ids.__getitem__, image.tolist()), who, place.tolist()))


def _granularities(table: pa.Table) -> NDArray[np.int64]:
    found = c.flat(pc.index_in(table.column(s.GRANULARITY), value_set=pa.array(GRANULARITIES, pa.string())))
    if found.null_count:
        raise StoreError(f"a text has a granularity that is none of {', '.join(GRANULARITIES)}")
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def _of_images(
    frames: Frames, similarities: Mapping[str, Grouped]
) -> list[tuple[NDArray[np.int64], c.Array, NDArray[np.float64]]]:
    for name, part in similarities.items():
        if len(part.offsets) != len(frames.ids) + 1:
            raise StoreError(
                f"the similarities of {name!r} are over {len(part.offsets) - 1} images, not {len(frames.ids)}"
            )
    return [
        (part.image_index(), part.table.column(s.TEXT), c.floats(part.table, s.SIMILARITY))
        for _, part in sorted(similarities.items())
    ]


def _limits(measured: Measures, granularity: NDArray[np.int64], config: TextFilterConfig) -> Decision:
    by_granularity = (config.brief, config.detailed, config.more_detailed)
    return first(
        [
            filters.limits(
                measured.n_tokens, measured.n_objects, measured.object_complexity, measured.action_complexity, limits
            ).only(granularity == number)
            for number, limits in enumerate(by_granularity)
        ]
    )


def _similar(similarity: NDArray[np.float64], config: TextsConfig) -> Decision:
    if config.min_similarity is None:
        return keep(len(similarity))
    low = below(similarity, config.min_similarity) & ~np.isnan(similarity)
    return reject(low, "similarity", similarity, config.min_similarity)


def _groups(texts: TextColumns) -> NDArray[np.int64]:
    """Numbers the pairs of image and granularity: (n,)."""
    return texts.image * len(GRANULARITIES) + texts.granularity


def _agreement(texts: TextColumns, pool: c.Pool, kept: NDArray[np.bool_]) -> Agreement:
    """Agreement among the kept texts of an image and granularity; a rejected text is compared with nobody."""
    group = _groups(texts)
    beyond = (int(group.max(initial=0)) + 1) + np.arange(len(group))
    return agreement(texts.text, np.where(kept, group, beyond), pool.specialist, len(pool.names))


def _readings(regions: Grouped | None, n_images: int) -> tuple[pa.Array, NDArray[np.int64]]:
    """What is written in the images by accepted regions, and the image of each: both (readings,).

    Raises:
        StoreError: the regions are over another number of images.
    """
    if regions is None:
        return pa.array([], pa.string()), np.zeros(0, np.int64)
    if len(regions.offsets) != n_images + 1:
        raise StoreError(f"the regions are over {len(regions.offsets) - 1} images, not {n_images}")
    table = regions.table
    accepted = c.flags(pc.and_(pc.is_null(table.column(s.REASON)), pc.equal(table.column(s.KIND), WRITING)))
    rows = np.flatnonzero(accepted)
    return c.take(table.column(s.TEXT), rows), regions.image_index()[rows]


def _things(
    frames: Frames,
    texts: TextColumns,
    pool: c.Pool,
    kept: NDArray[np.bool_],
    human: NDArray[np.bool_],
    seen: Seen | None,
) -> _Things:
    """What detectors and the other captioners make of the things that texts name; a rejected text supports nobody."""
    n, image = len(texts), texts.image
    labels = [] if seen is None else things.vocabulary(seen.vocabularies)
    if seen is None or not labels:
        unknown = np.full(n, np.nan)
        return _Things(unknown, unknown, unknown, unknown)
    found, mentioned, sighted = _mentioned(texts.tokens, texts.text, pool, kept, seen, labels)
    known = seen.reliability or mentions.assumed(sighted)
    there = np.where(human[found.text], 1.0, mentions.believe(mentioned, sighted, known))
    lowest = np.full(n, np.nan)
    np.fmin.at(lowest, found.text, there)
    count = np.bincount(found.text, minlength=n)
    mean = np.where(count > 0, np.bincount(found.text, there, minlength=n) / np.maximum(count, 1), np.nan)
    pairs = np.unique(found.text[found.mention] * len(labels) + found.label)
    text, label = pairs // len(labels), pairs % len(labels)
    hits = np.bincount(text, sighted.accepted[image[text], label], minlength=n)
    total = sighted.accepted.sum(axis=1)[image]
    area = things.areas(seen.regions, labels, frames)
    here = np.where(count > 0, about(image, found.text, mentioned, sighted, area, known), np.nan)
    return _Things(lowest, mean, np.where(total > 0, hits / np.maximum(total, 1), np.nan), here)


def _mentioned(
    tokens: Tokens, texts: pa.Array, pool: c.Pool, kept: NDArray[np.bool_], seen: Seen, labels: Sequence[str]
) -> tuple[things.Named, Mentions, Sightings]:
    """What the kept texts name, the same for the consensus, and what detectors saw."""
    image = pool.rows.image_index()
    found = things.named(tokens, texts.to_pylist(), labels, seen.words).only(kept)
    spoke = np.zeros((len(pool.rows.offsets) - 1, len(pool.names)), bool)
    spoke[image[kept], pool.specialist[kept]] = True
    sighted = things.sightings(seen.regions, seen.vocabularies, spoke, seen.answered)
    return found, Mentions(image[found.text], pool.specialist[found.text], found.mention, found.label), sighted


def _choose(texts: TextColumns, value: NDArray[np.float64], passed: Decision, config: TextsConfig) -> Decision:
    if config.filters.drop_duplicates:
        passed = first([passed, filters.duplicates(texts.text, texts.image, passed.kept)])
    if config.max_per_granularity is None:
        return passed
    group = _groups(texts)
    rows = np.flatnonzero(passed.kept)
    order = rows[np.lexsort((rows, -value[rows], group[rows]))]
    rank = np.zeros(len(group), np.int64)
    rank[order] = c.places(group[order], int(group.max(initial=0)) + 1) + 1
    return first([passed, reject(rank > config.max_per_granularity, "rank", rank, config.max_per_granularity)])


def _votes(agreed: Agreement, pool: c.Pool) -> pa.Array:
    row, who = np.nonzero(~np.isnan(agreed.closest))
    score = pa.array(agreed.closest[row, who].astype(np.float32))
    values = {s.SPECIALIST: c.names_of(pool.names, who), s.SCORE: score}
    return c.lists(c.starts(row, len(agreed.mean)), c.records(s.TEXT_VOTE, values))
