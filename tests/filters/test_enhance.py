"""Texts are mended before they are parsed."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.enhance import enhanced, in_capitals


@pytest.mark.parametrize(
    ("said", "published"),
    [
        ("CafÃ© on a street", "Café on a street"),
        ("  a dog\u200b on\xa0 a\n sofa.", "a dog on a sofa."),
        ("a dog &amp; a cat", "a dog & a cat"),
        ('"a dog on a sofa"', "a dog on a sofa"),
        ('"stop" and "go"', '"stop" and "go"'),
        ("“a dog”", "a dog"),
        ("a sign with “go” on it", "a sign with “go” on it"),
        ("a ﬁsh", "a fish"),
        ("او می\u200cخواهد", "او می\u200cخواهد"),  # "he wants": without the non-joiner another word
        ("क्\u200dष", "क्\u200dष"),
        ("a 👩🏽\u200d🚒 and a ❤\ufe0f\u200d🔥", "a 👩🏽\u200d🚒 and a ❤\ufe0f\u200d🔥"),
        ("a do\u200dg\u200c", "a dog"),
        ("\u200cسگ\u200c و گربه\u200c.", "سگ و گربه."),
        ("A DOG ON A SOFA", "A dog on a sofa"),
        ("A Dog On A Sofa With Two Cats", "A dog on a sofa with two cats"),
        ("The Eiffel Tower", "The Eiffel Tower"),
        ("A STOP sign", "A STOP sign"),
        ("A TV", "A TV"),
        ("", ""),
        (None, None),
    ],
)
def test_mended(said, published):
    assert enhanced(pa.array([said], pa.string())).to_pylist() == [published]


def test_capitals_are_told_of_whole_texts():
    said = pa.array(["A DOG ON A SOFA", "A STOP sign", "STOP", None])
    assert in_capitals(said).to_pylist() == [True, False, False, False]


def test_chunked_and_empty_columns():
    assert enhanced(pa.chunked_array([["a  dog"], [" a cat"]])).to_pylist() == ["a dog", "a cat"]
    assert enhanced(pa.array([], pa.string())).to_pylist() == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=4))
def test_whatever_was_said_has_single_spaces_and_as_many_rows(said):
    published = enhanced(pa.array(said, pa.string())).to_pylist()
    assert len(published) == len(said)
    assert all(" ".join(text.split()) == text for text in published)
