"""From the noun phrases of all texts to those of the kept texts that deserve a region."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Grouped
from filters import phrases as filters
from filters.decision import first
from filters.phrases import PhraseColumns, PhraseFilterConfig
from filters.registry import ask
from pipelines.decide import columns as c


class PhrasesConfig(BaseModel):
    """Which noun phrases become part of a triplet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filters: PhraseFilterConfig = Field(default=PhraseFilterConfig(), description="limits on phrases")


def decide(texts: Grouped, chunks: Grouped, config: PhrasesConfig) -> pa.Table:
    """The `chunks` (DECIDED_PHRASES) of kept `texts` (DECIDED_TEXTS, those rows alone), in order.

    Reasons in order: those that chunks have (pronoun, no noun, denied), blacklist, too long, those of the declared filters
    (`filters.registry`).

    Raises:
        StoreError: the tables are not over the same images.
        ConfigError: the configuration names a blacklist that is not shipped.
    """
    if len(texts.offsets) != len(chunks.offsets):
        raise StoreError(f"texts of {len(texts.offsets) - 1} images, phrases of {len(chunks.offsets) - 1}")
    of_kept = pc.is_in(chunks.table.column(s.TEXT_ID), value_set=c.flat(texts.table.column(s.TEXT_ID)))
    table = chunks.where(of_kept).table
    phrase, head, text = (c.flat(table.column(name)) for name in (s.PHRASE, s.HEAD, s.TEXT_ID))
    number = table.column(s.NUMBER).to_numpy().astype(np.int64)
    decision = first(
        [
            filters.blacklisted(phrase, head, filters.blacklist(config.filters)),
            filters.too_long(phrase, config.filters.max_words),
            ask("phrases", PhraseColumns(phrase, head, number, text), len(phrase), config.filters.checks),
        ]
    ).only(c.flags(pc.is_null(table.column(s.REASON))))
    return c.decided(table, decision, s.DECIDED_PHRASES)
