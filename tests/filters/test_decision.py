"""Keep, or a reason."""

import numpy as np
import pytest

from engine import schema as s
from filters.decision import first, keep, reject


def test_the_first_reason_wins():
    values = np.array([1.0, 5.0, 9.0, 3.0])
    low = reject(values < 4, "low", values, 4)
    odd = reject(np.array([True, False, True, False]), "odd")
    columns = first([keep(4), low, odd]).columns()
    assert columns[s.REASON].to_pylist() == ["low", None, "odd", "low"]
    assert columns[s.VALUE].to_pylist() == [1.0, None, None, 3.0]
    assert columns[s.THRESHOLD].to_pylist() == [4.0, None, None, 4.0]
    assert first([odd, low]).columns()[s.REASON].to_pylist() == ["odd", None, "odd", "low"]


def test_only_restricts_to_rows():
    odd = reject(np.ones(3, bool), "odd").only(np.array([True, False, True]))
    assert odd.kept.tolist() == [False, True, False]


def test_no_rows_and_no_reasons():
    assert first([keep(0)]).columns()[s.REASON].to_pylist() == []
    assert keep(2).columns()[s.REASON].to_pylist() == [None, None]


def test_decisions_over_different_rows_are_refused():
    with pytest.raises(ValueError, match="2, 3"):
        first([keep(2), keep(3)])
