"""What is learned from: predictions of some images, and what people drew there."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shard:
    """Predictions of some images; rows marked `gold` (n,) are human, in images marked `judged` a human looked.

    `frames` (images, 2): width and height in pixels (None: unknown). `absent` (images, S): a specialist that gave no
    answer for an image, so that its silence says nothing (None: nobody). `crowds`: boxes around groups that were not
    told apart.
    """

    columns: BoxColumns
    gold: Flags
    judged: Flags
    frames: NDArray[np.float64] | None = None
    absent: Flags | None = None
    crowds: BoxColumns | None = None

    def without(self, rows: Flags) -> "Shard":
        """The shard but for some of its rows (n,)."""
        return replace(self, columns=self.columns.only(~rows), gold=self.gold[~rows])
