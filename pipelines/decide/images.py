"""Which images are no use, and which are copies of others."""

from functools import partial
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from engine import schema as s
from filters.decision import Decision, first, reject
from filters.images import ImageColumns
from filters.near_duplicates import MAX_RADIUS
from filters.registry import Chosen, ask, choose
from pipelines.decide import columns as c

COPY: Final = "near-duplicate"


class NearDuplicatesConfig(BaseModel):
    """Copies among all images of the source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_distance: int | None = Field(
        None,
        ge=0,
        le=MAX_RADIUS,
        description="of images whose perceptual hashes differ in at most so many of 64 bits one stays: the one with the "
        "most pixels, of these the largest file, of these the first; none keeps all, because otherwise every image is "
        "read before the first shard is published, and a source that grows is published anew (our choice; 4 finds copies "
        "of another size or quality)",
    )


class ImageFilterConfig(BaseModel):
    """Which images are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checks: Annotated[Chosen, BeforeValidator(partial(choose, "images"))] = Field(
        {}, validate_default=True, description="limits by name"
    )
    near_duplicates: NearDuplicatesConfig = Field(NearDuplicatesConfig(), description="copies among all images")


def decide(images: pa.Table, copies: pa.Table | None, config: ImageFilterConfig) -> pa.Table:
    """One row for each of `images` (INGESTED): a table `engine.schema.DECIDED_IMAGES`.

    `copies` (COPIES) are those of the whole source, None where nobody looked for any. A copy's value is the distance.
    """
    ids = c.flat(images.column(s.IMAGE_ID))
    own = checked(images, config)
    of, distance = pa.nulls(len(ids), pa.string()), np.full(len(ids), np.nan)
    if copies is not None:
        copies = copies.filter(pc.is_in(copies.column(s.IMAGE_ID), value_set=ids))
        place = pc.index_in(ids, value_set=c.flat(copies.column(s.IMAGE_ID)))
        of = c.flat(copies.column(s.COPY_OF)).take(place)
        distance = np.asarray(c.flat(copies.column(s.VALUE)).take(place).to_numpy(zero_copy_only=False), np.float64)
    copy = reject(np.isfinite(distance), COPY, distance, config.near_duplicates.max_distance or 0)
    columns = {
        s.IMAGE_ID: ids,
        s.URI: c.flat(images.column(s.URI)),
        s.COPY_OF: of,
        **first([own, copy]).columns(),
    }
    return c.table(s.DECIDED_IMAGES, columns)


def checked(images: pa.Table, config: ImageFilterConfig) -> Decision:
    """What the limits say of each image alone: (images,)."""
    columns = ImageColumns(
        uri=c.flat(images.column(s.URI)),
        format=c.flat(images.column(s.FORMAT)),
        meta=c.flat(images.column(s.META)),
        widths=images.column(s.WIDTH).to_numpy(),
        heights=images.column(s.HEIGHT).to_numpy(),
        contrast=images.column(s.CONTRAST).to_numpy(),
        tails=images.column(s.TAIL).to_numpy(),
        tail_colours=images.column(s.TAIL_COLOUR).to_numpy(),
    )
    return ask("images", columns, len(columns), config.checks)
