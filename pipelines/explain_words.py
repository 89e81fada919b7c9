"""What was understood of the texts of one image, from the rows that its story holds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from engine import schema as s
from engine.tokens import Tokens
from filters.relations import relations
from filters.syntax import Kinds, kinds
from pipelines.decide.tokens import tokens_of

Row = Mapping[str, Any]
Links = Mapping[str, Sequence[tuple[int, int, str]]]
KINDS: Final = tuple(field.name for field in fields(Kinds))
_TOKENS: Final = pa.schema([field for field in s.TOKENS if field.name != s.IMAGE_ID])


def understood(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each decided text with tokens, those that were kept first: its words of each kind (`filters.syntax.kinds`),
    and its `relations` (`filters.relations`), words as they are written.

    `rows` are those of all stages about the image. The `subject` and `object` of a relation have the `regions` that
    their phrase was linked to: ids of accepted regions, the surest first.
    """
    decided = sorted((row for row in rows if s.N_TOKENS in row), key=lambda row: row[s.REASON] is not None)
    names, texts = [row[s.TEXT_ID] for row in decided], [row[s.TEXT] for row in decided]
    tokens = _tokens(rows, names)
    bounds = list(pairwise(tokens.offsets.tolist()))
    found = {kind: getattr(kinds(tokens), kind).tolist() for kind in KINDS}
    words = [texts[t][a:b] for t, a, b in zip(tokens.text, tokens.start, tokens.end, strict=True)]
    related = _related(tokens, texts, names, words, _links(rows))
    return [
        {
            s.TEXT_ID: name,
            s.TEXT: text,
            **{kind: [words[i] for i in range(lo, hi) if of[i]] for kind, of in found.items()},
            "relations": related[name],
        }
        for name, text, (lo, hi) in zip(names, texts, bounds, strict=True)
        if lo < hi
    ]


def _tokens(rows: Iterable[Row], names: Sequence[str]) -> Tokens:
    """The tokens of the texts with these ids, whichever stage has them: a parser, or what writers composed with."""
    said = [dict(row) for row in rows if s.UPOS in row]
    return tokens_of(pa.Table.from_pylist(said, schema=_TOKENS), names)


def _links(rows: Iterable[Row]) -> Links:
    """Of each text the characters of its phrases, from and to, and the region that each was linked to."""
    links = defaultdict(list)
    for row in rows:
        if row.get(s.PHRASE_ID) is not None and row.get(s.REGION_ID) is not None and row.get(s.REASON) is None:
            links[row[s.TEXT_ID]].append((row[s.START], row[s.END], row[s.REGION_ID]))
    return links


def _related(
    tokens: Tokens, texts: Sequence[str], names: Sequence[str], words: Sequence[str], links: Links
) -> Mapping[str, list[dict[str, Any]]]:
    found = relations(tokens, texts)
    related = defaultdict(list)

    def argument(name: str, at: int) -> dict[str, Any]:
        start = tokens.start[at]
        return {"word": words[at], "regions": [region for lo, hi, region in links.get(name, ()) if lo <= start < hi]}

    for text, subject, object_, said in zip(found.text, found.subject, found.object, found.words, strict=True):
        name, base = names[text], tokens.offsets[text]
        related[name].append(
            {"subject": argument(name, base + subject), "words": said, "object": argument(name, base + object_)}
        )
    return related
