"""Labels that a sample never met: what is taken to hold of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from consensus.reliability import Model, Reliabilities

Flags = NDArray[np.bool_]

_RARE = 0.5  # of the share of the rarest label of the sample; our choice


def with_unmet(
    known: Reliabilities, labels: Sequence[str], knows: Flags, above: Sequence[tuple[int, int]] = ()
) -> Reliabilities:
    """`known` with further `labels` (U) behind its own. Each is rarer than the rarest of the sample, and found by each
    specialist as often as its average thing of that size; `knows` (S, U) says who can name it, of those that have a vote
    at all (people and copies do not). `above` are all (narrow, broad) pairs of numbers among all labels."""
    if not labels:
        return known
    m = known.model
    old, n = len(known.labels), len(known.labels) + len(labels)
    voting = np.any(m.knows, axis=1, keepdims=True) | (old == 0)
    weight = m.share * m.knows
    typical = (m.recall @ weight[:, :, None])[..., 0] / np.maximum(weight.sum(axis=1), 1e-12)[:, None]
    typical = np.where(weight.sum(axis=1)[:, None] > 0, typical, m.recall.mean(axis=2) if old else 0.5)
    model: Model = m._replace(
        share=np.append(m.share, np.full(len(labels), _RARE * m.share.min(initial=1.0))),
        noise_share=np.append(m.noise_share, np.full(len(labels), _RARE * m.noise_share.min(initial=1.0))),
        recall=np.concatenate([m.recall, np.repeat(typical[:, :, None], len(labels), axis=2)], axis=2),
        knows=np.concatenate([m.knows, knows & voting], axis=1),
        error_rest=np.append(m.error_rest, np.ones(len(labels))),
        error_keys=m.error_keys // max(old, 1) * n + m.error_keys % max(old, 1),
        above_keys=np.sort(np.array([narrow * n + broad for narrow, broad in above], np.int64)),
    )
    return Reliabilities(known.specialists, [*known.labels, *labels], model)
