"""From the masks of segmenters and detectors to one mask for every box that has any."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from consensus.masks import MaskColumns, MaskFusionConfig, fuse
from engine import schema as s
from engine.grouped import Frames, Grouped
from pipelines.decide import columns as c


class MasksConfig(MaskFusionConfig):
    """The same, and from how many masks on a region's are fused."""

    least: int = Field(
        default=3,
        ge=2,
        description="masks of a box that are fused; of fewer the one with the highest predicted IoU stands, because two "
        "tell nothing about each other (our choice; `python -m benchmarks masks`)",
    )


def decide(
    frames: Frames,
    clusters: Grouped,
    detections: Mapping[str, Grouped],
    segmented: Sequence[tuple[str, Grouped]],
    config: MasksConfig,
    gold: frozenset[str] = frozenset(),
) -> pa.Table:
    """One row for each box of an image that somebody gave a mask, a table `engine.schema.DECIDED_MASKS`.

    A thing of `clusters` (DECIDED_REGIONS) has the masks of the detectors that voted for it (`detections`,
    PREDICTED_REGIONS); other boxes have those of `segmented` (specialist, PREDICTED_MASKS). A mask of a specialist in
    `gold` is human and stands alone. `score` is the mean IoU of the fused masks with the result, or the predicted IoU
    of the one that stands; votes are the specialists whose masks took part, with their IoU with the result.

    Raises:
        RecordError: a code is not that of a mask of its image.
    """
    said = pa.concat_tables([_of_votes(clusters, detections), *(_of_segmenter(n, g) for n, g in segmented)])
    said = said.filter(said.column(s.MASK).is_valid()).combine_chunks()
    image = pc.index_in(said.column(s.IMAGE_ID), value_set=pa.array(frames.ids, pa.string()))
    image = c.flat(image).to_numpy(zero_copy_only=False).astype(np.int64)
    box, region = np.unique(np.column_stack([image, c.box_matrix(said)]), axis=0, return_inverse=True)
    names = sorted({*detections, *(name for name, _ in segmented)})
    who = c.flat(pc.index_in(said.column(s.SPECIALIST), value_set=pa.array(names, pa.string()))).to_numpy()
    scores = c.floats(said, s.SCORE)
    rows = _taking_part(region.ravel(), who, scores, np.array([name in gold for name in names], bool), config)
    of, place = np.unique(region.ravel()[rows], return_inverse=True)
    owner = box[of, 0].astype(np.int64)
    masks = MaskColumns(
        c.take(said.column(s.MASK), rows).to_pylist(), place, who[rows].astype(np.int64), scores[rows],
        frames.heights[owner], frames.widths[owner],
    )  # fmt: skip
    fused = fuse(masks, config)
    votes = {s.SPECIALIST: c.names_of(names, masks.specialists), s.SCORE: pa.array(fused.agreement.astype(np.float32))}
    return c.table(
        s.DECIDED_MASKS,
        {
            s.IMAGE_ID: c.names_of(frames.ids, owner),
            **c.box_columns(box[of, 1:].astype(np.float32)),
            s.MASK: pa.array(fused.rles, pa.string()),
            s.SCORE: c.numbers(fused.confidence, pa.float32()),
            s.VOTES: c.lists(c.starts(place, len(of)), c.records(s.TEXT_VOTE, votes)),
        },
    )


def _taking_part(
    region: NDArray[np.int64],
    who: NDArray[np.integer],
    scores: NDArray[np.float64],
    human: NDArray[np.bool_],
    config: MasksConfig,
) -> NDArray[np.int64]:
    """Rows whose masks count, sorted by region and specialist, one of each: people's alone; of too few, the best."""
    drawn = human[who] if len(human) else np.zeros(0, bool)
    by_people = np.zeros(int(region.max(initial=-1)) + 1, bool)
    by_people[region[drawn]] = True
    promised = np.nan_to_num(scores, nan=config.promised_iou)
    order = np.lexsort((np.arange(len(region)), -promised, who, region))
    order = order[~by_people[region[order]] | drawn[order]]
    key = region[order] * (int(who.max(initial=0)) + 1) + who[order]
    order = order[np.unique(key, return_index=True)[1]]
    several = np.bincount(region[order], minlength=len(by_people)) >= config.least
    best = np.lexsort((who[order], -promised[order], region[order]))
    leading = np.zeros(len(order), bool)
    leading[best[np.unique(region[order][best], return_index=True)[1]]] = True
    return np.asarray(order[several[region[order]] | leading], np.int64)


_SAID = pa.schema(
    [
        *(s.PREDICTED_MASKS.field(name) for name in (s.IMAGE_ID, *s.BOX, s.MASK, s.SCORE)),
        pa.field(s.SPECIALIST, pa.string()),
    ]
)


def _of_segmenter(name: str, group: Grouped) -> pa.Table:
    table = group.table.select(_SAID.names[:-1])
    return table.append_column(_SAID.field(s.SPECIALIST), pa.array([name] * table.num_rows, pa.string())).cast(_SAID)


def _of_votes(clusters: Grouped, detections: Mapping[str, Grouped]) -> pa.Table:
    """The masks behind the votes of every thing, under the thing's box. A detector's score is no predicted IoU."""
    pool = c.pool(detections, s.PREDICTED_REGIONS, len(clusters.offsets) - 1)
    with_mask = np.flatnonzero(~c.flags(pc.is_null(pool.table.column(s.MASK))))
    if not len(with_mask):
        return _SAID.empty_table()
    table = clusters.table
    votes = c.flat(table.column(s.VOTES))
    thing = np.repeat(np.arange(len(votes)), pc.list_value_length(votes).to_numpy(zero_copy_only=False))
    flat = votes.flatten()
    cast = pa.table({name: pc.struct_field(flat, name) for name in (s.SPECIALIST, *s.BOX)})
    cast = cast.append_column(s.IMAGE_ID, c.take(table.column(s.IMAGE_ID), thing))
    spoken = c.take_rows(pool.table, with_mask).append_column(
        s.SPECIALIST, c.names_of(pool.names, pool.specialist[with_mask])
    )
    found = c.flat(pc.index_in(c.box_keys(cast, s.SPECIALIST), value_set=c.box_keys(spoken, s.SPECIALIST)))
    of = np.flatnonzero(c.flags(pc.is_valid(found)))
    things = c.take_rows(table, thing[of])
    columns = {name: things.column(name) for name in (s.IMAGE_ID, *s.BOX)}
    return c.table(
        _SAID,
        {
            **columns,
            s.MASK: spoken.column(s.MASK).take(found.drop_null()),
            s.SCORE: pa.nulls(len(of), pa.float32()),
            s.SPECIALIST: c.take(cast.column(s.SPECIALIST), of),
        },
    )
