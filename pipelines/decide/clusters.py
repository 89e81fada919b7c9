"""How predictions of one kind, boxes of things or of writing, become rows with a confidence and votes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxFusionConfig, Clusters
from engine import ids
from engine import schema as s
from engine.grouped import Frames, Grouped
from filters import regions as region_filters
from filters.decision import first
from pipelines.decide import columns as c
from pipelines.decide.said import Said


class KindConfig(BaseModel):
    """How boxes of one kind become things. No value is in the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a prediction under this score does not take part (our choice)"
    )
    fusion: BoxFusionConfig = Field(default=BoxFusionConfig(), description="when boxes are one thing")
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={}, description="how much a specialist's score counts; 1 for those not named (our choice)"
    )
    ask: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="what is less sure is unlikely: no specialist looks at it, no filter can accept it (our choice)",
    )


@dataclass(frozen=True, slots=True)
class Weighed:
    """Clusters, and of each its box (k, 4), confidence (k,) and how many specialists could have voted (k,); `basis` says
    what confidence rests on, where people did not say it."""

    clusters: Clusters
    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]
    n_eligible: NDArray[np.int32]
    basis: str = s.MEAN


def decided_rows(
    frames: Frames,
    given: Said,
    weighed: Weighed,
    least: float,
    ask: float,
    kind: str,
    extra: Mapping[str, pa.Array],
) -> Grouped:
    """One row for each cluster, a table `engine.schema.DECIDED_REGIONS` without ids; `extra` are columns of this kind.

    Rows are ordered by image, descending confidence and coordinates. Those that took no part keep their reason
    (`Said.early`) and have no confidence, for nobody weighed them; those under `least` are unlikely, unless a person said
    them, and specialists look at those from `ask` on.
    """
    image = weighed.clusters.groups()
    heads = weighed.clusters.members[weighed.clusters.member_offsets[:-1]]
    early = given.early.take(heads)
    human = given.gold[heads]
    unlikely = region_filters.score(weighed.confidence, least, "unlikely").only(~human)
    asked = human | region_filters.score(weighed.confidence, ask).kept
    basis = np.where(human, s.PEOPLE, weighed.basis)
    columns = {
        **{f.name: pa.nulls(len(image), f.type) for f in s.DECIDED_REGIONS},
        s.IMAGE_ID: c.names_of(frames.ids, image),
        s.KIND: pa.array([kind], pa.string()).take(pa.array(np.zeros(len(image), np.int64))),
        **c.box_columns(weighed.boxes),
        **extra,
        s.CONFIDENCE: c.numbers(np.where(early.kept, weighed.confidence, np.nan), pa.float32()),
        s.BASIS: pa.array(basis.astype(object), pa.string(), mask=~early.kept),
        s.VOTES: _votes(given, weighed.clusters),
        s.ASKED: pa.array(asked & early.kept),
        s.N_ELIGIBLE: pa.array(weighed.n_eligible),
        **first([early, unlikely]).columns(),
    }
    table = c.table(s.DECIDED_REGIONS, columns)
    x0, y0, x1, y1 = c.box_matrix(table).T
    order = np.lexsort((y1, x1, y0, x0, -c.floats(table, s.CONFIDENCE), image))
    return Grouped(c.take_rows(table, order).combine_chunks(), c.starts(image[order], len(frames.ids)))


def numbered(regions: Grouped, frames: Frames) -> pa.Table:
    """The rows (DECIDED_REGIONS) with ids that count those of each image."""
    image = regions.image_index()
    place = c.places(image, len(frames.ids))
    names = map(ids.region_id, map(frames.ids.__getitem__, image.tolist()), place.tolist())
    return c.with_column(regions.table, s.REGION_ID, pa.array(names, pa.string()))


def answers(pool: c.Pool, answered: Mapping[str, NDArray[np.bool_]], clusters: Clusters) -> NDArray[np.bool_]:
    """Whether each specialist answered for the image of each cluster: (specialists, clusters)."""
    return ~c.absent(pool.names, answered, len(clusters.offsets) - 1)[clusters.groups()].T


def _votes(given: Said, clusters: Clusters) -> pa.Array:
    members = clusters.members
    values = {
        s.SPECIALIST: c.names_of(given.pool.names, given.columns.specialists[members]),
        s.LABEL: c.take(given.words, members),
        s.SCORE: c.take(given.pool.table.column(s.SCORE), members),
        **c.box_columns(np.asarray(given.columns.boxes)[members]),
    }
    return c.lists(clusters.member_offsets, c.records(s.VOTE, values))
