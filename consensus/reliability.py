"""What is known about every specialist, as a small table that a run keeps.

The model. Boxes of one word in one place are a claim. Each voter's score s is taken for m(s), the geometric mean of s and
of what the others say where it is said (scaled alike for all): a score is nearly right to begin with, and who is often
contradicted is believed less. The claim is false if all voices are wrong at once,

    P(thing) = 1 - prod over voters of (1 - m)^(v w),

where w are the weights of all who could have voted, adding up to 1 (the silent ones' are lost), and v is how many
independent voices they are worth: those who learned from the same labels see and dream the same, so never more than
`VOICES`, and no more than the weights leave (1 / sum of w^2). It is a pool of log odds of absence between "n independent
voices" and "one voice heard n times" (Genest and Zidek 1986). A second claim of the word that overlaps a surer one is
mostly the same thing, and a claim of another word in the same place is a rival with a probability of its own.

Weights of words and of sides follow how exact a specialist is (`consensus.exactness`). Places are means of the voters'
sides, weighed much more steeply, because the errors of those who see the same go together, and then nearly all weight
belongs to the more exact (Bates and Granger 1969).

Nothing here was told what is right. Where people drew boxes in some images (gold), they say what claims are worth, and
confidence is calibrated by three numbers (beta calibration, Kull et al. 2017).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine import schema as s
from engine.errors import StoreError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SIZES: Final = ("small", "medium", "large")
SIZE_LIMITS: Final = (32.0**2, 96.0**2)  # square pixels; pycocotools, Params.areaRng
BINS: Final = 30  # of equal mass of scores
UNTOLD: Final = -1.0  # what nobody could tell
VOICES: Final = 2.0  # our choice: of 1.5, 2, 2.5 and 3 the one whose claims were right as often as they say, on
# `benchmarks real`, for any two to seven detectors


_WORSE: Final = 0.005  # of average precision, from which on all together are said to be worse than one alone
# Of the weight, from which on one is said to be nearly all. Of pairs of real detectors in which one has more, all together
# were never more than 0.017 AP better than it, and one time of six worse.
_NEARLY_ALL: Final = 0.75


class Model(NamedTuple):
    """S specialists, L labels, 3 sizes.

    `knows` (S, L); `above_keys` sorted narrow * L + broad of labels that contain others; `original` (S,) whom a
    specialist copies (-1: nobody). `edge` and `side` (S,) how exact it is (`consensus.exactness`), from which follow
    `trust` and `exact` (S,), the weights of its words and of its sides, 0 of people; `kin` (S, S) how far two err alike,
    0 on the diagonal. `score_at` (S, BINS) rising scores
    and `agreed` (S, BINS) what others say there. `calibration` (3,) of beta calibration, (1, 1, 0) where nobody told;
    `judged` (1,) how many claims people judged. For people's eyes: `recall` (S, 3) of what others see, by size;
    `false_share` (S,) of what it says; `alone` (S,) the part of all things that nobody else claims; `gold_ap` (S + 1,)
    average precision on what people drew, of each specialist and, last, of the consensus. `UNTOLD` is what
    nobody could tell.
    """

    knows: NDArray[np.bool_]
    above_keys: I64
    original: I64
    edge: F64
    side: F64
    kin: F64
    trust: F64
    exact: F64
    score_at: F64
    agreed: F64
    calibration: F64
    judged: I64
    recall: F64
    false_share: F64
    alone: F64
    gold_ap: F64


# One row a number: which specialist (or both, or none), which property, where in its array, and the value.
SCHEMA: Final = pa.schema(
    [
        pa.field(s.KIND, pa.string()),
        pa.field(s.NUMBER, pa.int32()),
        pa.field(s.SPECIALIST, pa.string()),
        pa.field(s.LABEL, pa.string()),
        pa.field(s.VALUE, pa.float64()),
    ]
)
_NAMES: Final = "names"
# Along what each array of a model lies: specialists, labels, sizes (z), bins of score, lists (e), and plain numbers.
_AXES: Final = {
    "knows": "sl", "above_keys": "e", "original": "s", "edge": "s", "side": "s", "kin": "ss", "trust": "s", "exact": "s",
    "score_at": "sb", "agreed": "sb", "calibration": "3", "judged": "1", "recall": "sz", "false_share": "s",
    "alone": "s", "gold_ap": "e",
}  # fmt: skip
_TYPES: Final = {"knows": np.bool_, "above_keys": np.int64, "original": np.int64, "judged": np.int64}


@dataclass(frozen=True, slots=True)
class Reliabilities:
    """`model` over `specialists` and `labels`, both in the sorted order of their names."""

    specialists: list[str]
    labels: list[str]
    model: Model

    def with_labels(
        self, labels: Sequence[str], knows: NDArray[np.bool_], above: Sequence[tuple[int, int]]
    ) -> "Reliabilities":
        """With further labels (U), which the sample never met, behind its own: `knows` (S, U) says who can name them,
        `above` holds all (narrow, broad) pairs of numbers among all labels."""
        if not labels:
            return self
        n = len(self.labels) + len(labels)
        model = self.model._replace(
            knows=np.concatenate([self.model.knows, knows], axis=1),
            above_keys=np.sort(np.array([narrow * n + broad for narrow, broad in above], np.int64)),
        )
        return Reliabilities(self.specialists, [*self.labels, *labels], model)

    def to_table(self) -> pa.Table:
        """Everything, as a table `SCHEMA`; `from_table` gives the same numbers back, bit by bit."""
        nobody: list[None] = [None]
        parts = [
            _rows(_NAMES, np.zeros(len(self.specialists)), self.specialists, nobody * len(self.specialists)),
            _rows(_NAMES, np.zeros(len(self.labels)), nobody * len(self.labels), self.labels),
        ]
        for kind, array in zip(Model._fields, self.model, strict=True):
            who, what = (
                _owners(kind, array.shape, axis, names) for axis, names in (("s", self.specialists), ("l", self.labels))
            )
            parts.append(_rows(kind, np.asarray(array, np.float64).ravel(), who, what))
        return pa.concat_tables(parts)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Reliabilities":
        """Raises: StoreError: the table is not one of reliabilities."""
        if table.schema.names != SCHEMA.names:
            raise StoreError(f"reliabilities have the columns {SCHEMA.names}, not {table.schema.names}")
        kinds = np.asarray(table.column(s.KIND).to_numpy(zero_copy_only=False))
        values = table.column(s.VALUE).to_numpy()
        named = table.filter(pa.array(kinds == _NAMES))
        specialists = [name for name in named.column(s.SPECIALIST).to_pylist() if name is not None]
        labels = [name for name in named.column(s.LABEL).to_pylist() if name is not None]
        n, n_labels = len(specialists), len(labels)
        try:
            arrays = {
                kind: values[kinds == kind].reshape(_shape(kind, n, n_labels)).astype(_TYPES.get(kind, np.float64))
                for kind in Model._fields
            }
        except ValueError as error:
            raise StoreError(f"a table of reliabilities is incomplete ({error}); estimate it again") from error
        return cls(specialists, labels, Model(**arrays))


def report(reliabilities: Reliabilities) -> Iterator[dict[str, str | float | None]]:
    """For people: one row for each specialist that is no person; None for what nobody could tell.

    `recall_*` of what the others see, by size; `false_share` of what it says; `side_error` and `edge_error` in parts of
    the box; `weight` of its word among all; `alone`, the part of all things that it alone claims; `copy_of`; `kin`, how far
    it errs as its nearest does; and `gold_ap`, its average precision (IoU 0.5, all words together) in images that people judged.
    """
    m = reliabilities.model
    for i, name in enumerate(reliabilities.specialists):
        if m.trust[i] <= 0:
            continue
        yield {
            s.SPECIALIST: name,
            **{f"recall_{size}": _told(m.recall[i, z]) for z, size in enumerate(SIZES)},
            "false_share": _told(m.false_share[i]),
            "side_error": float(m.side[i]),
            "edge_error": float(m.edge[i]),
            "weight": float(m.trust[i]),
            "alone": _told(m.alone[i]),
            "copy_of": reliabilities.specialists[m.original[i]] if m.original[i] >= 0 else None,
            "kin": float(m.kin[i].max()) if len(m.kin) > 1 else 0.0,
            "gold_ap": _told(m.gold_ap[i]),
        }


def advice(reliabilities: Reliabilities) -> list[str]:
    """What people should know of the run's confidence, in sentences: what it rests on, and where one specialist alone is as
    good as all together, as far as can be told."""
    m, names = reliabilities.model, reliabilities.specialists
    voting = np.flatnonzero((m.trust > 0) & (m.original < 0))
    if not len(voting):
        return []
    best = int(voting[np.argmax(m.gold_ap[voting] if m.judged[0] else m.trust[voting])])
    if m.judged[0]:
        alone, together = m.gold_ap[best], m.gold_ap[-1]
        said = [f"Confidence of objects is calibrated by people, who judged {m.judged[0]:,} claims."]
        if len(voting) > 1 and alone > together + _WORSE:
            said.append(f"Where people drew, {names[best]} alone is better than all together: average precision "
                        f"{alone:.3f} against {together:.3f}. Leave the others out.")  # fmt: skip
        return said
    said = ["Nobody drew what is there, so confidence of objects is an estimate; people's boxes (gold = true) in 20 to 100 "
            "images calibrate it."]  # fmt: skip
    if len(voting) > 1 and m.trust[best] > _NEARLY_ALL:
        said.append(f"{names[best]} has {m.trust[best]:.0%} of the weight: by their exactness the others are so much worse "
                    "that all together are hardly better than it alone, and may be worse.")  # fmt: skip
    return said


def _told(value: float) -> float | None:
    return None if value < 0 else float(value)


def _shape(kind: str, n: int, n_labels: int) -> tuple[int, ...]:
    lengths = {"s": n, "l": n_labels, "z": len(SIZES), "b": BINS, "3": 3, "1": 1, "e": -1}
    return tuple(lengths[axis] for axis in _AXES[kind])


def _owners(kind: str, shape: tuple[int, ...], axis: str, names: Sequence[str]) -> Sequence[str | None]:
    """Whose (or of which label) each number of an array is, for people who read the table; the first such axis counts."""
    at = _AXES[kind].find(axis)
    if at < 0:
        return [None] * int(np.prod(shape))
    return [names[i] for i in np.indices(shape)[at].ravel().tolist()]


def _rows(kind: str, values: F64, specialists: Sequence[str | None], labels: Sequence[str | None]) -> pa.Table:
    columns = [
        pa.array([kind], pa.string()).take(pa.array(np.zeros(len(values), np.int64))),
        pa.array(np.arange(len(values)), pa.int32()),
        pa.array(specialists, pa.string()),
        pa.array(labels, pa.string()),
        pa.array(values, pa.float64()),
    ]
    return pa.table(columns, schema=SCHEMA)
