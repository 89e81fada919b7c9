"""Boxes of several specialists become clusters, each one thing in the image.

Two behaviours of one kernel. `cluster` is ours: words do not keep boxes apart, two boxes of one specialist are two
things unless nearly identical and uncertain of their words, and human labels are never merged. `reference_fusion` decides exactly as
`ensemble_boxes.weighted_boxes_fusion` (Solovyev et al. 2021, arXiv:1910.13302); it exists to be compared with.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

ConfType = Literal["avg", "max", "box_and_model_avg", "absent_model_aware_avg"]


class BoxFusionConfig(BaseModel):
    """When boxes of different specialists are one thing. Every value is our choice: the paper gives no consensus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    iou: float = Field(
        default=0.7, ge=0.0, le=1.0, description="boxes with different labels are one thing above this IoU (our choice)"
    )
    label_bonus: float = Field(
        default=0.15,
        ge=0.0,
        le=1.0,
        description="a shared label is worth this much IoU (our choice: 0.7 - 0.15 is 0.55, as in ensemble_boxes)",
    )
    duplicate_iou: float = Field(
        default=0.9,
        ge=0.0,
        le=1.0,
        description="two boxes of one specialist are one thing from this IoU on (our choice)",
    )


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """Boxes of a shard, grouped: those of group g (an image, or a phrase) stand at offsets[g]:offsets[g+1].

    `boxes` (n, 4) as (x0, y0, x1, y1), in pixels where sizes matter (what is learned is by COCO's small, medium and large;
    in other units everything is one size); `scores` (n,) in 0..1, `specialists` (n,) and `labels` (n,) are numbers.
    For results that do not depend on the order of input, number both in the sorted order of their names.
    """

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    specialists: NDArray[np.integer]
    labels: NDArray[np.integer]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def groups(self) -> NDArray[np.int64]:
        """For each box its group: (n,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def only(self, rows: NDArray[np.bool_]) -> "BoxColumns":
        """The rows (n,) that are marked, in the same groups."""
        offsets = np.concatenate([[0], np.cumsum(rows)])[self.offsets].astype(np.int64)
        return BoxColumns(self.boxes[rows], self.scores[rows], self.specialists[rows], self.labels[rows], offsets)

    def labelled(self, labels: NDArray[np.integer]) -> "BoxColumns":
        """The same boxes with other labels (n,)."""
        return replace(self, labels=labels)

    def check_finite(self) -> None:
        """Nothing can be weighed by a number that is none, and everything beside it would be lost with it.

        Raises:
            ValueError: a coordinate or a score is NaN or infinite; it says of which row.
        """
        bad = ~(np.isfinite(self.boxes).all(axis=1) & np.isfinite(self.scores))
        if bad.any():
            row = int(np.argmax(bad))
            told = ", ".join(f"{value:g}" for value in np.asarray(self.boxes)[row])
            raise ValueError(
                f"{int(bad.sum())} of {len(self)} boxes have a coordinate or a score that is not finite (row {row}: box "
                f"({told}), score {self.scores[row]:g}); leave them out"
            )


@dataclass(frozen=True, slots=True)
class Words:
    """Which labels are rivals: two that some specialist knows, neither of which contains the other.

    `known` (L,) has a bit for each specialist that knows the label (specialists of the same number modulo 64 share one),
    `above` sorted narrow * L + broad of labels that contain others.
    """

    known: NDArray[np.uint64]
    above: NDArray[np.int64]

    @classmethod
    def of(cls, knows: NDArray[np.bool_], above: NDArray[np.int64]) -> "Words":
        """From who `knows` (S, L) which label."""
        bits = np.zeros(knows.shape[1], np.uint64)
        for specialist, row in enumerate(knows):
            bits |= row.astype(np.uint64) << np.uint64(specialist % 64)
        return cls(bits, above)

    def apart(self, labels: NDArray[np.integer]) -> bool:
        """Whether all of these labels (n,) are known to be rivals of each other: one specialist knows every one."""
        if not len(self.known) or len(self.above) or not len(labels):
            return False
        return bool(np.bitwise_and.reduce(self.known[labels]))


NO_WORDS: Final = Words(np.zeros(0, np.uint64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters of group g stand at offsets[g]:offsets[g+1], in descending score, ties by coordinates.

    `boxes` (k, 4) float64; `scores` (k,) is a fused score (`reference_fusion`) or the summed strength (`cluster`);
    `labels` (k,) the winning label; `winners` (k,) the strongest row with that label. The rows of cluster c, strongest
    first, are members[member_offsets[c]:member_offsets[c+1]].
    """

    offsets: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    winners: NDArray[np.int64]
    member_offsets: NDArray[np.int64]
    members: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def groups(self) -> NDArray[np.int64]:
        """For each cluster its group: (k,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def cluster_of_members(self) -> NDArray[np.int64]:
        """For each entry of `members` its cluster: (len(members),)."""
        return np.repeat(np.arange(len(self)), np.diff(self.member_offsets))


def cluster(
    columns: BoxColumns,
    weights: NDArray[np.floating],
    config: BoxFusionConfig,
    gold: NDArray[np.bool_] | None = None,
    alone: NDArray[np.bool_] | None = None,
    words: "Words | None" = None,
) -> Clusters:
    """Our clusters of a shard; every box is in exactly one.

    Boxes are taken gold first, then by strength (score times the weight of the specialist, `weights` (specialists,)),
    then by coordinates. A box joins the cluster of highest IoU with the cluster's mean box (weighted by strength),
    a shared label counting `label_bonus`, unless a label there is a rival (`words`; without, none is), or its specialist
    has a box there already. Such a twin joins, but moves
    neither geometry nor score, if it is nearly identical and has the same label, or the specialist is not sure of both
    labels (`kernels._BOTH`): a surely seen "person" on a surely seen "chair" are two things. Rows
    marked `gold` (n,) found clusters whose geometry they fix, and never meet another gold row; rows marked `alone` (n,)
    stay by themselves. The result is the same for any order of the rows of a group. Label: highest summed strength, each
    specialist once for a label, ties by summed score, then by the lower label number; a gold row's own label wins.
    """
    from consensus import kernels

    roles = np.full(len(columns), kernels.FUSE, np.int8)
    if gold is not None:
        roles[gold] = kernels.GOLD
    if alone is not None:
        roles[alone] = kernels.ALONE
    strengths = np.maximum(_strengths(columns, weights), 0.0)
    found = _run(columns, strengths, roles, config, words or NO_WORDS)
    members, member_offsets = found.members, found.member_offsets
    places, support = kernels.vote(
        member_offsets, members, _int(columns.specialists), _int(columns.labels), _float(columns.scores), strengths
    )
    winners = members[places]
    if len(members):
        heads = members[member_offsets[:-1]]
        winners = np.where(roles[heads] == kernels.GOLD, heads, winners)
    return _ranked(found, support, _int(columns.labels)[winners], winners)


def reference_fusion(
    columns: BoxColumns,
    weights: NDArray[np.floating],
    iou_threshold: float = 0.55,
    skip_threshold: float = 0.0,
    conf_type: ConfType = "avg",
) -> Clusters:
    """Weighted boxes fusion of every group exactly as ensemble_boxes 1.0.9 does it with `allows_overflow=False`.

    Only boxes of one label meet, a specialist may count several times, boxes under `skip_threshold` or without area
    are in no cluster. Scores follow `get_weighted_box` and the end of `weighted_boxes_fusion` there; `weights` has
    one entry a model, also for models without boxes. Coordinates must not be negative; scale does not matter.
    """
    from consensus import kernels

    boxes = _float(columns.boxes)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    skipped = (_float(columns.scores) < skip_threshold) | (area == 0.0)
    roles = np.where(skipped, kernels.SKIP, kernels.FUSE).astype(np.int8)
    strengths = _strengths(columns, weights)
    plain = BoxFusionConfig(iou=iou_threshold, label_bonus=0.0, duplicate_iou=0.0)
    found = _run(columns, strengths, roles, plain, NO_WORDS, reference=True)
    scores = _reference_scores(found, columns, strengths, _float(weights), conf_type)
    heads = found.members[found.member_offsets[:-1]]
    return _ranked(found, scores, _int(columns.labels)[heads], heads)


@dataclass(frozen=True, slots=True)
class _Found:
    groups: NDArray[np.int64]
    boxes: NDArray[np.float64]
    member_offsets: NDArray[np.int64]
    members: NDArray[np.int64]


def _run(
    columns: BoxColumns,
    strengths: NDArray[np.float64],
    roles: NDArray[np.int8],
    config: BoxFusionConfig,
    words: Words,
    reference: bool = False,
) -> _Found:
    from consensus import kernels

    boxes = np.ascontiguousarray(_float(columns.boxes))
    specialists, labels = _int(columns.specialists), _int(columns.labels)
    if reference:
        order = kernels.latest_first(_int(columns.offsets), strengths)
    else:
        order = kernels.canonical(_int(columns.offsets), roles != kernels.GOLD, strengths, boxes, labels, specialists)
    means, offsets, member_offsets, members = kernels.cluster(
        boxes, order, _int(columns.offsets), strengths, _float(columns.scores), specialists, labels, roles, words.known,
        words.above, config.iou, config.label_bonus, config.duplicate_iou, reference, words.apart(labels),
    )  # fmt: skip
    return _Found(offsets, means, member_offsets, members)


def _reference_scores(
    found: _Found,
    columns: BoxColumns,
    strengths: NDArray[np.float64],
    weights: NDArray[np.float64],
    conf_type: ConfType,
) -> NDArray[np.float64]:
    k = len(found.boxes)
    sizes = np.diff(found.member_offsets)
    of = np.repeat(np.arange(k), sizes)
    specialists = _int(columns.specialists)[found.members]
    strength = strengths[found.members]
    total = np.bincount(of, strength, minlength=k)
    if conf_type == "max":
        highest = np.zeros(k)
        np.maximum.at(highest, of, strength)
        return highest / weights.max() if k else highest
    if conf_type == "avg":
        return np.asarray(total / sizes * np.minimum(len(weights), sizes) / weights.sum())
    weight = np.bincount(of, weights[specialists], minlength=k)
    seen = np.zeros((k, len(weights)), bool)
    seen[of, specialists] = True
    if conf_type == "box_and_model_avg":
        return np.asarray(total / weight * (seen @ weights) / weights.sum())
    return np.asarray(total / (weight + ~seen @ weights))


def _ranked(
    found: _Found, scores: NDArray[np.float64], labels: NDArray[np.int64], winners: NDArray[np.int64]
) -> Clusters:
    """The clusters in descending score within their group, ties by coordinates, then label."""
    from consensus import kernels

    same = np.zeros(len(labels), np.int64)
    order = kernels.canonical(found.groups, same.astype(bool), scores, found.boxes, labels, same)
    sizes = np.diff(found.member_offsets)[order]
    ends = np.cumsum(sizes)
    # positions in the old `members` of each cluster's run, in the new order
    places = np.arange(len(found.members)) + np.repeat(found.member_offsets[:-1][order] - (ends - sizes), sizes)
    return Clusters(
        found.groups,
        found.boxes[order],
        scores[order],
        labels[order],
        winners[order],
        np.concatenate([[0], ends]).astype(np.int64),
        found.members[places],
    )


def _strengths(columns: BoxColumns, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    return _float(columns.scores) * _float(weights)[_int(columns.specialists)]


def _float(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _int(values: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)
