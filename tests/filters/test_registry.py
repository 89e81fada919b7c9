"""Filters are found by name, and a user's own is one file."""

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import ConfigError, StageFailed
from filters.decision import reject
from filters.registry import FilterConfig, ask, cards, choose
from pipelines.config import explained, parse_config
from tests.filters.test_text_filters import columns

OWN = '''
from pydantic import Field
from filters.decision import Decision, reject
from filters.registry import FilterConfig, declare
from filters.texts import TextColumns

class QuestionsConfig(FilterConfig):
    """Texts that ask."""
    most: int = Field(0, ge=0, description="question marks that a text may have")

@declare("texts", "questions", QuestionsConfig, source="our choice")
def questions(texts: TextColumns, config: QuestionsConfig) -> Decision:
    """Reject texts that ask."""
    marks = texts.count(r"[?]")
    return reject(marks > config.most, "question", marks, config.most)
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package of somebody else with a filter, installed."""
    (tmp_path / "own_questions.py").write_text(OWN)
    info = tmp_path / "own_questions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-questions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fld.filters]\nquestions = own_questions\n")
    monkeypatch.syspath_prepend(tmp_path)
    cards.cache_clear()
    yield
    cards.cache_clear()


def test_a_filter_of_another_package_is_asked_where_it_is_named(own):
    assert "questions" not in choose("texts", {})
    chosen = choose("texts", {"questions": {"most": 1}})
    found = ask("texts", columns("a dog", "a dog?", "what? a dog?"), 3, chosen)
    assert found.kept.tolist() == [True, True, False]
    assert found.columns()["value"].to_pylist() == [None, None, 2.0]
    config = parse_config({"filters": {"texts": {"checks": {"questions": {"most": 2}}}}}, "here")
    assert ("filters.texts.checks.questions.most", 2) in [line[:2] for line in explained(config)]
    again = parse_config(config.model_dump(mode="json"), "again")
    assert again.filters.texts.checks == config.filters.texts.checks


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"boilerplat": {}}, "did you mean 'boilerplate'"),
        ({"repetition": {"max_copy": 2}}, "unknown key 'max_copy'; did you mean 'max_copies'"),
        ({"repetition": {"max_copies": 0}}, "greater than or equal to 1"),
        ({"leak": 3}, "leak"),
        ("leak", "as a table"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_place(tables, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_config({"filters": {"texts": {"checks": tables}}}, "here")
    assert "filters.texts.checks" in str(error.value)


def test_every_shipped_filter_tells_what_it_does_and_where_it_is_from():
    for family in ("texts", "phrases", "regions", "images"):
        for card in cards(family).values():
            assert card.about.startswith("Reject")
            assert card.source
            assert all(field.description for field in card.config.model_fields.values())


def test_an_answer_about_other_rows_is_an_error(own):
    class Broken(FilterConfig):
        """Nothing."""

    card = cards("texts")["questions"]
    cards("texts")["questions"] = type(card)(
        "texts", "questions", Broken, lambda columns, config: reject(np.zeros(1, bool), "odd"), "", ""
    )
    with pytest.raises(StageFailed, match="judged 1 rows of 2"):
        ask("texts", columns("a", "b"), 2, {"questions": Broken()})
    with pytest.raises(ConfigError, match="not installed"):
        ask("texts", pa.array(["a"]), 1, {"gone": Broken()})
