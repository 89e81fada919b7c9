"""Expectation-maximisation without labels: from what specialists said to how far each can be trusted.

`count` (`consensus.evidence`) looks at shards, each by itself; `merge` adds; `update` here sees only the sums. Pseudo-
counts are weak and stand for what is true of detectors in general; each is worth the few boxes that it names.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from consensus import evidence as e
from consensus.boxes import BoxFusionConfig
from consensus.evidence import F64, I64, Flags, Shard, Statistics, real
from consensus.reliability import BINS, LOGIT_LIMIT, QUARTERS, SIZES, Model, Reliabilities
from engine.errors import ConfigError

# what is assumed before anything is seen; _FALSE is of what a specialist says
_RECALL, _FALSE, _RIGHT, _AGREES, _JOINS, _SPREAD = 0.6, 0.3, 0.85, 0.3, 0.02, 0.05
# False boxes, and pairs of them, by which it is held that specialists who are no copies seldom imagine the same thing,
# and seldom give that the same name: what two see in one place is a thing until much speaks against it.
_ALONE: Final = 1000.0
_KIN_ALONE: Final = 20.0
_APART: Final = 200.0
_LABELS: Final = 100.0  # boxes by which labels of things and of nothing are drawn to those of all
# Boxes by which specialists are drawn to what they all are, if there are two: then nothing says which of them is right, and
# left alone expectation-maximisation gives all to the one that seemed a little better.
_TWO: Final = 200.0
_BELIEVED, _BELIEVED_SLOPE = 0.9, 0.5  # of boxes that nobody can check are right, and what their scores say of them
_LAX: Final = 100.0  # boxes by which a specialist's exactness at a quarter of its scores is drawn to that of all
_ONCE: Final = 1.0  # an error seen so often teaches nothing, or every error would confirm itself (absolute discounting)
_SLOPE: Final = 1.5  # log odds between a specialist's middle and its highest scores, where nobody else can tell


class LearningConfig(BaseModel):
    """How reliabilities are learned. Every value is our choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rounds: int = Field(
        default=12, ge=1, description="rounds of expectation and maximisation, and again after lone votes were credited"
    )
    by_size: float = Field(
        default=10.0, gt=0, description="things after which recall at a size is believed as much as recall over all"
    )
    by_label: float = Field(
        default=10.0, gt=0, description="things after which recall of a label is believed as much as recall over all"
    )


