"""What is mended in a text before it is parsed and judged; the text that is published is the mended one.

What a specialist said stays as it is in its own sidecar. Everybody who reads texts of specialists reads them through
`enhanced`, so that the characters which a parser counts are those of the published text. It has no settings: changing
one would ask the parser anew. Raise `VERSION` with every change of an answer; it is part of the fingerprint of the
stages that read texts.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VERSION: Final = 2

# What plain ASCII text never has: other characters, control characters, and entities of HTML.
_ODD = r"[^\t\n\r -~]|&#?[A-Za-z0-9]+;"
# Letters of scripts that join, marks on letters, and emoji: a joiner or non-joiner after them changes what is seen.
_JOINED = (
    r"\p{Arabic}\p{Syriac}\p{Mongolian}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}"
    r"\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Myanmar}\p{M}\p{So}\x{1F3FB}-\x{1F3FF}"
)
# Invisible: soft hyphen, zero-width space and other joiners, direction marks, variation selectors.
_INVISIBLE = (
    rf"([{_JOINED}]\x{{FE0F}}?[\x{{200C}}\x{{200D}}])"
    r"|[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{FE0E}\x{FE0F}\x{FEFF}]"
)
_JOINS_NOTHING = r"[\x{200C}\x{200D}]+([\s\p{Z}\p{P}]|$)"
_WORDS_IN_CAPITALS = r"^[^\p{Ll}]*\p{Lu}{2}[^\p{Ll}]*\s[^\p{Ll}]*\p{Lu}{2}[^\p{Ll}]*$"
# Every word begins with a capital, an article or preposition in the middle of the text too.
_TITLE = r"^(?:\P{L}*\p{Lu}\S*\s+){2,}\P{L}*\p{Lu}\S*$"
_TITLE_INSIDE = r"\s(?:A|An|The|Of|On|In|At|With|And|To|For|By|Is|Are)\s"


def enhanced(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Texts (n) as they are published: (n), null where null.

    In order: broken encodings, entities, ligatures and full-width letters are repaired (the library ftfy), invisible
    characters removed (joiners stay inside words of scripts that join, and inside emoji), white space is single spaces
    and none at the ends, quotes around the whole text go, and a text that is written in capitals, or Whose Every Word
    Has One, gets small letters after the first (names lose theirs:
    nothing tells them apart). All our choice; the paper says "enhancement" (section 4.2)
    and no more.
    """
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    coded = pc.dictionary_encode(column.cast(pa.string()))
    repaired = _spaced(_repaired(coded.dictionary))
    return _cased(repaired).take(coded.indices)


def in_capitals(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Whether texts (n) have no small letter and at least two words of capitals: (n) booleans, false where null."""
    return pc.fill_null(pc.match_substring_regex(texts, _WORDS_IN_CAPITALS), False)


def _repaired(texts: pa.Array) -> pa.Array:
    odd = np.flatnonzero(pc.match_substring_regex(texts, _ODD).to_numpy(zero_copy_only=False))
    if not len(odd):
        return texts
    from ftfy import TextFixerConfig, fix_text  # a third of a second

    config = TextFixerConfig(unescape_html=True, uncurl_quotes=False, explain=False)
    values = texts.to_pylist()
    for at in odd.tolist():
        values[at] = fix_text(values[at], config)
    visible = pc.replace_substring_regex(pa.array(values, pa.string()), _INVISIBLE, r"\1")
    return pc.replace_substring_regex(visible, _JOINS_NOTHING, r"\1")


def _spaced(texts: pa.Array) -> pa.Array:
    single = pc.utf8_trim_whitespace(pc.replace_substring_regex(texts, r"[\s\p{Z}]+", " "))
    return pc.replace_substring_regex(single, r"""^["'`“‘]\s*([^"`“”]*[^"'`“”’\s])\s*["'`”’]$""", r"\1")


def _cased(texts: pa.Array) -> pa.Array:
    titled = pc.and_(pc.match_substring_regex(texts, _TITLE), pc.match_substring_regex(texts, _TITLE_INSIDE))
    return pc.if_else(pc.or_(in_capitals(texts), titled), pc.utf8_capitalize(texts), texts)
