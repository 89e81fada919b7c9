"""What is known about every specialist, learned without labels, as a small table that a run keeps.

The model. Boxes of different specialists that cover each other form a cluster, and a cluster is one thing or nothing.

- A thing of size z and label k is found by specialist s with probability recall[s, z, k], unless s does not know k (it
  abstains). Two specialists that find the same things beyond what size and label explain are tied: the tree of largest
  correlations (Chow and Liu 1968) lets the second say only what the first has not said.
- A false thing is imagined first by one specialist (`founds`) and repeated by others with probability joins[s, t], so
  that what two specialists imagine together is learned as such, and chance agreement stays rare.
- The score of s multiplies the odds by exp(llr(score)), a monotone curve over the specialist's own quantiles.
- s names a thing rightly with probability right[s]; errors are shared among labels as all specialists' errors are.
- A side lies where the thing's does, shifted by bias[s, side], with variance spread[s, z, side] relative to the box,
  times laxness[s, quarter of its scores]: boxes of low scores are less exact, in all specialists in much the same way.
  Where two exact specialists have no third to judge them, that tells whose errors their differences are.
- A specialist that repeats another's boxes or scores to the last bit is its copy: what it repeats is no vote.
- Of two specialists with kin[s, t] in 0..1 the less exact one counts only 1 - kin in score, label and sides.

Dawid and Skene (1979) is the ancestor; false things that are founded, kin, scores and sides are ours. Sizes are COCO's.
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
BINS: Final = 12  # of equally many boxes: with 50 images a specialist has about 20 in each
QUARTERS: Final = 4  # of these bins, three at a time
LOGIT_LIMIT: Final = 14.0


class Model(NamedTuple):
    """Reliabilities as arrays: S specialists, L labels, 3 sizes, 4 sides (x0, y0, x1, y1), E errors seen.

    `things` (3,) expected number of true things by size; `share` (L,) of each label among them; `recall` (S, 3, L);
    `knows` (S, L); `parent` (S,) of each specialist in the tree of presence (-1: none) and `tie` (S,) its correlation
    with it; `founds` (S, 3) expected number of false things; `joins` (S, S) how likely the second repeats a false
    thing of the first; `noise_share` (L,) of labels among false things; `noise_agrees` (1,) how often those who repeat
    one also agree in its label; `right` (S,) how often a thing is named rightly; `error_keys` (E,) sorted true * L + said
    and `error_share` (E,) of said among the errors about true, `error_rest` (L,) what is left for errors not seen;
    `spread` (S, 3, 4) and `bias` (S, 4) relative to the box's width or height, `laxness` (S, QUARTERS) times which the
    spread is at each quarter of the scores; `kin` (S, S) with 0 on the diagonal;
    `ranks` (S,) 0 for the most exact specialist; `score_at` (S, BINS) ascending logits of scores and `score_llr`
    (S, BINS) the log of how much more frequent such a score is on things than on nothing; `above_keys` sorted
    narrow * L + broad of labels that contain others; `original` (S,) whom a specialist copies (-1: nobody).
    """

    things: F64
    share: F64
    recall: F64
    knows: NDArray[np.bool_]
    parent: I64
    tie: F64
    founds: F64
    joins: F64
    noise_share: F64
    noise_agrees: F64
    right: F64
    error_keys: I64
    error_share: F64
    error_rest: F64
    spread: F64
    bias: F64
    laxness: F64
    kin: F64
    ranks: I64
    score_at: F64
    score_llr: F64
    above_keys: I64
    original: I64


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
# Along what each array of a model lies: specialists, labels, sizes (z), bins of score, quarters of them (q), 4 sides, and lists (e).
_AXES: Final = {
    "things": "z", "share": "l", "recall": "szl", "knows": "sl", "parent": "s", "tie": "s", "founds": "sz",
    "joins": "ss", "noise_share": "l", "noise_agrees": "1", "right": "s", "error_keys": "e", "error_share": "e",
    "error_rest": "l", "spread": "sz4", "bias": "s4", "laxness": "sq", "kin": "ss", "ranks": "s", "score_at": "sb", "score_llr": "sb",
    "above_keys": "e", "original": "s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reliabilities:
    """`model` over `specialists` and `labels`, both in the sorted order of their names."""

    specialists: list[str]
    labels: list[str]
    model: Model

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
                kind: values[kinds == kind].reshape(_shape(kind, n, n_labels)).astype(_type(kind))
                for kind in Model._fields
            }
        except ValueError as error:
            raise StoreError(f"a table of reliabilities is incomplete ({error}); estimate it again") from error
        return cls(specialists, labels, Model(**arrays))


def report(reliabilities: Reliabilities) -> Iterator[dict[str, str | float]]:
    """For people: each specialist's recall by size, expected false boxes, exactness in pixels of 100, what only it
    finds, and kin. People are left out: nothing is learned about them."""
    m = reliabilities.model
    for i, name in enumerate(reliabilities.specialists):
        known = m.knows[m.original[i] if m.original[i] >= 0 else i]  # a copy has no vote, but knows the same
        if not known.any():
            continue
        weight = m.share * known
        recall = m.recall[i] @ weight / max(float(weight.sum()), 1e-12)
        nearest = int(np.argmax(np.where(np.arange(len(m.kin)) == i, -1.0, m.kin[i])))
        yield {
            s.SPECIALIST: name,
            **{f"recall_{size}": float(recall[z]) for z, size in enumerate(SIZES)},
            "false_share": float(m.founds[i].sum() / (m.founds[i].sum() + m.things @ recall)),
            "right_label": float(m.right[i]),
            "side_error": float(np.sqrt(m.spread[i].mean())),
            "score_tells": float(m.score_llr[i, -1] - m.score_llr[i, 0]),
            "alone": _alone(m, i),
            "nearest": reliabilities.specialists[nearest],
            "nearest_kin": float(m.kin[i, nearest]),
        }


def _alone(m: Model, one: int) -> float:
    """What part of all things this specialist finds and nobody else."""
    found = m.recall * m.knows[:, None, :]
    others = np.prod(1 - np.delete(found, one, axis=0), axis=0)
    things = m.things[:, None] * m.share
    return float((found[one] * others * things).sum() / max(float(things.sum()), 1e-12))


def _shape(kind: str, n: int, n_labels: int) -> tuple[int, ...]:
    lengths = {"s": n, "l": n_labels, "z": len(SIZES), "b": BINS, "q": QUARTERS, "4": 4, "1": 1, "e": -1}
    return tuple(lengths[axis] for axis in _AXES[kind])


def _type(kind: str) -> type:
    if kind == "knows":
        return np.bool_
    return np.int64 if kind in ("parent", "ranks", "error_keys", "above_keys", "original") else np.float64


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