def estimate(
    shards: Sequence[Shard],
    specialists: Sequence[str],
    labels: Sequence[str],
    knows: Flags,
    fusion: BoxFusionConfig,
    config: LearningConfig | None = None,
    gold: Flags | None = None,
    above: Sequence[tuple[int, int]] = (),
) -> Reliabilities:
    """Reliabilities of `specialists` (S) from a sample of shards; no labels are needed.

    `knows` (S, L) says which labels a specialist can name, `gold` (S,) who is human, `above` holds (narrow, broad) label
    numbers of words that contain others. Without a second opinion (one specialist, or copies of one) nothing can be
    learned, and what is said is believed in the order of its scores. The order of shards, and of rows within an image,
    changes no bit of the result.

    Where only one specialist can see a thing at all, say the small ones, its lone votes can be explained in two ways: it
    imagines them, or the others are blind. Left alone, expectation-maximisation falls for the first. So a score is taken
    to mean the same at every size and whoever knows the label (`_false_boxes`), and half way lone votes are credited
    with what their scores have come to mean where others could confirm them.

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

    config = config or LearningConfig()
    human = np.zeros(n, bool) if gold is None else gold
    human_knows = np.asarray(knows[human].any(axis=0), bool)
    knows = knows.copy()
    for narrow, broad in above:  # whoever knows dogs can see what another calls an animal
        knows[:, broad] |= knows[:, narrow]
    counted = np.sum([e.histogram(shard.columns, n) for shard in shards], axis=0)
    original = originals([shard.columns for shard in shards], n, counted, human)
    votes = ~human & (original < 0)
    shards = [e.without(shard, repeated(shard.columns, original)) for shard in shards]
    model = _first(shards, counted, knows & votes[:, None], above)._replace(original=original)
    if votes.sum() < 2 and not any(shard.judged.any() for shard in shards):
        return Reliabilities(list(specialists), list(labels), _copied(_unchecked(model)))
    model, trusted = _heard_once(shards, model, fusion)
    precision = None
    for turn in range(2 * config.rounds):
        parts = []
        for shard in shards:
            weighed = e.weigh(shard, model, fusion)
            if precision is not None and turn == config.rounds:
                weighed = e.credit(shard, weighed, model, precision)
            parts.append(e.count(shard, e.judge(shard, weighed, human_knows), model))
        sums = e.merge(parts)
        precision = _precision(real(sums.scores)[:, :, len(SIZES) :], _others_find(model))
        model = _copied(update(sums, model, config, precision))
        model = model._replace(score_llr=trusted * model.score_llr)
    return Reliabilities(list(specialists), list(labels), model)


def _heard_once(shards: Sequence[Shard], model: Model, fusion: BoxFusionConfig) -> tuple[Model, F64]:
    """The model with kin, and how far each specialist's scores are trusted (S, 1), before anything else is learned.

    Kin are known from the start, for who is heard twice in the first round talks the others into its confusions.
    """
    first = [(shard, e.weigh(shard, model, fusion)) for shard in shards]
    agreement = np.sum([e.support(shard, weighed, model) for shard, weighed in first], axis=0)
    alike = np.sum([e.alike(weighed) for _, weighed in first], axis=0)
    sides = np.sum([e.sides(shard, weighed, model) for shard, weighed in first], axis=0)
    trusted = _trusted_scores(real(agreement))[:, None]
    return model._replace(score_llr=trusted * model.score_llr, kin=_kin(real(alike), real(sides))), trusted


def _copied(model: Model) -> Model:
    """A copy is all that its original is."""
    source = np.where(model.original >= 0, model.original, np.arange(len(model.original)))
    own = {
        name: getattr(model, name)[source]
        for name in ("recall", "founds", "right", "spread", "bias", "laxness", "ranks")
    }
    kin = np.maximum(model.kin[np.ix_(source, source)], (source[:, None] == source) & ~np.eye(len(source), dtype=bool))
    return model._replace(**own, kin=kin)


def _unchecked(model: Model) -> Model:
    """What is assumed of specialists whom nobody else can confirm or contradict; their scores order their boxes."""
    found = model.things * _RECALL
    return model._replace(
        founds=np.tile(found * (1 - _BELIEVED) / _BELIEVED, (len(model.right), 1)),
        score_llr=model.score_llr * _BELIEVED_SLOPE / _SLOPE,
    )


def _first(shards: Sequence[Shard], counted: I64, knows: Flags, above: Sequence[tuple[int, int]]) -> Model:
    """What is assumed before the first round: everyone alike, and higher scores better."""
    n, n_labels = knows.shape
    said = np.sum([np.bincount(shard.columns.labels, minlength=n_labels) for shard in shards], axis=0)
    share = (said + 1) / (said + 1).sum()
    total = float(said.sum()) / (2 * max(int(knows.any(axis=1).sum()), 1) * len(SIZES))
    return Model(
        things=np.full(len(SIZES), total + 1),
        share=share,
        recall=np.full((n, len(SIZES), n_labels), _RECALL),
        knows=knows,
        parent=np.full(n, -1),
        tie=np.zeros(n),
        founds=np.full((n, len(SIZES)), (total + 1) * _RECALL * _FALSE / (1 - _FALSE)),
        joins=np.full((n, n), _JOINS),
        noise_share=share,
        noise_agrees=np.array([_AGREES]),
        right=np.full(n, _RIGHT),
        error_keys=np.zeros(0, np.int64),
        error_share=np.zeros(0),
        error_rest=np.ones(n_labels),
        spread=np.full((n, len(SIZES), 4), _SPREAD**2),
        bias=np.zeros((n, 4)),
        laxness=np.ones((n, QUARTERS)),
        kin=np.zeros((n, n)),
        ranks=np.arange(n),
        score_at=_quantiles(counted),
        score_llr=np.tile(np.linspace(-_SLOPE, _SLOPE, BINS), (n, 1)),
        above_keys=np.sort(np.array([narrow * n_labels + broad for narrow, broad in above], np.int64)),
        original=np.full(n, -1),
    )


def _quantiles(histogram: I64) -> F64:
    """The middle of each of BINS equal parts of every specialist's scores, as logits: (S, BINS)."""
    edges = np.linspace(-LOGIT_LIMIT, LOGIT_LIMIT, e.GRID + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    total = np.cumsum(histogram, axis=1)
    wanted = (np.arange(BINS) + 0.5) / BINS
    return np.stack([centres[np.searchsorted(row, wanted * row[-1])] if row[-1] else np.linspace(-3, 3, BINS)
                     for row in total])  # fmt: skip


def update(sums: Statistics, model: Model, config: LearningConfig, precision: F64) -> Model:
    """The M-step: the likeliest reliabilities given the sums, drawn to the pseudo-counts; `precision` (S, BINS)."""
    n_labels = len(model.share)
    mass, noise = real(sums.label_mass), real(sums.noise_mass)
    said = (mass + noise + 1e-3) / (mass + noise + 1e-3).sum()
    share, noise = mass + _LABELS * said, noise + _LABELS * said
    rows = sums.error_keys // max(n_labels, 1)
    wrong = real(sums.errors)
    about = np.bincount(rows, wrong, minlength=n_labels)
    again = np.maximum(wrong - _ONCE, 0.0)
    named, agreeing = real(sums.named), real(sums.agreeing)
    kin = _kin(real(sums.alike), real(sums.sides))
    parent, tie = _tree(_tied(real(sums.together)))
    spread, bias, laxness = _exactness(real(sums.sides), model, kin)
    scores = real(sums.scores)
    drawn = _TWO if model.knows.any(axis=1).sum() == 2 else 0.0
    alone = (
        _KIN_ALONE + (_ALONE - _KIN_ALONE) * (1 - kin) ** 4
    )  # the nearer kin, the sooner it is believed that they join
    return model._replace(
        things=real(sums.things) + 0.5,
        share=share / share.sum(),
        recall=_recall(real(sums.found), real(sums.chances), config),
        parent=parent,
        tie=tie,
        founds=_false_boxes(real(sums.founds), scores, precision, drawn) + 0.1,
        joins=np.clip((real(sums.joined) + alone * _JOINS) / (real(sums.could_join) + alone), 0.002, 0.95),
        noise_share=noise / noise.sum(),
        noise_agrees=np.array([(agreeing[0] + _APART * _AGREES) / (agreeing[1] + _APART)]),
        right=_right(named, drawn),
        error_keys=sums.error_keys,
        error_share=again / (about[rows] + 3),
        error_rest=1 - np.bincount(rows, again, minlength=n_labels) / (about + 3),
        spread=spread,
        bias=bias,
        laxness=laxness,
        kin=kin,
        ranks=np.argsort(np.argsort(spread.mean(axis=(1, 2)), kind="stable"), kind="stable"),
        score_llr=_curves(scores.sum(axis=2)),
    )


def _others_find(model: Model) -> F64:
    """How likely somebody else finds a thing of a size that this specialist could find: (S, 3)."""
    weight = model.share * model.knows
    weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    missed = 1 - (model.recall @ weight[:, :, None])[..., 0]
    return np.stack([1 - np.prod(np.delete(missed, one, axis=0), axis=0) for one in range(len(missed))])


def _precision(scores: F64, confirmed: F64) -> F64:
    """How often a box of each bin stands on a thing: (S, BINS), from counts (2, S, 3, BINS) of boxes on nothing and on
    things, of labels that others know; each size counts as far as others could confirm it, `confirmed` (S, 3)."""
    false, true = (scores * confirmed[None, :, :, None]).sum(axis=2)
    overall = (true.sum(axis=1, keepdims=True) + 0.5) / ((true + false).sum(axis=1, keepdims=True) + 1)
    return np.asarray((true + 2 * overall) / (true + false + 2))


def _right(named: F64, drawn: float) -> F64:
    """How often each specialist names a thing rightly: (S,), from counts (2, S) of right and of all names."""
    common = (named[0].sum() + 10 * _RIGHT) / (named[1].sum() + 10)
    return np.asarray(np.clip((named[0] + 10 * _RIGHT + drawn * common) / (named[1] + 10 + drawn), 0.05, 0.995))


def _false_boxes(founds: F64, scores: F64, precision: F64, drawn: float) -> F64:
    """False things that each specialist imagined first, by size: (S, 3), from counts (2, S, 6, BINS).

    As many of its boxes are false as their scores say, and it founded the share of these that it founded (S, 3) of all;
    drawn to what all specialists imagine by so many boxes.
    """
    strata = (scores.sum(axis=0) * (1 - precision[:, None, :])).sum(axis=2)
    expected = strata[:, : len(SIZES)] + strata[:, len(SIZES) :]
    first = founds.sum(axis=1) / np.maximum(scores[0].sum(axis=(1, 2)), 1e-9)
    false = expected * np.clip(first, 0, 1)[:, None]
    said = scores.sum(axis=(0, 3))
    said = said[:, : len(SIZES)] + said[:, len(SIZES) :]
    each = said.sum(axis=1, keepdims=True)
    common = float(false.sum() / max(each.sum(), 1e-9))
    return np.asarray((false * each + drawn * common * said) / np.maximum(each + drawn, 1e-9))


def _recall(found: F64, chances: F64, config: LearningConfig) -> F64:
    """Recall from counts (S, 3, L): over all, then by size, times what is special about a label: (S, 3, L)."""
    overall = (found.sum(axis=(1, 2)) + 1) / (chances.sum(axis=(1, 2)) + 2)
    by_size = (found.sum(axis=2) + config.by_size * overall[:, None]) / (chances.sum(axis=2) + config.by_size)
    expected = (chances * by_size[:, :, None]).sum(axis=1)
    prior = config.by_label * overall[:, None]
    special = (found.sum(axis=1) + prior) / (expected + prior)
    return np.asarray(np.clip(by_size[:, :, None] * special[:, None, :], 0.02, 0.97))


def _curves(counts: F64) -> F64:
    """log likelihood ratio of each bin from counts (2, S, BINS) on nothing and on things, made monotone: (S, BINS)."""
    false, true = counts
    total_false, total_true = false.sum(axis=1, keepdims=True) + 0.5, true.sum(axis=1, keepdims=True) + 0.5
    part = total_true / (total_true + total_false)
    # two boxes that tell nothing in each bin, and a quarter of each neighbour
    near = [np.pad(h, ((0, 0), (1, 1)), mode="edge") for h in (false, true)]
    false, true = (0.25 * h[:, :-2] + 0.5 * h[:, 1:-1] + 0.25 * h[:, 2:] for h in near)
    value = np.log((true + 2 * part) / (false + 2 * (1 - part))) - np.log(total_true / total_false)
    return np.stack([_rising(row, weight) for row, weight in zip(value, true + false + 1e-3, strict=True)])


def _rising(values: F64, weights: F64) -> F64:
    """The closest rising sequence, by pooling neighbours that fall (Ayer et al. 1955)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (v, w, n), (v2, w2, n2) = blocks.pop(-2), blocks.pop()
            blocks.append(((v * w + v2 * w2) / (w + w2), w + w2, n + n2))
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


def _kin(moments: F64, sides: F64) -> F64:
    """How far two specialists say the same for other reasons than what is there, by scores or by sides: (S, S)."""
    kin = np.maximum(_kin_by_scores(moments), _kin_by_sides(sides))
    np.fill_diagonal(kin, 0.0)
    return np.asarray(np.maximum(kin, kin.T))


def _kin_by_scores(moments: F64) -> F64:
    """Squared correlation of two specialists' scores given what is there, drawn to 0 by ten boxes: (S, S)."""
    mass, x, y, xx, yy, xy = np.swapaxes(moments, 0, 1)
    safe = np.maximum(mass, 1e-9)
    covariance = (xy - x * y / safe).sum(axis=0)
    own = np.maximum(xx - x * x / safe, 0).sum(axis=0) * np.maximum(yy - y * y / safe, 0).sum(axis=0)
    total = mass.sum(axis=0)
    correlation = covariance / np.sqrt(own + 1e-9) * total / (total + 10)
    return np.asarray(np.clip(correlation, 0, 1) ** 2)


def _kin_by_sides(sides: F64) -> F64:
    """The part of two specialists' variances that is missing in their differences, drawn to 0 by ten boxes: (S, S).

    Of independent errors a - b has the variance of a plus that of b, so two others, c and d, tell that of a:
    (|a - c|^2 + |a - d|^2 - |c - d|^2) / 2 (Gray and Allan 1974, the three-cornered hat). The least that any two others
    tell counts, so that it takes all of them to make kin; with fewer than four specialists nothing is told.
    """
    n = len(sides)
    pooled = sides.sum(axis=(2, 3, 4))
    pooled = pooled + np.swapaxes(pooled, 0, 1)
    mass = pooled[..., 0]
    apart = np.where(mass > 0, pooled[..., 5:].mean(axis=2) / np.maximum(mass, 1e-9), np.inf)
    with np.errstate(invalid="ignore"):
        told = (apart[:, :, None] + apart[:, None, :] - apart[None]) / 2
    kin = np.zeros((n, n))
    for a in range(n):
        for b in range(a):
            others = np.delete(np.arange(n), [b, a])
            own = [_least(told[one][np.ix_(others, others)]) for one in (a, b)]
            if mass[a, b] > 0 and sum(own) > 0:
                kin[a, b] = max(1 - apart[a, b] / sum(own), 0.0) * mass[a, b] / (mass[a, b] + 10)
    return kin


def _least(told: F64) -> float:
    """The least finite variance off the diagonal; 0 where there is none."""
    found = told[np.isfinite(told) & ~np.eye(len(told), dtype=bool)]
    return max(float(found.min()), 0.0) if len(found) else 0.0


def _trusted_scores(moments: F64) -> F64:
    """How far a specialist's scores are evidence at all: (S,) in 0..1.

    A score that has nothing to do with how others agree tells nothing; left alone, expectation-maximisation would
    believe whatever it is told first. Nothing up to a correlation of one standard error, everything from three on; a
    specialist whom nobody can confirm is believed, unless only copies of it are there to do so.
    """
    mass, x, y, xx, yy, xy, copied = moments
    safe = np.maximum(mass, 1e-9)
    spread = np.maximum(xx - x * x / safe, 0) * np.maximum(yy - y * y / safe, 0)
    errors = (xy - x * y / safe) / np.sqrt(np.maximum(spread, 1e-9)) * np.sqrt(mass)
    return np.asarray(np.where(spread > 1e-6, np.clip((errors - 1) / 2, 0, 1), copied < mass / 2))


def _tied(sums: F64) -> F64:
    """Correlation of presence beyond recall, drawn to 0 by five things: (S, S)."""
    return np.asarray(np.clip(sums[0] / (sums[1] + 5), 0, 0.999))


def _tree(tied: F64) -> tuple[I64, F64]:
    """The tree of largest correlations, grown from specialist 0: parents (S,) (-1: none) and correlations (S,)."""
    n = len(tied)
    parent, tie = np.full(n, -1), np.zeros(n)
    outside = np.arange(n) > 0
    for _ in range(n - 1):
        reach = np.where(outside[:, None] & ~outside[None, :], tied, -1.0)
        child, closest = np.unravel_index(np.argmax(reach), reach.shape)
        if tied[child, closest] > 0:
            parent[child], tie[child] = closest, tied[child, closest]
        outside[child] = False
    return parent, tie


def _exactness(sides: F64, model: Model, kin: F64) -> tuple[F64, F64, F64]:
    """Variance (S, 3, 4), bias (S, 4) and laxness (S, QUARTERS) of sides from differences of pairs, for whom truth
    cancels out.

    A difference has the sum of two variances; expectation-maximisation splits it. Kin make the same errors, so what
    they agree in says nothing.
    """
    n = len(model.right)
    turned = np.transpose(sides, (1, 0, 2, 4, 3, 5)) * np.array([1.0] + [-1.0] * 4 + [1.0] * 4)
    sides = sides + turned
    trust = np.maximum(1 - 2 * kin, 0) * (1 - np.eye(n))
    mass = sides[..., :1] * trust[:, :, None, None, None, None]
    bias = _biases(sides.sum(axis=(3, 4)), trust)
    squared = sides[..., 5:] / np.maximum(sides[..., :1], 1e-9)
    v, lax = model.spread, model.laxness
    bottom, by_score = mass.sum(axis=(1, 3, 4)), mass.sum(axis=(1, 2, 4))[..., 0]
    for _ in range(20):
        scale, level = lax[:, None, None, :, None, None], v[:, None, :, None, None, :]
        own = scale * level
        part = own / (own + np.transpose(own, (1, 0, 2, 4, 3, 5)))
        expected = mass * (own * (1 - part) + part**2 * squared)
        top = (expected / scale).sum(axis=(1, 3, 4))
        lax = _laxness((expected / level).mean(axis=5).sum(axis=(1, 2, 4)), by_score)
        pooled = (top.sum() + _SPREAD**2) / (4 * bottom.sum() + 1)
        each = (top.sum(axis=(1, 2)) + 4 * pooled) / (4 * bottom.sum(axis=(1, 2)) + 4)
        v = (top + 10 * each[:, None, None]) / (bottom + 10)
    # only differences show, so the frame is that of the most exact
    exact = (model.original < 0) / np.maximum(v, 1e-6).mean(axis=(1, 2))
    return np.maximum(v, 1e-6), bias - exact @ bias / max(float(exact.sum()), 1e-9), lax


def _laxness(squares: F64, mass: F64) -> F64:
    """How much less exact a specialist is at each quarter of its scores, drawn to what is so for all: (S, QUARTERS)."""
    common = (squares.sum(axis=0) + 1) / (mass.sum(axis=0) + 1)
    lax = (squares + _LAX * common) / (mass + _LAX)
    return np.asarray(lax / np.exp(np.log(lax).mean(axis=1, keepdims=True)))


def _biases(sides: F64, trust: F64) -> F64:
    """Shift (S, 4) of each specialist's sides against the others', drawn to 0 by twenty things."""
    n = len(trust)
    mass = (sides[..., 0].sum(axis=2)) * trust
    shift = sides[..., 1:5].sum(axis=2) * trust[..., None]
    laplacian = np.diag(mass.sum(axis=1) + 20) - mass
    return np.asarray(np.linalg.solve(laplacian, shift.sum(axis=1))) if n else np.zeros((0, 4))
