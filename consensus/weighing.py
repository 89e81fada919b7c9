"""The compiled loop that weighs the votes of every cluster: what is there, how surely, and where exactly.

The model, its symbols and its sources are described in `consensus.reliability`. Import this module late, as
`consensus.kernels`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consensus.kernels import kernel
from consensus.reliability import BINS, QUARTERS, Model

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

_HALF: Final = float(np.log(0.5))  # a word that contains the other is said as often as the other
_ORDER: Final = 0.01  # log odds that a logit of any score is worth at least (our choice: enough to break ties)


class Tables(NamedTuple):
    """A model as the logarithms that the loop adds: S specialists, L labels, 3 sizes, E errors seen.

    `thing` (3, L) of things; `presence` (S, 3, 3, L, 2) of being silent or voting, where the parent in the tree does
    not count, is silent, or voted; `right` and `wrong` (S,) of naming; `error` (E,) of an error seen, `rest` (L,) of
    all others about a thing and `said` (L,) of a label among these; `founds` (S, 3) of imagining first, `joins` (2, S,
    S) of leaving alone or repeating it; `noise` (L,) of a label for nothing and `other` (2, L) of another's label
    there that differs or is the same. `precision` (S, 3, 4) is one over the spread; the rest is the model's.
    """

    thing: F64
    presence: F64
    right: F64
    wrong: F64
    error: F64
    rest: F64
    said: F64
    founds: F64
    joins: F64
    noise: F64
    other: F64
    precision: F64
    bias: F64
    kin: F64
    knows: Flags
    parent: I64
    ranks: I64
    error_keys: I64
    above_keys: I64


def tables(model: Model) -> Tables:
    """What the loop needs of a model, so that it takes no logarithm of its own."""
    m = model
    about = m.error_keys // max(len(m.share), 1)
    named = m.error_keys % max(len(m.share), 1)
    other = (1 - m.noise_agrees[0]) * m.noise_share
    return Tables(
        thing=np.log(m.things[:, None] * m.share),
        presence=_presence(m),
        right=np.log(m.right),
        wrong=np.log(1 - m.right),
        error=np.log(m.error_share + m.error_rest[about] * m.share[named]),
        rest=np.log(m.error_rest),
        said=np.log(m.share),
        founds=np.log(m.founds),
        joins=np.log(np.stack([1 - m.joins, m.joins])),
        noise=np.log(m.noise_share),
        other=np.log(np.stack([other, other + m.noise_agrees[0]])),
        precision=1 / m.spread,
        bias=m.bias,
        kin=m.kin,
        knows=m.knows,
        parent=m.parent,
        ranks=m.ranks,
        error_keys=m.error_keys,
        above_keys=m.above_keys,
    )


def _presence(model: Model) -> F64:
    """log of a specialist's silence and vote, by what its parent did: a tie moves recall as a correlation does."""
    r, rp = model.recall, model.recall[model.parent]
    pull = model.tie[:, None, None] * np.sqrt(r * (1 - r) / (rp * (1 - rp)))
    tied = [np.clip(r + pull * (seen - rp), 0.01, 0.99) for seen in (0.0, 1.0)]
    chance = np.stack([r, *tied], axis=1)
    return np.ascontiguousarray(np.log(np.stack([1 - chance, chance], axis=-1)))


@kernel
def _find(keys: I64, key: int) -> int:
    """Position of `key` in sorted `keys`, or -1."""
    at = int(np.searchsorted(keys, key))
    return at if at < len(keys) and keys[at] == key else -1


