"""One stage class for every decision: a pure function from tables to a table, and the settings it is made with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine import schema as s
from engine.graph import Batch, Output, Resources
from engine.grouped import Frames, Grouped, interleave
from pipelines.decide import phrases as phrases_
from pipelines.decide import region_text as region_text_
from pipelines.decide import regions as regions_
from pipelines.decide import texts as texts_
from pipelines.decide import triplets as triplets_
from pipelines.decide.phrases import PhrasesConfig
from pipelines.decide.region_text import RegionTextConfig, chunk_rows
from pipelines.decide.regions import RegionsConfig
from pipelines.decide.texts import Seen, TextsConfig
from pipelines.decide.tokens import tokens_of
from pipelines.decide.triplets import TripletsConfig

Decide = Callable[[Batch], pa.Table]


@dataclass(slots=True)
class DecisionStage:
    """`settings` is everything, as JSON, that changes what `decide` answers."""

    name: str
    inputs: tuple[str, ...]
    schema: pa.Schema
    decide: Decide
    settings: Mapping[str, Any]
    revision: int = 2
    resources: Resources = Resources()
    batch_size: int | None = None
    pixels: bool = False

    def identity(self) -> Mapping[str, Any]:
        return self.settings

    def load(self, device: str) -> None:
        """Nothing is heavy here."""

    def run(self, batch: Batch) -> Output:
        return Output(self.decide(batch))


def regions(
    batch: Batch,
    config: RegionsConfig,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, list[str] | None] | None = None,
) -> pa.Table:
    """Consensus of detectors and readers → DECIDED_REGIONS."""
    detections, readings = said_by(batch, "detect."), said_by(batch, "read.")
    known = {name: None if words is None else frozenset(words) for name, words in (vocabularies or {}).items()}
    answered = {**_answered(batch, "detect."), **_answered(batch, "read.")}
    return regions_.decide(Frames.of(batch.images), detections, readings, config, gold, known, answered)


def region_text(batch: Batch, config: RegionTextConfig) -> pa.Table:
    """The text of each accepted region → DECIDED_REGION_TEXTS."""
    said = said_by(batch, "describe.")
    chunks = chunks_of(batch, said)
    scores = said_by(batch, "score_regions.")
    frames = Frames.of(batch.images)
    return region_text_.decide(frames, batch.inputs["regions"].kept(), said, scores, config, chunks)


def texts(
    batch: Batch,
    config: TextsConfig,
    source: str,
    parsed: str | None,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, list[str] | None] | None = None,
) -> pa.Table:
    """Texts of the stages `source`* with the tokens of stage `parsed` → DECIDED_TEXTS."""
    captions, scores = said_by(batch, source), said_by(batch, "score_texts.")
    seen = Seen(batch.inputs["regions"], vocabularies, {}) if vocabularies else None
    return texts_.decide(Frames.of(batch.images), captions, _tokens(batch, parsed), scores, config, gold, seen)


def phrases(batch: Batch, config: PhrasesConfig, parsed: tuple[str, ...]) -> pa.Table:
    """Noun phrases of every kept text → DECIDED_PHRASES."""
    kept = [batch.inputs[name].kept() for name in ("texts", "details")]
    tokens = interleave([_tokens(batch, name) for name in parsed or (None,)], s.TOKENS)
    return phrases_.decide(Frames.of(batch.images), kept, tokens, config)


def triplets(batch: Batch, config: TripletsConfig) -> pa.Table:
    """Consensus of grounders and regions → DECIDED_TRIPLETS."""
    frames, found = Frames.of(batch.images), said_by(batch, "ground.")
    return triplets_.decide(frames, batch.inputs["phrases"].kept(), found, accepted_regions(batch), config)


def accepted_regions(batch: Batch) -> Grouped:
    """Regions that were kept, and for which a text was kept: those that are published."""
    kept, words = batch.inputs["regions"].kept(), batch.inputs["region_text"].kept()
    chosen = words.table.column(s.REGION_ID).combine_chunks()
    return kept.where(pc.is_in(kept.table.column(s.REGION_ID), value_set=chosen))


def said_by(batch: Batch, prefix: str) -> dict[str, Grouped]:
    """The inputs `prefix`NAME by NAME."""
    return {name.removeprefix(prefix): group for name, group in batch.inputs.items() if name.startswith(prefix)}


def chunks_of(batch: Batch, said: Mapping[str, Grouped]) -> dict[str, Grouped]:
    """Noun chunks of crop texts by captioner, where they were parsed."""
    if "parse_crops" not in batch.inputs:
        return {}
    ids = batch.images.column(s.IMAGE_ID).to_pylist()
    tokens = batch.inputs["parse_crops"]
    return {
        name: Grouped.of(chunk_rows(group.table, tokens_of(tokens, crop_text_ids(group.table, name))), ids)
        for name, group in said.items()
    }


def crop_text_ids(crop_texts: pa.Table, captioner: str) -> list[str]:
    """Names of crop texts for their tokens: region, captioner, place among its texts of the region."""
    seen: dict[str, int] = {}
    names = []
    for region in crop_texts.column(s.REGION_ID).to_pylist():
        seen[region] = seen.get(region, -1) + 1
        names.append(f"{region}:{captioner}:{seen[region]}")
    return names


def _answered(batch: Batch, prefix: str) -> dict[str, NDArray[np.bool_]]:
    """For each specialist the images that it answered for at all; those in its quarantine it could not see."""
    ids = batch.images.column(s.IMAGE_ID).to_pylist()
    return {
        stage.removeprefix(prefix): np.array([i not in missing for i in ids], bool)
        for stage, missing in batch.missing.items()
        if stage.startswith(prefix) and missing
    }


def _tokens(batch: Batch, stage: str | None) -> Grouped:
    if stage is not None:
        return batch.inputs[stage]
    return Grouped(s.TOKENS.empty_table(), np.zeros(len(batch) + 1, np.int64))
