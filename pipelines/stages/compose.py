"""What is accepted about images as writers see it, and the decisions about what they compose of it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine.errors import StageFailed
from engine.graph import Batch
from engine.grouped import Frames, Grouped, interleave
from engine.records import Captions, Readings, Scene
from pipelines.decide import compositions
from pipelines.decide import texts as texts_
from pipelines.decide.said import OBJECT, WRITING
from pipelines.decide.texts import TextsConfig
from pipelines.decide.tokens import tokens_of
from pipelines.stages import rows
from pipelines.stages.decision import accepted_regions, looked_at, said_by


def compose(batch: Batch, writer: Any, parsed: str | None) -> pa.Table:
    """Composer: what is accepted about each image, with the tokens of stage `parsed` → COMPOSED.

    Raises:
        StageFailed: the writer gave another number of answers.
    """
    answers = writer.compose(scenes_of(batch, parsed))
    if len(answers) != len(batch):
        raise StageFailed(f"a writer gave {len(answers)} answers for {len(batch)} images")
    regions = [part.column(s.REGION_ID).to_pylist() for part in _things(batch).parts()]
    captions = [part.column(s.TEXT_ID).to_pylist() for part in batch.inputs["texts"].kept().parts()]
    return compositions.composed_table(batch.images.column(s.IMAGE_ID).to_pylist(), answers, regions, captions)


def tokens(batch: Batch, composers: frozenset[str]) -> pa.Table:
    """Tokens of composed texts → TOKENS."""
    return compositions.tokens(Frames.of(batch.images), _composed(batch, composers))


def details(
    batch: Batch, config: TextsConfig, composers: frozenset[str], parsed: tuple[str, ...], measured: bool
) -> pa.Table:
    """Written and composed texts, with the tokens of the stages `parsed` → DECIDED_TEXTS.

    A composed text repeats a caption. So where that was not parsed, what is `measured` elsewhere is not known of it.
    """
    frames = Frames.of(batch.images)
    composed = _composed(batch, composers)
    said = {**said_by(batch, "write."), **{name: compositions.as_said(group) for name, group in composed.items()}}
    none = Grouped(s.TOKENS.empty_table(), np.zeros(len(batch) + 1, np.int64))
    words = interleave([none, *(batch.inputs[stage] for stage in parsed)], s.TOKENS)
    parses = [looked_at(batch, stage) for stage in batch.inputs if stage.startswith("parse")]
    known = np.logical_and.reduce([np.full(len(batch), measured), *parses])
    return texts_.decide(frames, said, words, {}, config, parsed=known, as_they_stand=frozenset(composed))


def chunks(batch: Batch, composers: frozenset[str]) -> pa.Table:
    """Noun phrases of composed texts → DECIDED_PHRASES."""
    return compositions.phrases(Frames.of(batch.images), _composed(batch, composers), batch.inputs["chunks"])


def groundings(batch: Batch, composers: frozenset[str]) -> pa.Table:
    """Their places, which are known → DECIDED_TRIPLETS."""
    asked, found, regions = (batch.inputs[name] for name in ("chunks", "groundings", "regions"))
    return compositions.groundings(Frames.of(batch.images), _composed(batch, composers), asked, found, regions)


def scenes_of(batch: Batch, parsed: str | None = None) -> list[Scene]:
    """Accepted regions, readings and brief texts of each image, the latter with the tokens of stage `parsed`."""
    accepted, texts = accepted_regions(batch), batch.inputs["texts"].kept()
    things = rows.regions_of(_things(batch))
    tokens = None if parsed is None else tokens_of(batch.inputs[parsed], texts.table.column(s.TEXT_ID))
    scenes: list[Scene] = []
    sizes = zip(batch.images.column(s.WIDTH).to_pylist(), batch.images.column(s.HEIGHT).to_pylist(), strict=True)
    bounds = zip(texts.offsets[:-1].tolist(), texts.offsets[1:].tolist(), strict=True)
    for (width, height), regions, found, said, (lo, hi) in zip(
        sizes, things, accepted.parts(), texts.parts(), bounds, strict=True
    ):
        own = None if tokens is None else tokens.slice(lo, hi)
        scenes.append(Scene(width, height, regions, _readings(found), _captions(said), own))
    return scenes


def _things(batch: Batch) -> Grouped:
    accepted = accepted_regions(batch)
    return accepted.where(pc.equal(accepted.table.column(s.KIND), OBJECT))


def _composed(batch: Batch, composers: frozenset[str]) -> dict[str, Grouped]:
    return {name: group for name, group in said_by(batch, "write.").items() if name in composers}


def _readings(regions: pa.Table) -> Readings:
    written = [r for r in regions.select([s.KIND, s.QUAD, s.TEXT, s.CONFIDENCE]).to_pylist() if r[s.KIND] == WRITING]
    quads = np.array([r[s.QUAD] for r in written], np.float32).reshape(-1, 8)
    return Readings(quads, [r[s.TEXT] for r in written], np.array([r[s.CONFIDENCE] for r in written], np.float32))


def _captions(texts: pa.Table) -> Captions:
    scores = texts.column(s.CONFIDENCE).to_numpy().astype(np.float32, copy=False)
    return Captions(texts.column(s.TEXT).to_pylist(), texts.column(s.GRANULARITY).to_pylist(), scores)
