"""From what specialists said in a sample of shards to how far each can be trusted, without labels.

Three looks, each a sum over shards in whole numbers, so that their order changes no bit: how exact everybody is
(`consensus.exactness`), which gives the weights; what the others say where each gives a score, which tells what its
scores mean; and what the claims that follow are worth, where people drew. The model is that of `consensus.reliability`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus import calibration, exactness
from consensus.boxes import BoxColumns, BoxFusionConfig, Words, cluster
from consensus.fusion import Claims, claims
from consensus.reliability import BINS, SIZE_LIMITS, SIZES, UNTOLD, Model, Reliabilities
from consensus.sample import Shard
from engine.errors import ConfigError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

CELLS: Final = 1000  # of a histogram over scores
_FIXED: Final = 2.0**24  # as in `consensus.exactness`
_MEET: Final = 0.5  # IoU from which on two boxes tell how exact they are
# How steeply weights follow exactness, as powers of what the frame and what pairs tell: of words, and of sides. Our
# choice on `benchmarks real`, where half and twice as much cost 0.001 to 0.003 AP.
_TRUST: Final = (1.5, 2.0)
_EXACT: Final = (2.0, 4.0)
# A high score is one of _HIGH and more; of a specialist with less than _FEW of its mass there, the upper half of the mass.
_HIGH: Final = 0.4
_FEW: Final = 0.05
_SCALE: Final = 2.0  # times the median of all is the most that agreement with one specialist is scaled by: of a random
# one it would be without bounds


def estimate(
    shards: Sequence[Shard],
    specialists: Sequence[str],
    labels: Sequence[str],
    knows: Flags,
    fusion: BoxFusionConfig,
    gold: Flags | None = None,
    above: Sequence[tuple[int, int]] = (),
) -> Reliabilities:
    """Reliabilities of `specialists` (S) from a sample of shards; no labels are needed.

    `knows` (S, L) says which labels a specialist can name, `gold` (S,) who is human, `above` holds (narrow, broad) label
    numbers of words that contain others. What people drew calibrates confidence. The order of shards, and of rows within
    an image, changes no bit of the result.

    Raises:
        ConfigError: there are no specialists or no shards, or `knows` has another shape than specialists by labels.
        ValueError: a coordinate or a score is not finite.
    """
    n, n_labels = len(specialists), len(labels)
    if not n or not shards:
        raise ConfigError(f"nothing can be learned of {n} specialists from {len(shards)} shards; give one of each")
    for shard in shards:
        shard.columns.check_finite()
    if knows.shape != (n, n_labels):
        raise ConfigError(f"knows must be {n} specialists by {n_labels} labels, not {knows.shape}")
    from consensus.repeats import originals, repeated

    human = np.zeros(n, bool) if gold is None else gold
    knows = knows.copy()
    for narrow, broad in above:  # whoever knows dogs can see what another calls an animal; who drew dogs drew not all
        knows[:, broad] |= knows[:, narrow] & ~human
    counted = np.sum([_histogram(shard.columns, n) for shard in shards], axis=0)
    original = originals([shard.columns for shard in shards], n, counted, human)
    model = _unlearned(knows, above, original, ~human)
    shards = [shard.without(repeated(shard.columns, original)) for shard in shards]
    model = _weighed(shards, model, human, counted.sum(axis=1) > 0, fusion)
    machines = [shard.without(shard.gold) for shard in shards]
    model = _understood(machines, model, fusion)
    found = [claims(m.columns, model, fusion, m.gold, None, m.absent, m.crowds) for m in machines]
    model = _described(machines, found, model)
    model = calibration.learned(shards, machines, found, model, human)
    return Reliabilities(list(specialists), list(labels), model)


def _unlearned(knows: Flags, above: Sequence[tuple[int, int]], original: I64, machine: Flags) -> Model:
    """Everyone alike, and scores as they are."""
    n, n_labels = knows.shape
    alike = machine / max(int(machine.sum()), 1)
    at = np.tile((np.arange(BINS) + 1) / BINS, (n, 1))
    return Model(
        knows=knows,
        above_keys=np.sort(np.array([narrow * n_labels + broad for narrow, broad in above], np.int64)),
        original=original,
        edge=np.zeros(n),
        side=np.zeros(n),
        kin=np.zeros((n, n)),
        trust=alike,
        exact=machine.astype(np.float64),
        score_at=at,
        agreed=at.copy(),
        calibration=np.array([1.0, 1.0, 0.0]),
        judged=np.zeros(1, np.int64),
        recall=np.full((n, len(SIZES)), UNTOLD),
        false_share=np.full(n, UNTOLD),
        alone=np.full(n, UNTOLD),
        gold_ap=np.full(n + 1, UNTOLD),
    )


def _weighed(shards: Sequence[Shard], model: Model, human: Flags, spoke: Flags, fusion: BoxFusionConfig) -> Model:
    """The weights that follow from how exact everybody is; people help to tell, and have none."""
    from consensus import pooling

    n, loose = len(human), fusion.model_copy(update={"iou": _MEET, "label_bonus": 0.0})
    words, parts = Words.of(model.knows, model.above_keys), []
    for shard in shards:
        c = shard.columns
        clusters = cluster(c, np.ones(n), loose, None, None, words)
        rows = pooling.votes(
            clusters.member_offsets, clusters.members, np.asarray(c.specialists, np.int64), np.zeros(len(c), bool), n
        )
        boxes, scores = np.asarray(c.boxes, np.float64), np.asarray(c.scores, np.float64)
        parts.append(exactness.sides(clusters, boxes, scores, rows, shard.frames))
    told = exactness.merged(parts)
    kin = exactness.kin(told)
    edge, side = exactness.from_frame(told), exactness.from_pairs(told, kin)
    counts = ~human & (model.original < 0) & spoke
    if not counts.any():
        return model._replace(edge=edge, side=side, kin=kin)
    # n observers are n - 2 independent ones of each; two tell nothing of whose error a difference is
    observers = int((counts | (human & spoke)).sum())
    sure = max(observers - 2, 0) / observers
    by_frame, by_pairs = edge / _typical(edge[counts]), (side / _typical(side[counts])) ** sure
    trust, exact = (by_frame**-p * by_pairs**-q for p, q in (_TRUST, _EXACT))
    trust = trust / (1.0 + kin[:, counts].sum(axis=1))  # who is heard twice counts once
    who = _whole(model)
    trust, exact = (np.where(human, 0.0, weight[who]) for weight in (trust, exact))
    return model._replace(
        edge=edge[who],
        side=side[who],
        kin=kin,
        trust=trust / trust[counts].sum(),
        exact=exact / exact[counts].max(),
    )


def _typical(values: F64) -> float:
    return float(np.exp(np.log(values).mean()))


def _understood(machines: Sequence[Shard], model: Model, fusion: BoxFusionConfig) -> Model:
    """What scores mean: for each specialist what the others say where it says something, by the score it gives."""
    sums = np.sum([_agreement(shard, model, fusion) for shard in machines], axis=0)
    boxes, mass, others = sums.astype(np.float64) / np.array([1.0, _FIXED, _FIXED])[:, None, None]
    curves = [_curve(boxes[i], mass[i], others[i]) for i in range(len(model.trust))]
    scales = np.array([_scale(boxes[i], mass[i], *curves[i]) for i in range(len(curves))])
    told = (boxes.sum(axis=1) > 0) & (model.original < 0)
    most = _SCALE * float(np.median(scales[told])) if told.any() else 1.0
    score_at = np.stack([at for at, _ in curves])
    agreed = np.stack([np.minimum(value * min(k, most), 1.0) for (_, value), k in zip(curves, scales, strict=True)])
    agreed = np.where(told[:, None], agreed, score_at)
    # whom nobody ever agrees with counts little
    heeded = np.where(told, np.minimum(most / np.maximum(scales, 1e-9), 1.0), 1.0)
    who = _whole(model)
    trust, exact = model.trust * heeded[who], model.exact * heeded[who]
    total = trust[model.original < 0].sum()
    return model._replace(
        score_at=score_at[who],
        agreed=agreed[who],
        trust=trust / total if total > 0 else trust,
        exact=exact / max(exact.max(), 1e-300),
    )


def _whole(model: Model) -> I64:
    """Whose qualities each specialist has: a copy is all that its original is."""
    return np.where(model.original >= 0, model.original, np.arange(len(model.original)))


def _agreement(shard: Shard, model: Model, fusion: BoxFusionConfig) -> I64:
    """By specialist and cell of its scores: boxes that others could confirm, their scores, and the weighted mean of what
    these others said there: (3, S, CELLS), the last two in fixed point."""
    found = claims(shard.columns, model, fusion, shard.gold, None, shard.absent, shard.crowds)
    n, rows = len(model.trust), found.rows
    scores = np.asarray(shard.columns.scores, np.float64)
    said = np.where(rows >= 0, scores[np.maximum(rows, 0)], 0.0) if len(scores) else np.zeros(rows.shape)
    others, rest = _others(said, found.eligible, model)
    out = np.zeros((3, n, CELLS), np.int64)
    for i in range(n):
        at = np.flatnonzero((rows[:, i] >= 0) & rest[:, i])
        score = said[at, i]
        cell = np.minimum((score * CELLS).astype(np.int64), CELLS - 1)
        for part, values in enumerate((np.ones(len(at)), score, others[at, i])):
            whole = values if part == 0 else np.rint(values * _FIXED)
            out[part, i] = np.bincount(cell, whole, minlength=CELLS).astype(np.int64)
    return out


def _others(said: F64, eligible: Flags, model: Model) -> tuple[F64, Flags]:
    """The weighted mean of what all others than each specialist say (k, S) of each claim, kin left out as far as they are
    kin, and whether there are any who could have: (k, S) each."""
    apart = (1.0 - model.kin) * (1.0 - np.eye(len(model.trust)))
    weight = eligible * model.trust
    rest = weight @ apart
    mean = ((said * weight) @ apart) / np.where(rest > 1e-9, rest, 1.0)
    return np.where(rest > 1e-9, np.clip(mean, 0.0, 1.0), 0.0), rest > 1e-9


def _curve(boxes: F64, mass: F64, others: F64) -> tuple[F64, F64]:
    """Rising scores (BINS,), and what others say there, rising too, in bins of equal mass of score: bins of equally many
    boxes would lie nearly all among the lowest scores."""
    whole = np.cumsum(mass)
    cell = np.minimum((whole - mass / 2) / max(whole[-1], 1e-12) * BINS, BINS - 1).astype(np.int64)
    n, x, y = (np.bincount(cell, column, minlength=BINS) for column in (boxes, mass, others))
    used = n > 0
    if not used.any():
        line = (np.arange(BINS) + 1) / BINS
        return line, line
    at, value = x[used] / n[used], y[used] / n[used]
    rising = _rising(value, n[used].astype(np.float64))
    points = np.arange(BINS) - (BINS - len(at))  # the first one stands for bins that nobody is in
    points = np.maximum(points, 0)
    return at[points], rising[points]


def _scale(boxes: F64, mass: F64, at: F64, value: F64) -> float:
    """What agreement has to be multiplied by for a specialist's higher scores to mean what they say."""
    score = mass / np.maximum(boxes, 1e-12)
    whole = np.cumsum(mass)
    high = score >= _HIGH
    if mass[high].sum() < _FEW * whole[-1]:
        high = whole > whole[-1] / 2
    agreed = np.interp(score, at, value)
    return float(mass[high].sum() / max((agreed * boxes)[high].sum(), 1e-9)) if mass[high].any() else 1.0


