"""Who drew a crowd around something has not said which things are in it, so inside it abstains."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns, Clusters

_INSIDE: Final = 0.5  # of a box lies in a crowd that it belongs to (as pycocotools matches ignored regions at IoU 0.5)


def inside(
    clusters: Clusters, crowds: BoxColumns, n: int, above: NDArray[np.int64], n_labels: int
) -> NDArray[np.bool_]:
    """Whether each cluster lies in a crowd of its label that each of n specialists drew: (k, S).

    `crowds` are boxes around groups, by image; `above` holds sorted narrow * n_labels + broad of labels that contain
    others, and a crowd of animals has dogs in it.
    """
    found = np.zeros((len(clusters), n), bool)
    drawn = crowds.groups()
    for crowd in range(len(crowds)):
        group = slice(clusters.offsets[drawn[crowd]], clusters.offsets[drawn[crowd] + 1])
        x0, y0, x1, y1 = clusters.boxes[group].T
        a0, b0, a1, b1 = np.asarray(crowds.boxes[crowd], np.float64)
        shared = np.clip(np.minimum(x1, a1) - np.maximum(x0, a0), 0, None) * np.clip(
            np.minimum(y1, b1) - np.maximum(y0, b0), 0, None
        )
        labels, own = clusters.labels[group], int(crowds.labels[crowd])
        named = (labels == own) | np.isin(labels * n_labels + own, above)
        found[group, crowds.specialists[crowd]] |= named & (shared >= _INSIDE * np.maximum((x1 - x0) * (y1 - y0), 1e-9))
    return found
