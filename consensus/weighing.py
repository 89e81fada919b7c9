"""The compiled loop that weighs the votes of every cluster: what is there, how surely, and where exactly.

The model, its symbols and its sources are described in `consensus.reliability`. Import this module late, as
`consensus.kernels`.
"""

import numpy as np
from numpy.typing import NDArray

from consensus.kernels import kernel
from consensus.reliability import Model

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


@kernel
def _find(keys: I64, key: int) -> int:
    """Position of `key` in sorted `keys`, or -1."""
    at = int(np.searchsorted(keys, key))
    return at if at < len(keys) and keys[at] == key else -1


@kernel
def evidence(scores: F64, specialists: I64, score_at: F64, score_llr: F64, limit: float) -> F64:
    """log of how much more frequent each score (n,) is on things than on nothing, between bins by straight lines."""
    out = np.zeros(len(scores))
    last = score_at.shape[1] - 1
    for i in range(len(scores)):
        s = specialists[i]
        score = min(max(scores[i], 1e-9), 1.0 - 1e-9)
        x = min(max(np.log(score / (1.0 - score)), -limit), limit)
        at = np.searchsorted(score_at[s], x)
        if at == 0 or at > last:
            out[i] = score_llr[s, min(at, last)]
        else:
            low, high = score_at[s, at - 1], score_at[s, at]
            part = (x - low) / (high - low) if high > low else 0.0
            out[i] = score_llr[s, at - 1] + part * (score_llr[s, at] - score_llr[s, at - 1])
    return out


@kernel
def _log_said(model: Model, s: int, said: int, true: int) -> float:
    """log P(specialist s says `said` | it found a thing that is `true`)."""
    right = model.right[s]
    if said == true:
        return float(np.log(right))
    n_labels = len(model.share)
    if _find(model.above_keys, true * n_labels + said) >= 0:
        return float(np.log(0.5 * right))
    at = _find(model.error_keys, true * n_labels + said)
    share = model.error_share[at] if at >= 0 else 0.0
    return float(np.log((1.0 - right) * (share + model.error_rest[true] * model.share[said])))


@kernel
def _log_present(model: Model, voters: I64, n: int, labels: I64, votes: Flags, llr: F64, u: F64,
                 specialists: I64, size: int, true: int) -> float:  # fmt: skip
    """log of the intensity of clusters like this one among things that are `true`."""
    value = np.log(model.things[size] * model.share[true])
    for s in range(len(votes)):
        if not (model.knows[s, true] or votes[s]):
            continue
        r = model.recall[s, size, true]
        p = model.parent[s]
        if p >= 0 and (model.knows[p, true] or votes[p]):
            rp = model.recall[p, size, true]
            seen = 1.0 if votes[p] else 0.0
            r += model.tie[s] * np.sqrt(r * (1.0 - r) / (rp * (1.0 - rp))) * (seen - rp)
            r = min(max(r, 0.01), 0.99)
        value += np.log(r) if votes[s] else np.log(1.0 - r)
    for i in range(n):
        m = voters[i]
        value += u[i] * (llr[m] + _log_said(model, specialists[m], labels[m], true))
    return float(value)


@kernel
def _log_absent(model: Model, voters: I64, n: int, labels: I64, votes: Flags, specialists: I64, size: int,
                founding: F64) -> float:  # fmt: skip
    """log of the intensity of clusters like this one where nothing is; `founding` (S,) gets who imagined it first."""
    top = -np.inf
    for i in range(n):
        m = voters[i]
        f, said = specialists[m], labels[m]
        value = np.log(model.founds[f, size] * model.noise_share[said])
        for t in range(len(votes)):
            if t != f and (votes[t] or model.knows[t, said]):
                value += np.log(model.joins[f, t] if votes[t] else 1.0 - model.joins[f, t])
        for j in range(n):
            if j == i:
                continue
            t = specialists[voters[j]]
            alike = 1.0
            for h in range(n):
                if h not in (i, j):
                    alike += model.kin[t, specialists[voters[h]]]
            other = labels[voters[j]]
            chance = (1.0 - model.noise_agrees[0]) * model.noise_share[other]
            if other == said:
                chance += model.noise_agrees[0]
            value += (1.0 - model.kin[f, t]) / alike * np.log(chance)
        founding[f] = value
        top = max(top, value)
    total = 0.0
    for i in range(n):
        total += np.exp(founding[specialists[voters[i]]] - top)
    for i in range(n):
        f = specialists[voters[i]]
        founding[f] = np.exp(founding[f] - top) / total
    return float(top + np.log(total))


