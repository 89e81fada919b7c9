"""How far a confidence can be believed: expected calibration error, reliability table, Brier score."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate.matching import share

BINS: Final = 15  # of equal width (Guo et al., 2017, On Calibration of Modern Neural Networks, section 4.1)


def calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, Any]:
    """ECE, Brier score and the reliability table of confidences (n,) in 0..1, and whether each was right (n,).

    The error is the mean over all answers of |accuracy - mean confidence| of the answer's bin (Guo et al., equation 3;
    bins are open below and closed above); Brier (1950) is the mean squared difference of confidence and outcome. What
    has no confidence (NaN) is left out and counted.
    """
    known = np.isfinite(confidence)
    said, true = confidence[known], right[known].astype(np.float64)
    place = np.clip(np.ceil(said * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    total, hits = (np.bincount(place, weights=values, minlength=BINS) for values in (said, true))
    return {
        "ece": share(float(np.abs(hits - total).sum()), len(said)),
        "brier": share(float(np.square(said - true).sum()), len(said)),
        "count": len(said),
        "accuracy": share(float(true.sum()), len(said)),
        "mean_confidence": share(float(said.sum()), len(said)),
        "without_confidence": int((~known).sum()),
        "bins": [
            {
                "from": round(i / BINS, 4), "to": round((i + 1) / BINS, 4), "count": int(count[i]),
                "mean_confidence": share(total[i], count[i]), "accuracy": share(hits[i], count[i]),
            }
            for i in range(BINS)
        ],
    }  # fmt: skip
