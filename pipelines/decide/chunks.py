"""From predicted texts to their noun phrases, before anything is filtered: what grounders are asked to find."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from engine import ids
from engine import schema as s
from engine.grouped import Frames, Grouped
from filters import phrases as filters
from filters.decision import first
from filters.syntax import noun_chunks
from pipelines.decide import columns as c
from pipelines.decide.texts import text_ids
from pipelines.decide.tokens import tokens_of


def decide(frames: Frames, texts: Mapping[str, Grouped], tokens: Grouped) -> pa.Table:
    """One row for each noun phrase of each text, a table `engine.schema.DECIDED_PHRASES`.

    `texts` (PREDICTED_TEXTS by specialist) as they are published; `tokens` (TOKENS) by `texts.text_ids`. Rows stand in
    the order of those ids, then from left to right. `number` is how many things a phrase asks for, 0 for a plural that
    does not say. Reasons in order: pronoun, no noun, denied: nobody is asked to find such.

    Raises:
        StoreError: a table is not over the images of `frames`.
    """
    pool = c.pool(texts, s.PREDICTED_TEXTS, len(frames.ids))
    names = text_ids(frames, texts)
    found = noun_chunks(tokens_of(tokens, names), pool.table.column(s.TEXT).to_pylist())
    text = np.asarray(found.text, np.int64)
    place = c.places(text, len(names))
    columns = {
        s.IMAGE_ID: c.take(pool.table.column(s.IMAGE_ID), text),
        s.TEXT_ID: c.names_of(names, text),
        s.PHRASE_ID: pa.array(map(ids.phrase_id, map(names.__getitem__, text.tolist()), place.tolist()), pa.string()),
        s.PHRASE: pa.array(found.phrase, pa.string()),
        s.START: pa.array(found.char_start, pa.int32()),
        s.END: pa.array(found.char_end, pa.int32()),
        s.HEAD: pa.array(found.lemma, pa.string()),
        # A bare singular ("man on horse", "grass") asks for one thing; only plurals are open.
        s.NUMBER: pa.array(np.abs(found.number), pa.int32()),
        **first(
            [filters.pronoun(found.upos), filters.without_noun(found.upos), filters.denied(found.denied)]
        ).columns(),
    }
    return c.table(s.DECIDED_PHRASES, columns)
