"""From the things and writing of each image to the regions that are published: what is not sure or not alone goes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine import schema as s
from engine.grouped import Frames, Grouped, interleave
from filters import regions as region_filters
from filters.decision import Decision, first
from filters.region_checks import RegionColumns
from filters.regions import RegionFilterConfig, ThingFilterConfig
from filters.registry import ask
from pipelines.decide import columns as c
from pipelines.decide.clusters import numbered
from pipelines.decide.said import OBJECT, WRITING


class RegionsConfig(BaseModel):
    """Limits on objects and on text regions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: RegionFilterConfig = Field(default=ThingFilterConfig(), description="limits on objects")
    writing: RegionFilterConfig = Field(default=RegionFilterConfig(), description="limits on text regions")


def decide(
    frames: Frames, things: Grouped, writing: Grouped, config: RegionsConfig, gold: frozenset[str] = frozenset()
) -> pa.Table:
    """The rows of `things` and `writing` (DECIDED_REGIONS); those that took part and do not pass get a reason.

    Of an image things stand first, then writing, each in its order, and numbered in that: a thing keeps its id.
    Regions with a vote of a specialist in `gold` are human and pass. Reasons in order: size, whole image, those of the
    declared filters (`filters.registry`), confidence, overlap (with a better region of the same kind and label).
    """
    both = interleave([things, writing], s.DECIDED_REGIONS)
    table, image = numbered(both, frames), both.image_index()
    took_part = c.flags(pc.is_null(table.column(s.REASON)))
    human = _human(table, gold)
    objects = c.flags(pc.equal(table.column(s.KIND), OBJECT))
    labels, names = c.numbered(c.normal(table.column(s.LABEL)))
    labels = np.where(objects, labels, len(names))
    found = [
        _limits(frames, table, image, labels, human, took_part & of_kind, limits)
        for of_kind, limits in ((objects, config.objects), (~objects, config.writing))
    ]
    return c.decided(table, first(found), s.DECIDED_REGIONS)


def _limits(
    frames: Frames,
    table: pa.Table,
    image: NDArray[np.int64],
    labels: NDArray[np.int64],
    human: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    config: RegionFilterConfig,
) -> Decision:
    boxes = c.box_matrix(table)
    value = c.floats(table, s.CONFIDENCE)
    widths, heights = frames.widths[image], frames.heights[image]
    writing = c.flags(pc.equal(table.column(s.KIND), WRITING))
    label, text = c.flat(table.column(s.LABEL)), c.flat(table.column(s.TEXT))
    columns = RegionColumns(boxes, widths, heights, writing, label, text, value)
    decision = first(
        [
            region_filters.size(boxes, config.min_side),
            region_filters.whole_image(boxes, widths, heights, config.max_area),
            ask("regions", columns, len(boxes), config.checks),
            region_filters.score(value, config.min_confidence, "confidence"),
        ]
    ).only(asked & ~human)
    alive = asked & decision.kept
    return first([decision, region_filters.overlap(boxes, value, labels, image, config.nms_iou, human, alive)])


def _human(table: pa.Table, gold: frozenset[str]) -> NDArray[np.bool_]:
    """Whether a person voted for each row: (n,)."""
    votes = c.flat(table.column(s.VOTES))
    said = c.flags(
        pc.is_in(pc.struct_field(votes.flatten(), s.SPECIALIST), value_set=pa.array(sorted(gold), pa.string()))
    )
    owner = np.repeat(np.arange(len(votes)), pc.list_value_length(votes).to_numpy(zero_copy_only=False))
    flags = np.zeros(len(votes), bool)
    flags[owner[said]] = True
    return flags
