"""Trees in CLEAR labels must come out as the UD trees of the same sentences."""

import numpy as np
import pytest

from engine.tokens import Tokens, check
from filters.syntax import degrees, measures, noun_chunks
from specialists.clear_to_ud import clear_to_ud, speaks_clear
from tests.specialists.clear_trees import SENTENCES


def record(table: str, scheme: str) -> tuple[Tokens, str]:
    """(tokens, text) of one sentence; scheme is "clear" or "ud"."""
    rows = [line.split() for line in table.strip().splitlines()]
    words = [row[0] for row in rows]
    starts = np.cumsum([0] + [len(word) + 1 for word in words])[:-1]
    head, dep = (4, 5) if scheme == "clear" else (6, 7)
    return Tokens(
        offsets=np.array([0, len(rows)], dtype=np.int64),
        start=starts.astype(np.int32),
        end=(starts + [len(word) for word in words]).astype(np.int32),
        lemma=[row[1] for row in rows],
        upos=[row[2] for row in rows],
        tag=[row[3] for row in rows],
        head=np.array([int(row[head]) - 1 if row[head] != "0" else at for at, row in enumerate(rows)], dtype=np.int32),
        dep=[row[dep] for row in rows],
    ), " ".join(words)


def joined(tokens: list[Tokens]) -> Tokens:
    """One batch of several one-text batches."""
    sizes = [len(one.dep) for one in tokens]
    return Tokens(
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        start=np.concatenate([one.start for one in tokens]),
        end=np.concatenate([one.end for one in tokens]),
        lemma=[x for one in tokens for x in one.lemma],
        upos=[x for one in tokens for x in one.upos],
        tag=[x for one in tokens for x in one.tag],
        head=np.concatenate([one.head for one in tokens]),
        dep=[x for one in tokens for x in one.dep],
    )


@pytest.mark.parametrize("name", SENTENCES)
def test_a_clear_tree_becomes_the_ud_tree(name: str) -> None:
    clear, text = record(SENTENCES[name], "clear")
    expected, _ = record(SENTENCES[name], "ud")
    found = check(clear_to_ud(clear), [text])
    assert list(zip(text.split(), found.head.tolist(), found.dep, strict=True)) == list(
        zip(text.split(), expected.head.tolist(), expected.dep, strict=True)
    )


@pytest.mark.parametrize("name", SENTENCES)
def test_both_schemes_give_the_same_phrases_and_degrees(name: str) -> None:
    clear, text = record(SENTENCES[name], "clear")
    ud, _ = record(SENTENCES[name], "ud")
    found = clear_to_ud(clear)
    assert noun_chunks(found, [text]).phrase == noun_chunks(ud, [text]).phrase
    assert degrees(found).tolist() == degrees(ud).tolist()
    assert measures(found).object_complexity == measures(ud).object_complexity


def test_a_batch_is_rewritten_as_its_texts_are_alone() -> None:
    records = [record(table, "clear")[0] for table in SENTENCES.values()]
    batch = clear_to_ud(joined(records))
    alone = joined([clear_to_ud(one) for one in records])
    assert batch.head.tolist() == alone.head.tolist()
    assert batch.dep == alone.dep


def test_several_sentences_in_one_text_keep_their_roots() -> None:
    one, two = (record(SENTENCES[name], "clear")[0] for name in ("adjective as predicate", "place as predicate"))
    both = joined([one, two])
    size = len(one.dep)
    text = Tokens(
        offsets=np.array([0, len(both.dep)], dtype=np.int64), start=both.start, end=both.end, lemma=both.lemma, upos=both.upos,
        tag=both.tag, head=np.concatenate([one.head, two.head + size]).astype(np.int32), dep=both.dep,
    )  # fmt: skip
    found = clear_to_ud(text)
    assert [at for at, dep in enumerate(found.dep) if dep == "root"] == [4, size + 5]


def test_no_tokens_stay_no_tokens() -> None:
    nothing = Tokens(
        np.zeros(3, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), [], [], [], np.zeros(0, np.int32), []
    )
    assert clear_to_ud(nothing).dep == []


def test_schemes_are_told_apart_by_their_labels() -> None:
    assert speaks_clear(["ROOT", "nsubj", "pobj", "dobj", "prep"])
    assert not speaks_clear(["ROOT", "nsubj", "obj", "obl", "case"])
