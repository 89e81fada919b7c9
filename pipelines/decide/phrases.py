"""From kept texts to the noun phrases that are looked for in the image."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from engine import ids
from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Frames, Grouped, interleave
from filters import phrases as filters
from filters.decision import first
from filters.phrases import PhraseFilterConfig
from filters.syntax import noun_chunks
from pipelines.decide import columns as c
from pipelines.decide.tokens import tokens_of


class PhrasesConfig(BaseModel):
    """Which noun phrases are looked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filters: PhraseFilterConfig = Field(default=PhraseFilterConfig(), description="limits on phrases")


def decide(frames: Frames, texts: Sequence[Grouped], tokens: Grouped, config: PhrasesConfig) -> pa.Table:
    """One row for each noun phrase of each kept text, a table `engine.schema.DECIDED_PHRASES`.

    `texts` are kept rows of DECIDED_TEXTS, one table for each stage that made some; `tokens` (TOKENS) has those of all.
    Rows stand by image, then in the order of `texts`, then from left to right. `number` is how many things a phrase
    asks for, 0 for a plural that does not say. Reasons in order: pronoun, no noun, blacklist, too long.

    Raises:
        StoreError: a table is not over the images of `frames`.
        ConfigError: the configuration names a blacklist that is not shipped.
    """
    if any(len(part.offsets) != len(frames.ids) + 1 for part in texts):
        raise StoreError(f"texts over other images than the {len(frames.ids)} of the batch")
    table = interleave(texts, s.DECIDED_TEXTS).table if texts else s.DECIDED_TEXTS.empty_table()
    names = table.column(s.TEXT_ID).to_pylist()
    found = noun_chunks(tokens_of(tokens, table.column(s.TEXT_ID)), table.column(s.TEXT).to_pylist())
    text = np.asarray(found.text, np.int64)
    place = c.places(text, len(names))
    words = filters.blacklist(config.filters)
    decision = first(
        [
            filters.pronoun(found.upos),
            filters.without_noun(found.upos),
            filters.blacklisted(found.phrase, found.lemma, words),
            filters.too_long(found.phrase, config.filters.max_words),
        ]
    )
    columns = {
        s.IMAGE_ID: c.take(table.column(s.IMAGE_ID), text),
        s.TEXT_ID: c.take(table.column(s.TEXT_ID), text),
        s.PHRASE_ID: pa.array(map(ids.phrase_id, map(names.__getitem__, text.tolist()), place.tolist()), pa.string()),
        s.PHRASE: pa.array(found.phrase, pa.string()),
        s.START: pa.array(found.char_start, pa.int32()),
        s.END: pa.array(found.char_end, pa.int32()),
        s.HEAD: pa.array(found.lemma, pa.string()),
        # A bare singular ("man on horse", "grass") asks for one thing; only plurals are open.
        s.NUMBER: pa.array(np.abs(found.number), pa.int32()),
        **decision.columns(),
    }
    return c.table(s.DECIDED_PHRASES, columns)
