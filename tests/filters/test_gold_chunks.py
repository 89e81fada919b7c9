"""Noun phrases against the gold trees of a treebank, by the benchmark's own definition of them."""

from benchmarks.chunks import as_texts, gold_spans, score, spans
from filters.syntax import noun_chunks
from specialists.models.parser.treebank import read_conllu
from specialists.spacy_parser import SpacyParser
from tests.shared_data import need


def test_phrases_and_heads_of_gold_trees_and_of_ours():
    sentences = read_conllu(need("ud_ewt/dev.conllu.gz"))[:300]
    texts, tokens = as_texts(sentences)
    gold = gold_spans(sentences, tokens)
    parser = SpacyParser(SpacyParser.Config())
    parser.load("cpu")
    assert score(spans(noun_chunks(tokens, texts), tokens), gold, 4)[2] >= 0.95
    parsed = parser.parse(texts)
    assert score(spans(noun_chunks(parsed, texts), parsed), gold, 4)[2] >= 0.85