def _rising(values: F64, weights: F64) -> F64:
    """The closest rising sequence, by pooling neighbours that fall (Ayer et al. 1955)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (v, w, n), (v2, w2, n2) = blocks.pop(-2), blocks.pop()
            blocks.append(((v * w + v2 * w2) / (w + w2), w + w2, n + n2))
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


def _described(machines: Sequence[Shard], found: Sequence[Claims], model: Model) -> Model:
    """What people are told of each: recall of what the others see, by size, false boxes, and what it alone claims."""
    sums = np.sum([_counts(shard, claim, model) for shard, claim in zip(machines, found, strict=True)], axis=0)
    sums = sums / _FIXED
    seen, chances, said, true, alone, things = np.split(sums, [3, 6, 7, 8, 9])
    recall, false, lone = _share(seen, chances), _share(said - true, said), _share(alone, things)
    who = _whole(model)
    return model._replace(recall=recall.T[who], false_share=false[0][who], alone=lone[0])


def _share(part: F64, whole: F64) -> F64:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), UNTOLD)


def _counts(shard: Shard, found: Claims, model: Model) -> I64:
    """By specialist, in fixed point (10, S): 3 sizes of what the others claim and it claims too, 3 of what the others
    claim, what its scores are taken for, how much of that is true, what it claims alone, and all that is claimed."""
    from consensus import pooling

    columns, rows = shard.columns, found.rows
    meant = pooling.meaning(
        np.asarray(columns.scores, np.float64), np.asarray(columns.specialists, np.int64), model.score_at, model.agreed
    )
    voted = rows >= 0
    said = np.where(voted, meant[np.maximum(rows, 0)], 0.0) if len(meant) else np.zeros(rows.shape)
    area = (found.boxes[:, 2] - found.boxes[:, 0]) * (found.boxes[:, 3] - found.boxes[:, 1])
    size = np.eye(len(SIZES))[np.searchsorted(SIZE_LIMITS, area)]
    others = _others(said, found.eligible, model)[0] ** 2  # squared, because what is surely there tells most
    lone = voted & (voted.sum(axis=1, keepdims=True) == 1)
    parts = [
        *(size.T @ (others * voted)),
        *(size.T @ (others * found.eligible)),
        said.sum(axis=0),
        (said * found.value[:, None]).sum(axis=0),
        (lone * found.value[:, None]).sum(axis=0),
        np.full(rows.shape[1], found.value.sum()),
    ]
    return np.asarray(np.rint(np.stack(parts) * _FIXED), np.int64)


def _histogram(columns: BoxColumns, n: int) -> I64:
    """How many boxes of each specialist have a score in each cell: (S, CELLS)."""
    cell = np.clip(np.asarray(columns.scores, np.float64) * CELLS, 0, CELLS - 1).astype(np.int64)
    counted = np.bincount(np.asarray(columns.specialists, np.int64) * CELLS + cell, minlength=n * CELLS)
    return np.asarray(counted.reshape(n, CELLS), np.int64)