@kernel
def _place(model: Model, voters: I64, n: int, boxes: F64, specialists: I64, size: int, u: F64, out: F64) -> None:
    """The sides as the precision-weighted mean of the voters', by Student's t with 4 degrees of freedom."""
    width = height = total = 0.0
    for i in range(n):
        m = voters[i]
        precision = 1.0 / model.spread[specialists[m], size, 0]
        width += precision * (boxes[m, 2] - boxes[m, 0])
        height += precision * (boxes[m, 3] - boxes[m, 1])
        total += precision
    width, height = width / total, height / total
    for k in range(4):
        scale = max(width if k % 2 == 0 else height, 1e-6)  # a box without area is weighed too, and rejected elsewhere
        mean = 0.0
        for turn in range(3):
            top = bottom = 0.0
            for i in range(n):
                m = voters[i]
                s = specialists[m]
                variance = model.spread[s, size, k] * scale * scale
                side = boxes[m, k] - model.bias[s, k] * scale
                weight = u[i] / variance
                if turn > 0 and n > 2:
                    weight *= 5.0 / (4.0 + (side - mean) ** 2 / variance)
                top += weight * side
                bottom += weight
            mean = top / bottom
            if n <= 2:
                break
        out[k] = mean


@kernel
def _shares(model: Model, voters: I64, n: int, specialists: I64, u: F64) -> None:
    """What of each voter's word is its own: kin of a more exact voter only repeat it."""
    for i in range(n):
        u[i] = 1.0
        for j in range(n):
            a, b = specialists[voters[i]], specialists[voters[j]]
            if model.ranks[b] < model.ranks[a]:
                u[i] *= 1.0 - model.kin[a, b]


@kernel
def _name(model: Model, voters: I64, n: int, labels: I64, votes: Flags, llr: F64, u: F64, specialists: I64, size: int,
          logs: F64) -> tuple[int, float, float]:  # fmt: skip
    """The likeliest of the labels said, log of the intensity of things over all of them, and that label's part."""
    best, top = 0, -np.inf
    for i in range(n):
        true = labels[voters[i]]
        logs[i] = -np.inf
        known = False
        for j in range(i):
            known = known or labels[voters[j]] == true
        if known:
            continue
        logs[i] = _log_present(model, voters, n, labels, votes, llr, u, specialists, size, true)
        if logs[i] > top or (logs[i] == top and true < best):
            top, best = logs[i], true
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
    model: Model,
    imagined: F64,
    rows: I64,
) -> tuple[F64, I64, F64, F64]:
    """Posterior of every cluster; of several boxes of a specialist its first member counts.

    `sizes` (k,) 0..2; boxes that are `ignored` (n,) have no vote; `llr` (n,) is the evidence of each box's score. With
    (k, S) instead of (0, 0), `imagined` is filled with P(nothing is there, and this specialist imagined it first), and
    `rows` with the box by which each specialist voted (-1 stays where it did not).

    Returns:
        P(something is there) (k,), its likeliest label (k,), P(that label | something is there) (k,), boxes (k, 4);
        all 0 for clusters without a vote.
    """
    k = len(member_offsets) - 1
    n_specialists = len(model.right)
    exists, best, certainty, places = np.zeros(k), np.zeros(k, np.int64), np.zeros(k), np.zeros((k, 4))
    votes = np.zeros(n_specialists, np.bool_)
    first, u, logs = np.zeros(n_specialists), np.ones(n_specialists), np.zeros(n_specialists)
    voters = np.zeros(n_specialists, np.int64)
    for c in range(k):
        votes[:] = False
        n = 0
        for i in range(member_offsets[c], member_offsets[c + 1]):
            m = members[i]
            if not ignored[m] and not votes[specialists[m]]:
                votes[specialists[m]] = True
                voters[n] = m
                n += 1
        if n == 0:
            continue
        _shares(model, voters, n, specialists, u)
        best[c], present, certainty[c] = _name(model, voters, n, labels, votes, llr, u, specialists, sizes[c], logs)
        absent = _log_absent(model, voters, n, labels, votes, specialists, sizes[c], first)
        exists[c] = 1.0 / (1.0 + np.exp(min(absent - present, 700.0)))
        _place(model, voters, n, boxes, specialists, sizes[c], u, places[c])
        if len(rows):
            for i in range(n):
                s = specialists[voters[i]]
                imagined[c, s] = (1.0 - exists[c]) * first[s]
                rows[c, s] = voters[i]
    return exists, best, certainty, places
