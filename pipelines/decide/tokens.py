"""Tokens of texts, from the flat record of a parser to a table and back."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Grouped
from engine.tokens import Tokens
from pipelines.decide import columns as c


def tokens_table(image_ids: Sequence[str], text_ids: Sequence[str], tokens: Tokens) -> pa.Table:
    """One row a token, a table `engine.schema.TOKENS`; `image_ids` and `text_ids` have one entry a text.

    Raises:
        StoreError: the tokens are not those of as many texts.
    """
    if len(tokens.offsets) != len(text_ids) + 1 or len(image_ids) != len(text_ids):
        raise StoreError(
            f"tokens of {len(tokens.offsets) - 1} texts for {len(text_ids)} text ids and {len(image_ids)} image ids"
        )
    text = np.repeat(np.arange(len(text_ids)), np.diff(tokens.offsets))
    columns = {
        s.IMAGE_ID: c.names_of(image_ids, text),
        s.TEXT_ID: c.names_of(text_ids, text),
        s.START: pa.array(tokens.start, pa.int32()),
        s.END: pa.array(tokens.end, pa.int32()),
        s.LEMMA: pa.array(tokens.lemma, pa.string()),
        s.UPOS: pa.array(tokens.upos, pa.string()),
        s.TAG: pa.array(tokens.tag, pa.string()),
        s.HEAD: pa.array(tokens.head, pa.int32()),
        s.DEP: pa.array(tokens.dep, pa.string()),
    }
    return c.table(s.TOKENS, columns)


def tokens_of(table: Grouped | pa.Table, text_ids: Sequence[str] | c.Array) -> Tokens:
    """The tokens of the wanted texts, in that order; a text without rows in `table` has no tokens.

    The rows of a text must stand in the order of its tokens; rows of other texts are left out.

    Raises:
        StoreError: a text id is wanted twice.
    """
    rows = table.table if isinstance(table, Grouped) else table
    wanted = c.flat(text_ids) if isinstance(text_ids, pa.Array | pa.ChunkedArray) else pa.array(text_ids, pa.string())
    if len(wanted.unique()) != len(wanted):
        raise StoreError("the same text id is wanted twice; text ids name one text of the data set")
    found = c.flat(pc.index_in(rows.column(s.TEXT_ID), value_set=wanted))
    text = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    keep = np.flatnonzero(text >= 0)
    order = keep[np.argsort(text[keep], kind="stable")]
    if not np.array_equal(order, np.arange(rows.num_rows)):
        rows = rows.take(pa.array(order))
    return Tokens(
        offsets=c.starts(text[order], len(wanted)),
        start=rows.column(s.START).to_numpy().astype(np.int32),
        end=rows.column(s.END).to_numpy().astype(np.int32),
        lemma=rows.column(s.LEMMA).to_pylist(),
        upos=rows.column(s.UPOS).to_pylist(),
        tag=rows.column(s.TAG).to_pylist(),
        head=rows.column(s.HEAD).to_numpy().astype(np.int32),
        dep=rows.column(s.DEP).to_pylist(),
    )
