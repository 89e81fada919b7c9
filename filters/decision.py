"""What a filter answers: for every row keep, or a reason with the value and the threshold behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from engine import schema as s

KEEP = -1


@dataclass(frozen=True, slots=True)
class Decision:
    """`code` (n,) indexes `reasons`, -1 means keep; `value` and `threshold` (n,) mean something where code >= 0.

    A NaN value or threshold means that the reason has none.
    """

    reasons: tuple[str, ...]
    code: NDArray[np.int16]
    value: NDArray[np.float64]
    threshold: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.code)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Rows without a reason: (n,)."""
        return np.equal(self.code, KEEP)

    def take(self, rows: NDArray[np.integer]) -> "Decision":
        """The decision of the given rows: (len(rows),)."""
        return Decision(self.reasons, self.code[rows], self.value[rows], self.threshold[rows])

    def only(self, rows: NDArray[np.bool_]) -> "Decision":
        """The same for `rows` (n,); every other row is kept."""
        return Decision(self.reasons, np.where(rows, self.code, KEEP).astype(np.int16), self.value, self.threshold)

    def columns(self) -> dict[str, pa.Array]:
        """The three columns `engine.schema.DECISION`, null where kept."""
        kept = self.kept
        reasons = pa.array([*self.reasons], pa.string())
        return {
            s.REASON: reasons.take(pa.array(self.code, mask=kept)),
            s.VALUE: pa.array(self.value, pa.float64(), mask=kept | np.isnan(self.value)),
            s.THRESHOLD: pa.array(self.threshold, pa.float64(), mask=kept | np.isnan(self.threshold)),
        }


def keep(n: int) -> Decision:
    """Keep n rows."""
    return Decision((), np.full(n, KEEP, np.int16), np.zeros(n), np.zeros(n))


def reject(where: NDArray[np.bool_], reason: str, value: ArrayLike = np.nan, threshold: ArrayLike = np.nan) -> Decision:
    """Reject the rows `where` (n,) for one reason; `value` and `threshold` are (n,) or one number."""
    n = len(where)
    return Decision(
        (reason,),
        np.where(where, 0, KEEP).astype(np.int16),
        np.broadcast_to(np.asarray(value, np.float64), n).copy(),
        np.broadcast_to(np.asarray(threshold, np.float64), n).copy(),
    )


def below(values: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Which values (n,) are under a threshold; NaN counts as under it.

    Compared as float32, as which all scores are kept: 0.9 read back from a table is a little less than 0.9.
    """
    return np.asarray(~(np.asarray(values, np.float32) >= np.float32(threshold)))


def first(decisions: Sequence[Decision]) -> Decision:
    """Combine decisions over the same rows: the first reason wins.

    Raises:
        ValueError: no decision, or decisions over different numbers of rows.
    """
    if not decisions or len({len(d) for d in decisions}) != 1:
        raise ValueError(
            f"decisions over {[len(d) for d in decisions]} rows cannot be combined; give them the same rows"
        )
    reasons: list[str] = []
    head = decisions[0]
    code, value, threshold = head.code.copy(), head.value.copy(), head.threshold.copy()
    reasons.extend(head.reasons)
    for other in decisions[1:]:
        new = (code == KEEP) & ~other.kept
        code[new] = other.code[new] + len(reasons)
        value[new], threshold[new] = other.value[new], other.threshold[new]
        reasons.extend(other.reasons)
    return Decision(tuple(reasons), code, value, threshold)
