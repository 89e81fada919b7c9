"""From what readers read to the text regions of each image: consensus alone, before anything is filtered.

No specialist looks at these, so one more reader makes nobody look again.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from consensus.boxes import BoxFusionConfig, cluster
from consensus.confidence import confidence
from engine import schema as s
from engine.grouped import Frames, Grouped
from pipelines.decide import columns as c
from pipelines.decide import said
from pipelines.decide.clusters import KindConfig, Weighed, answers, decided_rows
from pipelines.decide.said import WRITING


class QuadFusionConfig(BoxFusionConfig):
    """When quads of different readers are one text. Every value is our choice."""

    iou: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="quads with different readings are one text above this IoU (our choice)",
    )
    label_bonus: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a shared reading is worth this much IoU (our choice)"
    )


class WritingConfig(KindConfig):
    """The same for text regions; a setting that is given leaves the others as they are here."""

    min_score: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="a reading under this score does not take part (the default of RapidOCR)",
    )
    fusion: QuadFusionConfig = Field(default=QuadFusionConfig(), description="when quads are one text")


def decide(
    frames: Frames,
    readings: Mapping[str, Grouped],
    config: WritingConfig,
    gold: frozenset[str] = frozenset(),
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pa.Table:
    """The text regions of every image: a table `engine.schema.DECIDED_REGIONS`, all of kind "text", without ids.

    A text region is the strongest reader's quad and reading, with the mean of the scores. Every reading is a vote of
    exactly one row. Rows are ordered by image, descending confidence and coordinates; `pipelines.decide.regions`
    numbers them, after the things. `gold`, `answered` and reasons as in `pipelines.decide.objects`.

    Raises:
        StoreError: a table is not over the images of `frames`, or has a quad that is not eight numbers.
        ConfigError: a weight is given for a reader that does not take part.
    """
    read, quads = said.writing(readings, len(frames.ids), config.min_score, gold)
    weights = read.pool.weights(config.weights, "consensus.writing")
    clusters = cluster(read.columns, weights, config.fusion, read.gold, ~read.early.kept)
    could_read = answers(read.pool, answered or {}, clusters)
    value, n_eligible = confidence(clusters, read.columns, weights, could_read, read.gold)
    own = np.asarray(read.columns.boxes)[clusters.winners].astype(np.float64)
    extra = {s.TEXT: c.take(read.words, clusters.winners), s.QUAD: c.take(quads, clusters.winners)}
    weighed = Weighed(clusters, own, value, n_eligible)
    return decided_rows(frames, read, weighed, config.ask, config.ask, WRITING, extra).table