@kernel
def evidence(scores: F64, specialists: I64, score_at: F64, score_llr: F64, limit: float) -> tuple[F64, I64]:
    """log of how much more frequent each score (n,) is on things than on nothing, and in which quarter it is: (n,) each.

    Straight lines between the bins. A little of the score itself is added, so that scores of which nothing was learned
    (beyond the outer bins, or where a curve is flat) still order a specialist's boxes.
    """
    out, quarters = np.zeros(len(scores)), np.zeros(len(scores), np.int64)
    last = score_at.shape[1] - 1
    for i in range(len(scores)):
        s = specialists[i]
        score = min(max(scores[i], 1e-9), 1.0 - 1e-9)
        x = min(max(np.log(score / (1.0 - score)), -limit), limit)
        at = min(max(np.searchsorted(score_at[s], x), 1), last)
        low, high = score_at[s, at - 1], score_at[s, at]
        part = min(max((x - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        out[i] = score_llr[s, at - 1] + part * (score_llr[s, at] - score_llr[s, at - 1]) + _ORDER * x
        quarters[i] = (at - 1 if part < 0.5 else at) // (BINS // QUARTERS)
    return out, quarters


@kernel
def _log_wrong(error: F64, rest: F64, share: F64, error_keys: I64, above_keys: I64, said: int, true: int) -> float:
    """log P(somebody says `said` | it names a thing that is `true` wrongly); NaN: the word contains the other."""
    key = true * len(share) + said
    if _find(above_keys, key) >= 0:
        return np.nan
    at = _find(error_keys, key)
    return float(error[at] if at >= 0 else rest[true] + share[said])


@kernel
def _log_seen(
    thing: F64, presence: F64, knows: Flags, parent: I64, votes: Flags, looked: Flags, size: int, true: int
) -> float:  # fmt: skip
    """log of the intensity of things that are `true` and found by just these specialists."""
    value = thing[size, true]
    for s in range(len(votes)):
        if (knows[s, true] and looked[s]) or votes[s]:
            p, state = parent[s], 0
            if p >= 0 and ((knows[p, true] and looked[p]) or votes[p]):
                state = 2 if votes[p] else 1
            value += presence[s, state, size, true, 1 if votes[s] else 0]
    return float(value)


@kernel
def _log_absent(
    founds: F64, joins: F64, noise: F64, other: F64, kin: F64, knows: Flags,
    voters: I64, n: int, labels: I64, votes: Flags, looked: Flags, specialists: I64, size: int, founding: F64,
    alike: F64,
) -> float:  # fmt: skip
    """log of the intensity of clusters like this one where nothing is; `founding` (S,) gets who imagined it first, and
    `alike` (S,) is overwritten."""
    top = -np.inf
    for i in range(n):
        alike[i] = 1.0
        for j in range(n):
            alike[i] += kin[specialists[voters[i]], specialists[voters[j]]]
    for i in range(n):
        f, said = specialists[voters[i]], labels[voters[i]]
        value = founds[f, size] + noise[said]
        for s in range(len(votes)):
            if s != f and (votes[s] or (knows[s, said] and looked[s])):
                value += joins[1 if votes[s] else 0, f, s]
        for j in range(n):
            if j != i:
                own, label = specialists[voters[j]], labels[voters[j]]
                value += (1.0 - kin[f, own]) / (alike[j] - kin[own, f]) * other[1 if label == said else 0, label]
        founding[f] = value
        top = max(top, value)
    if n == 1:
        founding[specialists[voters[0]]] = 1.0
        return float(top)
    total = 0.0
    for i in range(n):
        f = specialists[voters[i]]
        founding[f] = np.exp(founding[f] - top)
        total += founding[f]
    for i in range(n):
        founding[specialists[voters[i]]] /= total
    return float(top + np.log(total))


@kernel
def _place(
    precision: F64, bias: F64, exact: F64, voters: I64, n: int, boxes: F64, specialists: I64, size: int, u: F64, c: int,
    out: F64,
) -> None:  # fmt: skip
    """In out[c] the sides as the precision-weighted mean of the voters', by Student's t with 4 degrees of freedom."""
    width, height, total = 0.0, 0.0, 0.0
    for i in range(n):
        m = voters[i]
        weight = exact[m] * precision[specialists[m], size, 0]
        width += weight * (boxes[m, 2] - boxes[m, 0])
        height += weight * (boxes[m, 3] - boxes[m, 1])
        total += weight
    width, height = width / total, height / total
    for k in range(4):
        scale = max(width if k % 2 == 0 else height, 1e-6)  # a box without area is weighed too, and rejected elsewhere
        inverse = 1.0 / (scale * scale)
        mean = boxes[voters[0], k] - bias[specialists[voters[0]], k] * scale
        for turn in range(3 if n > 2 else n - 1):
            top, bottom = 0.0, 0.0
            for i in range(n):
                m = voters[i]
                s = specialists[m]
                side = boxes[m, k] - bias[s, k] * scale
                sure = exact[m] * precision[s, size, k]
                weight = u[i] * sure
                if turn > 0:
                    weight *= 5.0 / (4.0 + (side - mean) ** 2 * inverse * sure)
                top += weight * side
                bottom += weight
            mean = top / bottom
        out[c, k] = mean


@kernel
def _voters(members: I64, lo: int, hi: int, specialists: I64, ignored: Flags, votes: Flags, voters: I64) -> int:
    """How many specialists have a vote by members lo:hi; `votes` (S,) says which, and `voters` (S,) gets the first row of each."""
    votes[:] = False
    n = 0
    for i in range(lo, hi):
        m = members[i]
        if not ignored[m] and not votes[specialists[m]]:
            votes[specialists[m]] = True
            voters[n] = m
            n += 1
    return n


@kernel
def _shares(kin: F64, ranks: I64, voters: I64, n: int, specialists: I64, u: F64) -> None:
    """What of each voter's word is its own: kin of a more exact voter only repeat it."""
    for i in range(n):
        u[i] = 1.0
        a = specialists[voters[i]]
        for j in range(n):
            b = specialists[voters[j]]
            if ranks[b] < ranks[a]:
                u[i] *= 1.0 - kin[a, b]


@kernel
def _distinct(voters: I64, n: int, labels: I64, said: I64) -> int:
    """How many different labels the voters gave, and in `said` which."""
    several = 0
    for i in range(n):
        known = False
        for j in range(several):
            known = known or said[j] == labels[voters[i]]
        if not known:
            said[several] = labels[voters[i]]
            several += 1
    return several


@kernel
def _choose(said: I64, logs: F64, n: int) -> tuple[int, float, float]:
    """The likeliest of n labels (ties: the lower), log of the intensity over all of them, and that label's part."""
    best, top = said[0], logs[0]
    for i in range(1, n):
        if logs[i] > top or (logs[i] == top and said[i] < best):
            best, top = said[i], logs[i]
    if n == 1:
        return best, top, 1.0
    total = 0.0
    for i in range(n):
        total += np.exp(logs[i] - top)
    return best, top + np.log(total), 1.0 / total


@kernel
def weigh(
    member_offsets: I64,
    members: I64,
    sizes: I64,
    boxes: F64,
    specialists: I64,
    labels: I64,
    ignored: Flags,
    llr: F64,
    exact: F64,
    t: Tables,
    looked: Flags,
    imagined: F64,
    rows: I64,
) -> tuple[F64, I64, F64, F64]:
    """Posterior of every cluster; of several boxes of a specialist its first member counts.

    `sizes` (k,) 0..2; boxes that are `ignored` (n,) have no vote; `llr` (n,) is the evidence of each box's score, `exact`
    (n,) times which its sides are as precise as its specialist's mostly are; a specialist that has not `looked` (k, S)
    could not vote, so its silence says nothing. `imagined` (k, S) is filled with P(nothing is there, and this
    specialist imagined it first), and `rows` (k, S) with the box by which each specialist voted (-1 stays where it did
    not).

    Returns:
        P(something is there) (k,), its likeliest label (k,), P(that label | something is there) (k,), boxes (k, 4);
        all 0 for clusters without a vote.
    """
    # by name, because each mention of a tuple's column costs as much as the arithmetic with it
    thing, presence, right, wrong, error, rest, share, founds, joins, noise, other, precision, bias, kin = t[:14]
    knows, parent, ranks, error_keys, above_keys = t[14:]
    k, n_specialists = len(member_offsets) - 1, len(right)
    exists, best, certainty, places = np.zeros(k), np.zeros(k, np.int64), np.zeros(k), np.zeros((k, 4))
    votes = np.zeros(n_specialists, np.bool_)
    first, alike = np.zeros(n_specialists), np.zeros(n_specialists)
    u, logs = np.ones(n_specialists), np.zeros(n_specialists)
    voters, said = np.zeros(n_specialists, np.int64), np.zeros(n_specialists, np.int64)
    for c in range(k):
        n = _voters(members, member_offsets[c], member_offsets[c + 1], specialists, ignored, votes, voters)
        if n == 0:
            continue
        size = sizes[c]
        _shares(kin, ranks, voters, n, specialists, u)
        several = _distinct(voters, n, labels, said)
        for i in range(several):
            logs[i] = _log_seen(thing, presence, knows, parent, votes, looked[c], size, said[i])
            # in line, because as a function of its own it takes so many arrays that the loop is a third slower
            for h in range(several):
                apart = 0.0 if h == i else _log_wrong(error, rest, share, error_keys, above_keys, said[h], said[i])
                for j in range(n):
                    m = voters[j]
                    if labels[m] == said[h]:
                        s = specialists[m]
                        named = right[s] if h == i else right[s] + _HALF if np.isnan(apart) else wrong[s] + apart
                        logs[i] += u[j] * (llr[m] + named)
        best[c], present, certainty[c] = _choose(said, logs, several)
        absent = _log_absent(founds, joins, noise, other, kin, knows,
                             voters, n, labels, votes, looked[c], specialists, size, first, alike)  # fmt: skip
        exists[c] = 1.0 / (1.0 + np.exp(min(absent - present, 700.0)))
        _place(precision, bias, exact, voters, n, boxes, specialists, size, u, c, places)
        for i in range(n):
            s = specialists[voters[i]]
            imagined[c, s] = (1.0 - exists[c]) * first[s]
            rows[c, s] = voters[i]
    return exists, best, certainty, places
