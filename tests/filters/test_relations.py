"""What texts say of two things at once, on trees written by hand."""

import pytest

from filters.relations import relations
from tests.filters.test_syntax import MOPED, record


def told(*sentences):
    """(text, subject, words, object) of every relation."""
    tokens, texts = record(*sentences)
    found = relations(tokens, texts)

    def word(text, place):
        at = tokens.offsets[text] + place
        return texts[text][tokens.start[at] : tokens.end[at]]

    rows = zip(found.text.tolist(), found.subject, found.words, found.object, strict=True)
    return [(text, word(text, a), words, word(text, b)) for text, a, words, b in rows]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A/DET/2/det dog/NOUN/0/root on/ADP/5/case a/DET/5/det sofa/NOUN/2/nmod", [("dog", "on", "sofa")]),
        ("A/DET/2/det man/NOUN/0/root riding/VERB/2/acl a/DET/5/det horse/NOUN/3/obj", [("man", "riding", "horse")]),
        (
            "A/DET/2/det dog/NOUN/6/nsubj is/AUX/6/cop on/ADP/6/case the/DET/6/det sofa/NOUN/0/root",
            [("dog", "on", "sofa")],
        ),
        (
            "a/DET/2/det man/NOUN/3/nsubj sits/VERB/0/root on/ADP/5/case chairs/NOUN/NNS/3/obl and/CCONJ/7/cc "
            "reads/VERB/3/conj books/NOUN/NNS/7/obj",
            [("man", "sits on", "chairs"), ("man", "reads", "books")],
        ),
        (
            "a/DET/2/det cat/NOUN/6/nsubj and/CCONJ/5/cc two/NUM/5/nummod dogs/NOUN/NNS/2/conj eat/VERB/0/root fish/NOUN/6/obj",
            [("cat", "eat", "fish"), ("dogs", "eat", "fish")],
        ),
        (
            "a/DET/2/det dog/NOUN/0/root and/CCONJ/5/cc a/DET/5/det cat/NOUN/2/conj on/ADP/7/case sofas/NOUN/NNS/2/nmod",
            [("dog", "on", "sofas"), ("cat", "on", "sofas")],
        ),
        (
            "a/DET/2/det dog/NOUN/0/root on/ADP/4/case sofas/NOUN/NNS/2/nmod and/CCONJ/7/cc a/DET/7/det cat/NOUN/2/conj",
            [("dog", "on", "sofas")],
        ),
        (
            "a/DET/2/det man/NOUN/0/root eating/VERB/2/acl fish/NOUN/3/obj and/CCONJ/7/cc a/DET/7/det cat/NOUN/2/conj",
            [("man", "eating", "fish")],
        ),
        (
            "here/ADV/2/advmod sit/VERB/0/root cats/NOUN/NNS/2/nsubj and/CCONJ/5/cc dogs/NOUN/NNS/3/conj "
            "on/ADP/7/case sofas/NOUN/NNS/2/obl",
            [("cats", "sit on", "sofas"), ("dogs", "sit on", "sofas")],
        ),
        (
            "cups/NOUN/NNS/0/root on/ADP/3/case top/NOUN/1/nmod of/ADP/6/case a/DET/6/det table/NOUN/3/nmod",
            [("cups", "on top of", "table")],
        ),
        (
            "a/DET/2/det ball/NOUN/0/root that/PRON/WDT/5/obj dogs/NOUN/NNS/5/nsubj chase/VERB/2/acl:relcl",
            [("dogs", "chase", "ball")],
        ),
        (
            "a/DET/2/det man/NOUN/0/root who/PRON/WP/4/nsubj holds/VERB/2/acl:relcl bats/NOUN/NNS/4/obj",
            [("man", "holds", "bats")],
        ),
        (
            "a/DET/2/det cake/NOUN/0/root eaten/VERB/VBN/2/acl by/ADP/6/case a/DET/6/det dog/NOUN/3/obl:agent",
            [("cake", "eaten by", "dog")],
        ),
        (
            "dogs/NOUN/NNS/0/root and/CCONJ/3/cc cats/NOUN/NNS/1/conj on/ADP/5/case sofas/NOUN/NNS/3/nmod",
            [("dogs", "on", "sofas"), ("cats", "on", "sofas")],
        ),
        (
            "dogs/NOUN/NNS/0/root =,/PUNCT/3/punct cats/NOUN/NNS/1/conj and/CCONJ/5/cc birds/NOUN/NNS/3/conj "
            "eating/VERB/5/acl fish/NOUN/6/obj",
            [("dogs", "eating", "fish"), ("cats", "eating", "fish"), ("birds", "eating", "fish")],
        ),
        (
            "dogs/NOUN/NNS/0/root in/ADP/3/case boxes/NOUN/NNS/1/nmod and/CCONJ/5/cc cats/NOUN/NNS/1/conj "
            "on/ADP/7/case sofas/NOUN/NNS/5/nmod",
            [("dogs", "in", "boxes"), ("cats", "on", "sofas")],
        ),
        (
            "men/NOUN/NNS/0/root and/CCONJ/3/cc cups/NOUN/NNS/1/conj of/ADP/5/case tea/NOUN/3/nmod",
            [("cups", "of", "tea")],
        ),
        (
            "boys/NOUN/NNS/2/nsubj see/VERB/0/root dogs/NOUN/NNS/2/obj and/CCONJ/5/cc cats/NOUN/NNS/3/conj "
            "on/ADP/7/case sofas/NOUN/NNS/5/nmod",
            [("boys", "see", "dogs"), ("boys", "see", "cats"), ("cats", "on", "sofas")],
        ),
        ("a/DET/2/det place/NOUN/0/root to/PART/4/mark eat/VERB/2/acl fish/NOUN/4/obj", []),
        ("a/DET/2/det dog/NOUN/3/nsubj runs/VERB/0/root", []),
        ("", []),
    ],
)
def test_relations_of_a_sentence(sentence, expected):
    assert [row[1:] for row in told(sentence)] == expected


def test_texts_do_not_touch_each_other():
    one = [(1, "man", "with", "helmet"), (1, "man", "on", "moped"), (1, "man", "on", "road")]
    assert told("", MOPED, "dog/NOUN/0/root", MOPED) == [*one, *[(3, *row[1:]) for row in one]]
