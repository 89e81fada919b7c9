"""Noun phrases and their heads against the gold trees of the English Web Treebank (its dev file).

    python -m benchmarks chunks [--treebank ../shared/data/ud_ewt/dev.conllu.gz]

Gold phrases are defined here, by recursion over each gold tree, and share no line with `filters.syntax`: the phrase of
a noun, name or pronoun is every word from the first to the last of its own words, which are the noun itself, the full
subtrees of what stands before it as determiner, adjective, numeral, compound part or possessor, and of what stands
after it as part of the same name. A subtree ends at a noun with a preposition, which begins a phrase; the possessor's
own phrase stays inside. A noun inside another's phrase has none of its own. Only the relations that count are the same
as there, since both take them from the guidelines of Universal Dependencies. A phrase counts as found when both ends
agree, a head when the phrase's head word does.

Two rows: the same words with their gold trees, which asks whether the rules find what the trees say; and the shipped
parser on the raw sentence, which asks what a user gets. There spans are compared by their characters.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.tokens import Tokens
from filters.syntax import Chunks, noun_chunks
from specialists.models.parser.treebank import ROOT, Sentence, read_conllu
from specialists.spacy_parser import SpacyParser

SHIPPED = Path(__file__).parents[2] / "shared" / "data" / "ud_ewt" / "dev.conllu.gz"
NOUNS = ("NOUN", "PROPN", "PRON")
# What a base noun phrase is made of beside its head, by Universal Dependencies' own descriptions of the relations.
BEFORE = ("det", "det:predet", "amod", "nummod", "compound", "nmod:poss", "nmod:desc", "flat", "goeswith")
AFTER = ("flat", "fixed", "goeswith")
# A word with one of these relations is no thing that is spoken of: grammar, or part of another word.
GRAMMAR = ("expl", "case", "mark", "cc", "cc:preconj", "fixed", "goeswith", "flat", "discourse", "aux", "cop", "det",
           "punct", "reparandum")  # fmt: skip

Span = tuple[int, int, int, int]  # text, first character, end, first character of the head


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--treebank", type=Path, default=SHIPPED)
    sentences = read_conllu(parser.parse_args(arguments).treebank)
    texts, gold_tokens = as_texts(sentences)
    gold = gold_spans(sentences, gold_tokens)
    spacy = SpacyParser(SpacyParser.Config())
    spacy.load("cpu")
    print(f"{len(sentences)} sentences, {len(gold)} gold phrases; per cent, of spans and of spans with their head")
    print(f"{'':22}{'precision':>10}{'recall':>8}{'F1':>8}{'head P':>10}{'head R':>8}{'head F1':>9}")
    for name, tokens in (("gold trees", gold_tokens), ("shipped parser", spacy.parse(texts))):
        found = spans(noun_chunks(tokens, texts), tokens)
        numbers = (*score(found, gold, 3), *score(found, gold, 4))
        print(f"{name:22}" + "".join(f"{100 * v:{w}.1f}" for v, w in zip(numbers, (10, 8, 8, 10, 8, 9), strict=True)))


def as_texts(sentences: Sequence[Sentence]) -> tuple[list[str], Tokens]:
    """The sentences as they were written, and their gold trees as the record of a parser."""
    texts: list[str] = []
    start: list[int] = []
    end: list[int] = []
    for sentence in sentences:
        text = ""
        for word, space in zip(sentence.words, sentence.spaces, strict=True):
            start.append(len(text))
            end.append(len(text) + len(word))
            text += word + " " * space
        texts.append(text)
    offsets = np.concatenate([[0], np.cumsum([len(s.words) for s in sentences])]).astype(np.int64)
    return texts, Tokens(
        offsets, np.array(start, np.int32), np.array(end, np.int32), [w for s in sentences for w in s.lemmas],
        [p for s in sentences for p in s.pos], [t for s in sentences for t in s.tags],
        np.array([h for s in sentences for h in s.heads], np.int32),
        ["root" if d == ROOT else d for s in sentences for d in s.deps],
    )  # fmt: skip


def gold_spans(sentences: Sequence[Sentence], tokens: Tokens) -> set[Span]:
    """The phrases of gold trees by the definition above."""
    found: set[Span] = set()
    for number, sentence in enumerate(sentences):
        children: list[list[int]] = [[] for _ in sentence.words]
        for word, head in enumerate(sentence.heads):
            if head != word:
                children[head].append(word)
        heads = [w for w, pos in enumerate(sentence.pos) if pos in NOUNS and sentence.deps[w] not in GRAMMAR]
        phrases = {head: _words(head, sentence, children) for head in heads}
        inside = {w for head, words in phrases.items() for w in words if w != head}
        base = int(tokens.offsets[number])
        for head in heads:
            if head not in inside:
                first, last = base + min(phrases[head]), base + max(phrases[head])
                found.add((number, int(tokens.start[first]), int(tokens.end[last]), int(tokens.start[base + head])))
    return found


def _words(head: int, sentence: Sentence, children: Sequence[Sequence[int]]) -> set[int]:
    """The head, and the subtrees that belong to its base phrase."""
    words = {head}
    for child in children[head]:
        relation = sentence.deps[child]
        if (child < head and relation in BEFORE) or (child > head and relation in AFTER):
            words |= _subtree(child, sentence, children)
    return words


def _subtree(top: int, sentence: Sentence, children: Sequence[Sequence[int]]) -> set[int]:
    """All words below `top`, but for prepositional phrases."""
    words = {top}
    for child in children[top]:
        prepositional = sentence.pos[child] in NOUNS and any(
            sentence.deps[c] == "case" and sentence.pos[c] == "ADP" for c in children[child]
        )
        if not prepositional:
            words |= _subtree(child, sentence, children)
    return words


def spans(chunks: Chunks, tokens: Tokens) -> set[Span]:
    heads = tokens.start[tokens.offsets[chunks.text] + chunks.head]
    columns = (chunks.text, chunks.char_start, chunks.char_end, heads)
    return set(zip(*(column.tolist() for column in columns), strict=True))


def score(found: set[Span], gold: set[Span], parts: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of the first `parts` of each span."""
    ours, theirs = {s[:parts] for s in found}, {s[:parts] for s in gold}
    right = len(ours & theirs)
    precision, recall = right / max(len(ours), 1), right / max(len(theirs), 1)
    return precision, recall, 2 * right / max(len(ours) + len(theirs), 1)
