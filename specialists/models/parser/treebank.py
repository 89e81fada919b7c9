"""Reads a CoNLL-U treebank.

A sentence is a flat record of columns, one entry for each syntactic word. Multi-word ranges (``3-4``) and empty
nodes (``5.1``) are skipped, spacing comes from ``SpaceAfter=No``. Format:
https://universaldependencies.org/format.html.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = "ROOT"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; every tuple has one entry a word. ``heads`` count from 0 and a root is its own head, as in
    spaCy."""

    document: str
    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    lemmas: tuple[str, ...]
    pos: tuple[str, ...]
    tags: tuple[str, ...]
    heads: tuple[int, ...]
    deps: tuple[str, ...]


def read_conllu(path: Path) -> list[Sentence]:
    """All sentences of a ``.conllu.gz`` file, in order. Raises ``OSError`` for a missing or broken file."""
    sentences: list[Sentence] = []
    document = ""
    rows: list[list[str]] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("# newdoc id = "):
                document = line.split(" = ", 1)[1].strip()
            elif line[0].isdigit():
                columns = line.rstrip("\n").split("\t")
                if "." not in columns[0]:
                    rows.append(columns)
            elif not line.strip() and rows:
                sentences.append(_sentence(document, rows))
                rows = []
    if rows:
        sentences.append(_sentence(document, rows))
    return sentences


def _sentence(document: str, rows: list[list[str]]) -> Sentence:
    """Columns of one sentence. Words inside a multi-word range are written together, and the range says what
    follows it."""
    words = [row for row in rows if "-" not in row[0]]
    spaces = ["SpaceAfter=No" not in row[9] for row in words]
    for row in rows:
        if "-" in row[0]:
            first, last = (int(part) for part in row[0].split("-"))
            if row[1] == "".join(word[1] for word in words[first - 1 : last]):
                spaces[first - 1 : last - 1] = [False] * (last - first)
            spaces[last - 1] = "SpaceAfter=No" not in row[9]
    heads = [int(row[6]) - 1 if row[6] != "0" else at for at, row in enumerate(words)]
    return Sentence(
        document=document,
        words=tuple(row[1] for row in words),
        spaces=tuple(spaces),
        lemmas=tuple(row[2] if row[2] != "_" else row[1] for row in words),
        pos=tuple(row[3] for row in words),
        tags=tuple(row[4] for row in words),
        heads=tuple(heads),
        deps=tuple(ROOT if row[7] == "root" else row[7] for row in words),
    )


def split_by_document(sentences: Iterable[Sentence], held_out: float) -> tuple[list[Sentence], list[Sentence]]:
    """(kept, held out): whole documents, about ``held_out`` of them, chosen by a hash of their names (no seed, no
    order)."""
    kept: list[Sentence] = []
    out: list[Sentence] = []
    for sentence in sentences:
        digest = hashlib.sha256(sentence.document.encode()).digest()
        (out if int.from_bytes(digest[:4], "big") / 2**32 < held_out else kept).append(sentence)
    return kept, out
