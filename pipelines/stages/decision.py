"""One stage class for every decision: a pure function from tables to a table, and the settings it is made with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from consensus.boxes import BoxFusionConfig
from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.graph import Batch, Output, Resources
from engine.grouped import Frames, Grouped, interleave
from filters import enhance
from pipelines.decide import chunks as chunks_
from pipelines.decide import columns as c
from pipelines.decide import groundings as groundings_
from pipelines.decide import images as images_
from pipelines.decide import masks as masks_
from pipelines.decide import objects as objects_
from pipelines.decide import phrases as phrases_
from pipelines.decide import region_text as region_text_
from pipelines.decide import regions as regions_
from pipelines.decide import reliability as reliability_
from pipelines.decide import texts as texts_
from pipelines.decide import things
from pipelines.decide import triplets as triplets_
from pipelines.decide import writing as writing_
from pipelines.decide.groundings import GroundingsConfig
from pipelines.decide.images import ImageFilterConfig
from pipelines.decide.masks import MasksConfig
from pipelines.decide.objects import ObjectsConfig
from pipelines.decide.phrases import PhrasesConfig
from pipelines.decide.region_text import RegionTextConfig, chunk_rows
from pipelines.decide.regions import RegionsConfig
from pipelines.decide.texts import Seen, TextsConfig
from pipelines.decide.tokens import tokens_of
from pipelines.decide.triplets import TripletsConfig
from pipelines.decide.writing import WritingConfig

Decide = Callable[[Batch], pa.Table]
RELIABILITY = "reliability"
DETAILS = "_details"  # ends the names of stages that look at written texts
COMPOSED = "_composed"  # of those that know what composed texts speak of
NEAR_DUPLICATES = "near_duplicates"


@dataclass(slots=True)
class DecisionStage:
    """`settings` is everything, as JSON, that changes what `decide` answers; `texts`: it reads or makes texts."""

    name: str
    inputs: tuple[str, ...]
    schema: pa.Schema
    decide: Decide
    settings: Mapping[str, Any]
    revision: int = 5
    resources: Resources = Resources()
    batch_size: int | None = None
    pixels: bool = False
    texts: bool = True

    def identity(self) -> Mapping[str, Any]:
        return {**self.settings, **(text_versions() if self.texts else {})}

    def load(self, device: str) -> None:
        """Nothing is heavy here."""

    def run(self, batch: Batch) -> Output:
        return Output(self.decide(batch))


def text_versions() -> dict[str, int]:
    """Of the code that makes texts of what was said. No setting tells when it answers otherwise, so these are part of the
    identity of whoever reads such texts."""
    return {"enhancement": enhance.VERSION, "candidates": region_text_.CANDIDATES_VERSION}


def images(batch: Batch, config: ImageFilterConfig) -> pa.Table:
    """Limits on images, and copies where they were looked for → DECIDED_IMAGES."""
    return images_.decide(batch.images, batch.learned.get(NEAR_DUPLICATES), config)


def reliability(
    batches: Iterable[Batch],
    min_score: float,
    fusion: BoxFusionConfig,
    gold: frozenset[str],
    vocabularies: Mapping[str, list[str] | None],
    vocabulary: Vocabulary,
    min_likeness: float,
) -> pa.Table:
    """What the detectors of a sample of shards tell about each other → `consensus.reliability.SCHEMA`."""
    names = sorted(vocabularies)
    shards = ((Frames.of(b.images), said_by(b, "detect."), _answered(b, "detect."), _alike(b)) for b in batches)
    return reliability_.learn(shards, names, min_score, fusion, gold, vocabularies, vocabulary, min_likeness)


def _alike(batch: Batch) -> list[pa.Table]:
    return [group.table for _, group in sorted(said_by(batch, "compare.").items())]


def objects(
    batch: Batch,
    config: ObjectsConfig,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, list[str] | None] | None = None,
    vocabulary: Vocabulary | None = None,
) -> pa.Table:
    """Consensus of detectors → DECIDED_REGIONS."""
    detections, answered = said_by(batch, "detect."), _answered(batch, "detect.")
    learned = None
    if RELIABILITY in batch.learned:
        learned = reliability_.known(batch.learned[RELIABILITY], vocabulary or Vocabulary.shipped())
    return objects_.decide(Frames.of(batch.images), detections, config, gold, vocabularies, answered, learned)


def writing(batch: Batch, config: WritingConfig, gold: frozenset[str] = frozenset()) -> pa.Table:
    """Consensus of readers → DECIDED_REGIONS without ids."""
    return writing_.decide(Frames.of(batch.images), said_by(batch, "read."), config, gold, _answered(batch, "read."))


def regions(batch: Batch, config: RegionsConfig, gold: frozenset[str] = frozenset()) -> pa.Table:
    """Limits on things and writing → DECIDED_REGIONS."""
    things, writing = batch.inputs["objects"], batch.inputs["writing"]
    return regions_.decide(Frames.of(batch.images), things, writing, config, gold)


def region_text(batch: Batch, config: RegionTextConfig) -> pa.Table:
    """The text of each accepted region → DECIDED_REGION_TEXTS."""
    said = published_by(batch, "describe.")
    chunks = chunks_of(batch, said)
    scores = said_by(batch, "score_regions.")
    frames = Frames.of(batch.images)
    return region_text_.decide(frames, batch.inputs["regions"].kept(), said, scores, config, chunks)


def texts(
    batch: Batch,
    config: TextsConfig,
    parsed: str | None,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, list[str] | None] | None = None,
) -> pa.Table:
    """Captions, with the tokens of stage `parsed` → DECIDED_TEXTS."""
    captions, scores = said_by(batch, "caption."), said_by(batch, "score_texts.")
    # the labels' own words alone: with the table of words more good captions were rejected, and no more bad ones caught
    # (`python -m benchmarks captions`)
    answered = _answered(batch, "detect.")
    seen = Seen(batch.inputs["regions"], vocabularies, {}, answered=answered) if vocabularies else None
    tokens, regions = _tokens(batch, parsed), batch.inputs.get("regions")
    looked = np.zeros(len(batch), bool) if parsed is None else looked_at(batch, parsed)
    return texts_.decide(Frames.of(batch.images), captions, tokens, scores, config, gold, seen, regions, looked)


def chunks(batch: Batch, source: str, parsed: str | None) -> pa.Table:
    """Noun phrases of the texts of the stages `source`*, with the tokens of stage `parsed` → DECIDED_PHRASES."""
    return chunks_.decide(Frames.of(batch.images), published_by(batch, source), _tokens(batch, parsed))


def phrases(batch: Batch, config: PhrasesConfig, texts: str) -> pa.Table:
    """Limits on the noun phrases of the kept texts of stage `texts` → DECIDED_PHRASES."""
    return phrases_.decide(batch.inputs[texts].kept(), of_kind(batch, "chunks"), config)


def groundings(batch: Batch, config: GroundingsConfig) -> pa.Table:
    """Consensus of grounders → DECIDED_TRIPLETS."""
    asked = of_kind(batch, "chunks").kept()
    said, answered = said_by(batch, "ground"), _answered(batch, "ground")
    return groundings_.decide(Frames.of(batch.images), asked, said, config, answered)


def triplets(batch: Batch, config: TripletsConfig, vocabulary: Vocabulary, blind: frozenset[str]) -> pa.Table:
    """Limits on places of phrases, and the regions that they are → DECIDED_TRIPLETS."""
    asked, found, regions = of_kind(batch, "phrases").kept(), of_kind(batch, "groundings"), accepted_regions(batch)
    labels = c.normal(regions.table.column(s.LABEL)).unique().to_pylist()
    return triplets_.decide(asked, found, regions, config, things.meanings(vocabulary, labels), blind)


def masks(batch: Batch, config: MasksConfig, gold: frozenset[str]) -> pa.Table:
    """Consensus of segmenters and detectors → DECIDED_MASKS."""
    segmented = [(name.partition(".")[2], group) for name, group in batch.inputs.items() if name.startswith("mask")]
    things = batch.inputs["objects"].kept()
    return masks_.decide(Frames.of(batch.images), things, said_by(batch, "detect."), segmented, config, gold)


def asked_things(batch: Batch) -> Grouped:
    """Things that specialists look at."""
    return _asked(batch.inputs["objects"])


def accepted_regions(batch: Batch) -> Grouped:
    """Regions that were kept, and for which a text was kept, as far as anybody is asked about them."""
    kept, words = _asked(batch.inputs["regions"]), batch.inputs["region_text"].kept()
    chosen = words.table.column(s.REGION_ID).combine_chunks()
    return kept.where(pc.is_in(kept.table.column(s.REGION_ID), value_set=chosen))


def _asked(regions: Grouped) -> Grouped:
    kept = regions.kept()
    return kept.where(kept.table.column(s.ASKED))


def of_kind(batch: Batch, kind: str) -> Grouped:
    """The inputs called `kind`, `kind`_details and `kind`_composed as one, image by image in that order."""
    names = (kind, kind + DETAILS, kind + COMPOSED)
    groups = [batch.inputs[name] for name in names if name in batch.inputs]
    return interleave(groups, groups[0].table.schema)


def said_by(batch: Batch, prefix: str) -> dict[str, Grouped]:
    """The inputs `prefix`NAME, or `prefix`*.NAME, by NAME."""
    found = {name: group for name, group in batch.inputs.items() if name.startswith(prefix) and "." in name}
    return {name.partition(".")[2]: group for name, group in found.items()}


def published_by(batch: Batch, prefix: str) -> dict[str, Grouped]:
    """The same of tables with a column of texts, as they are published (`filters.enhance`)."""
    return {name: published(group) for name, group in said_by(batch, prefix).items()}


def published(said: Grouped) -> Grouped:
    """What was said, its texts as they are published."""
    table = said.table
    at = table.schema.get_field_index(s.TEXT)
    return Grouped(table.set_column(at, table.schema.field(at), enhance.enhanced(table.column(at))), said.offsets)


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
    """For each specialist that lacks an answer for some image, which images it answered for at all."""
    return {
        stage.partition(".")[2]: looked_at(batch, stage)
        for stage, missing in batch.missing.items()
        if stage.startswith(prefix) and missing
    }


def looked_at(batch: Batch, stage: str) -> NDArray[np.bool_]:
    """The images that an input has an answer for, neither in its quarantine nor passed over: (images,)."""
    missing = batch.missing.get(stage, frozenset())
    return np.array([i not in missing for i in batch.images.column(s.IMAGE_ID).to_pylist()], bool)


def _tokens(batch: Batch, stage: str | None) -> Grouped:
    if stage is not None:
        return batch.inputs[stage]
    return Grouped(s.TOKENS.empty_table(), np.zeros(len(batch) + 1, np.int64))
