"""Noun phrases against the gold trees of a treebank, by the benchmark's own definition of them; what captions deny."""

import pytest

from benchmarks.chunks import as_texts, gold_spans, score, spans
from filters.syntax import noun_chunks
from specialists.models.parser.treebank import read_conllu
from specialists.spacy_parser import SpacyParser
from tests.shared_data import need


@pytest.fixture(scope="module")
def parser():
    shipped = SpacyParser(SpacyParser.Config())
    shipped.load("cpu")
    return shipped


def test_phrases_and_heads_of_gold_trees_and_of_ours(parser):
    sentences = read_conllu(need("ud_ewt/dev.conllu.gz"))[:300]
    texts, tokens = as_texts(sentences)
    gold = gold_spans(sentences, tokens)
    assert score(spans(noun_chunks(tokens, texts), tokens), gold, 4)[2] >= 0.95
    parsed = parser.parse(texts)
    assert score(spans(noun_chunks(parsed, texts), parsed), gold, 4)[2] >= 0.85


@pytest.mark.parametrize(
    ("caption", "denied"),
    [
        ("A quiet place with no people in it.", ["no people"]),
        ("There are no cars on this street.", ["no cars"]),
        ("A street without a person.", ["a person"]),
        ("0 dogs on a sofa.", ["0 dogs"]),
        ("This is not a dog.", ["a dog"]),
        ("There isn't a dog on the sofa.", ["a dog"]),
        ("There is neither a dog nor a cat.", ["a dog", "a cat"]),
        ("The room has no dogs, cats or birds.", ["no dogs", "cats", "birds"]),
        ("A kitchen with no sink and a stove.", ["no sink"]),
        ("Not just a dog, a cat too.", []),
        ("The dog is not on the sofa.", []),
    ],
)
def test_what_captions_deny_with_our_parser(parser, caption, denied):
    found = noun_chunks(parser.parse([caption]), [caption])
    assert [phrase for phrase, none in zip(found.phrase, found.denied.tolist(), strict=True) if none] == denied
