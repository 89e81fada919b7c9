"""Which texts are noise."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from filters import texts
from filters.texts import TextFilterConfig, TextLimits


def test_texts_without_a_word_are_empty():
    column = pa.array(["a dog", "", None, "  \n", "...", "7", "犬"])
    assert texts.empty(column).kept.tolist() == [True, False, False, False, False, True, True]
    assert len(texts.empty(pa.array([], pa.string()))) == 0


def test_each_limit_has_its_reason():
    limits = TextLimits(min_tokens=3, max_tokens=10, max_objects=4, min_object_complexity=1, min_action_complexity=1)
    found = texts.limits(
        np.array([2, 11, 5, 5, 5, 5]),
        np.array([1, 1, 5, 1, 1, 1]),
        np.array([2.0, 2, 2, 0.5, 2, 2]),
        np.array([2.0, 2, 2, 2, 0, 2]),
        limits,
    )
    assert [found.reasons[code] if code >= 0 else None for code in found.code] == [
        "too short",
        "too long",
        "too many objects",
        "object complexity",
        "action complexity",
        None,
    ]
    assert found.value[:5].tolist() == [2, 11, 5, 0.5, 0]
    assert found.threshold[:5].tolist() == [3, 10, 4, 1, 1]


def test_a_repeated_text_goes_but_only_within_its_image_and_after_a_kept_one():
    column = pa.array(["A dog.", "a  dog. ", "a dog.", "a cat.", "A DOG."])
    image = np.array([0, 0, 1, 0, 0])
    assert texts.duplicates(column, image, np.ones(5, bool)).kept.tolist() == [True, False, True, True, False]
    candidates = np.array([False, True, True, True, True])
    assert texts.duplicates(column, image, candidates).kept.tolist() == [True, True, True, True, False]


def test_a_wrong_key_is_refused():
    with pytest.raises(ValidationError):
        TextFilterConfig.model_validate({"breif": {}})
