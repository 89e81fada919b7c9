"""One stage class for every specialist: what differs between roles is one function from a batch to rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine.errors import StageFailed
from engine.graph import Batch, Output, Resources
from engine.grouped import Frames, Grouped
from engine.records import Captions, Image, Phrases, Readings, Regions
from filters import enhance
from pipelines.decide.categories import category_phrases
from pipelines.decide.columns import normal, pool
from pipelines.decide.said import OBJECT
from pipelines.decide.texts import text_ids
from pipelines.decide.tokens import tokens_table
from pipelines.stages import rows
from pipelines.stages.compose import scenes_of
from pipelines.stages.decision import (
    asked_things,
    chunks_of,
    crop_text_ids,
    of_kind,
    published,
    published_by,
    said_by,
    text_versions,
)
from specialists.base import LOCATIONS, Card, SpecialistConfig

Answer = Callable[[Any, Batch], Output]
_READERS_OF_TEXTS = ("parser", "scorer")
_CROP_MARGIN = 0.1  # of the box's sides, so that a captioner sees where a thing stands; our choice
_CONTEXT_MARGIN = 0.5  # of the box's sides: what is around a thing may be what its text speaks of; our choice
_ALIKE = 0.5  # words with a smaller cosine are not told; no setting accepts less
_CONTEXT_WEIGHT = 0.25  # of the similarity with that, beside the crop's own; our choice


@dataclass(slots=True)
class SpecialistStage:
    """A specialist in its place. `weights` are the hashes of its files; they and `config` are its identity."""

    name: str
    card: Card
    config: SpecialistConfig
    weights: Mapping[str, str]
    inputs: tuple[str, ...]
    schema: pa.Schema
    answer: Answer
    revision: int = 1
    resources: Resources = Resources()
    batch_size: int | None = None
    pixels: bool = True
    _specialist: Any = field(default=None, init=False, repr=False)

    def identity(self) -> Mapping[str, Any]:
        return {
            **self._text_versions(),
            "specialist": self.card.name,
            "role": self.card.role,
            "revision": self.card.revision,
            "config": self.config.model_dump(mode="json", exclude=self._not_identity()),
            "weights": dict(self.weights),
        }

    def _text_versions(self) -> dict[str, int]:
        """Of the texts that it is asked about, where they are made when it is asked and not by a stage before it."""
        if self.answer is score_regions:
            return text_versions()
        return {"enhancement": enhance.VERSION} if self.card.role in _READERS_OF_TEXTS else {}

    def _not_identity(self) -> set[str]:
        """Knobs of speed, and the places of files whose content is hashed."""
        return {"batch_size", *(LOCATIONS if self.weights else ())}

    def load(self, device: str) -> None:
        specialist = self.card.cls(self.config)
        specialist.load(device)
        self._specialist = specialist

    def run(self, batch: Batch) -> Output:
        return self.answer(self._specialist, batch)


def detect(detector: Any, batch: Batch) -> Output:
    """Detector: images → PREDICTED_REGIONS."""
    answers = _answers(batch, detector.detect(rows.images_of(batch)))
    return _output(rows.regions_table(_ids(batch), answers), batch, answers)


def read(reader: Any, batch: Batch) -> Output:
    """Reader: images → PREDICTED_READINGS."""
    answers = _answers(batch, reader.read(rows.images_of(batch)))
    return _output(rows.readings_table(_ids(batch), answers), batch, answers)


def caption(captioner: Any, batch: Batch) -> Output:
    """Captioner: images → PREDICTED_TEXTS."""
    answers = _answers(batch, captioner.caption(rows.images_of(batch)))
    return _output(rows.texts_table(_ids(batch), answers), batch, answers)


def describe(captioner: Any, batch: Batch) -> Output:
    """Captioner on the crops of likely things → CROP_TEXTS.

    Raises:
        StageFailed: it says of a crop what is not brief, or not one answer for each crop.
    """
    crops, owners, regions = _crops(batch)
    said: list[Captions] = []
    caption = getattr(captioner, "describe", captioner.caption)
    for lo in range(0, len(crops), captioner.config.batch_size):
        asked = crops[lo : lo + captioner.config.batch_size]
        said += _each_answered(caption(asked), len(asked), "crops")
    texts = [(owners[i], regions[i], text, score) for i, c in enumerate(said) for text, score in _briefs(c)]
    columns = zip(*texts, strict=True) if texts else [[]] * len(s.CROP_TEXTS)
    arrays = [pa.array(list(c), f.type, from_pandas=True) for c, f in zip(columns, s.CROP_TEXTS, strict=True)]
    return Output(pa.Table.from_arrays(arrays, schema=s.CROP_TEXTS))


def ground(grounder: Any, batch: Batch) -> Output:
    """Grounder: images, the phrases of all their texts and likely things → PREDICTED_PHRASES."""
    phrases = of_kind(batch, "chunks").kept()
    asked = _phrases(phrases, asked_things(batch))
    names = [part.column(s.PHRASE_ID).to_pylist() for part in phrases.parts()]
    answers = _answers(batch, grounder.ground(rows.images_of(batch), asked))
    return Output(rows.groundings_table(_ids(batch), names, answers))


def segment(segmenter: Any, batch: Batch) -> Output:
    """Segmenter: likely things without a mask, and grounded boxes that are no such thing → PREDICTED_MASKS."""
    targets = _unmasked(batch)
    boxes = [rows.boxes_of(part) for part in targets.parts()]
    answers = _answers(batch, segmenter.segment(rows.images_of(batch), boxes))
    for wanted, answer in zip(boxes, answers, strict=True):
        if len(wanted) != len(answer.masks):
            raise StageFailed(f"a segmenter gave {len(answer.masks)} masks for {len(wanted)} boxes")
    return Output(rows.masks_table(targets.table, answers))


def write(writer: Any, batch: Batch) -> Output:
    """Writer: what is accepted about each image → PREDICTED_TEXTS."""
    answers = _answers(batch, writer.write(scenes_of(batch)))
    return _output(rows.texts_table(_ids(batch), answers), batch, answers)


def score_texts(scorer: Any, batch: Batch) -> Output:
    """Scorer: images and all their captions → SIMILARITIES."""
    said = [list(group.parts()) for group in published_by(batch, "caption.").values()]
    texts = [_distinct(t for parts in said for t in parts[i].column(s.TEXT).to_pylist()) for i in range(len(batch))]
    scores = _answers(batch, scorer.score(rows.images_of(batch), texts))
    owners = [(image_id, None) for image_id in _ids(batch)]
    return Output(_similarities(owners, texts, scores))


def compare(scorer: Any, batch: Batch) -> Output:
    """Scorer: the labels that detectors gave → LIKENESS, of those that are anything alike."""
    tables = [group.table.select([s.IMAGE_ID, s.LABEL]) for group in said_by(batch, "detect.").values()]
    table = pa.concat_tables(tables)
    words = normal(table.column(s.LABEL))
    met: dict[str, str] = {}
    for image_id, word in sorted(zip(table.column(s.IMAGE_ID).to_pylist(), words.to_pylist(), strict=True)):
        met.setdefault(word, image_id)
    names = sorted(word for word in met if word)
    alike = np.asarray(scorer.likeness(names), np.float32)
    if alike.shape != (len(names), len(names)):
        raise StageFailed(f"a scorer compared {len(names)} words and answered {alike.shape}")
    one, other = np.nonzero((alike >= _ALIKE) & ~np.eye(len(names), dtype=bool))
    columns = [[met[names[i]] for i in one], [names[i] for i in one], [names[i] for i in other], alike[one, other]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, s.LIKENESS, strict=True)]
    return Output(Grouped.of(pa.Table.from_arrays(arrays, schema=s.LIKENESS), _ids(batch)).table)


def score_regions(scorer: Any, batch: Batch) -> Output:
    """Scorer: likely things, cropped closely and with what is around them, and their candidate texts → SIMILARITIES."""
    crops, owners, regions = _crops(batch)
    around, _, _ = _crops(batch, _CONTEXT_MARGIN)
    candidates = _candidates(batch)
    texts = [_distinct(candidates[region]) for region in regions]
    close, far = (_scored(scorer, seen, texts) for seen in (crops, around))
    scores = [(1 - _CONTEXT_WEIGHT) * near + _CONTEXT_WEIGHT * wide for near, wide in zip(close, far, strict=True)]
    return Output(_similarities(list(zip(owners, regions, strict=True)), texts, scores))


def _scored(scorer: Any, images: Sequence[Image], texts: Sequence[Sequence[str]]) -> list[Any]:
    """In batches of the scorer's size, because an image has many regions."""
    step = scorer.config.batch_size
    parts = [scorer.score(images[lo : lo + step], texts[lo : lo + step]) for lo in range(0, len(images), step)]
    return [np.asarray(scores, np.float64) for part in parts for scores in part]


@dataclass(frozen=True, slots=True)
class ParseCrops:
    """Parser: the crop texts of the `describe` stages → TOKENS, named by `crop_text_ids`."""

    sources: tuple[str, ...]

    def __call__(self, parser: Any, batch: Batch) -> Output:
        tables = [published(batch.inputs[stage]).table for stage in self.sources]
        names = [crop_text_ids(t, stage.partition(".")[2]) for t, stage in zip(tables, self.sources, strict=True)]
        image_ids = [i for t in tables for i in t.column(s.IMAGE_ID).to_pylist()]
        texts = [text for t in tables for text in t.column(s.TEXT).to_pylist()]
        table = tokens_table(image_ids, [name for group in names for name in group], parser.parse(texts))
        return Output(Grouped.of(table, _ids(batch)).table)


@dataclass(frozen=True, slots=True)
class Parse:
    """Parser: the texts of the stages in `sources` ((stage, specialist) pairs) → TOKENS."""

    sources: tuple[tuple[str, str], ...]

    def __call__(self, parser: Any, batch: Batch) -> Output:
        said = {name: published(batch.inputs[stage]) for stage, name in self.sources}
        table = pool(said, s.PREDICTED_TEXTS, len(batch)).table
        names = text_ids(Frames.of(batch.images), said)
        tokens = parser.parse(table.column(s.TEXT).to_pylist())
        return Output(tokens_table(table.column(s.IMAGE_ID).to_pylist(), names, tokens))


def _output(table: pa.Table, batch: Batch, answers: Sequence[Regions | Readings | Captions]) -> Output:
    return Output(table, rows.faults_of(batch, answers), rows.unanswered_of(batch, answers))


def _answers(batch: Batch, answers: Sequence[Any]) -> Sequence[Any]:
    return _each_answered(answers, len(batch), "images")


def _each_answered(answers: Sequence[Any], n: int, what: str) -> Sequence[Any]:
    if len(answers) != n:
        raise StageFailed(f"a specialist gave {len(answers)} answers for {n} {what}")
    return answers


def _ids(batch: Batch) -> list[str]:
    ids: list[str] = batch.images.column(s.IMAGE_ID).to_pylist()
    return ids


def _objects(regions: Grouped) -> Grouped:
    """Those that are things, not writing."""
    return regions.where(pc.equal(regions.table.column(s.KIND), OBJECT))


def _phrases(phrases: Grouped, regions: Grouped) -> list[Phrases]:
    return [
        Phrases(
            part.column(s.PHRASE).to_pylist(),
            part.column(s.HEAD).to_pylist(),
            part.column(s.NUMBER).to_numpy().astype(np.int32, copy=False),
            found,
        )
        for part, found in zip(phrases.parts(), rows.regions_of(regions), strict=True)
    ]


def _crops(batch: Batch, margin: float = _CROP_MARGIN) -> tuple[list[Image], list[str], list[str]]:
    """Of every likely thing its crop, its image and its id."""
    crops: list[Image] = []
    owners: list[str] = []
    names: list[str] = []
    for image, part in zip(rows.images_of(batch), asked_things(batch).parts(), strict=True):
        crops += [_crop(image, box, margin) for box in rows.boxes_of(part)]
        owners += [image.image_id] * part.num_rows
        names += part.column(s.REGION_ID).to_pylist()
    return crops, owners, names


def _crop(image: Image, box: Any, margin: float) -> Image:
    x0, y0, x1, y1 = (float(v) for v in box)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    right, bottom = min(image.width, int(np.ceil(x1 + dx))), min(image.height, int(np.ceil(y1 + dy)))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return Image(
        image.image_id,
        image.uri,
        right - left,
        bottom - top,
        lambda: np.ascontiguousarray(image.pixels[top:bottom, left:right]),
    )


def _briefs(said: Captions) -> list[tuple[str, float]]:
    """What was said of a crop, by contract (`specialists.base.HasDescribe`) brief texts alone."""
    if others := sorted(set(said.granularities) - {"brief"}):
        raise StageFailed(
            f"a captioner said a {others[0]} text of a crop, where only brief ones are asked for; give it a method "
            "`describe(crops)` that says these alone"
        )
    return [(text, float(score)) for text, score in zip(said.texts, said.scores, strict=True)]


def _candidates(batch: Batch) -> dict[str, list[str]]:
    """The texts that may become each thing's: its category phrase, crop texts and their chunks."""
    regions = asked_things(batch).table
    labels = category_phrases(regions.column(s.LABEL)).to_pylist()
    found = {region: [label] for region, label in zip(regions.column(s.REGION_ID).to_pylist(), labels, strict=True)}
    said = published_by(batch, "describe.")
    for group in (*said.values(), *chunks_of(batch, said).values()):
        for region, text in zip(*(group.table.column(n).to_pylist() for n in (s.REGION_ID, s.TEXT)), strict=True):
            found[region].append(text)
    return found


def _similarities(
    owners: Sequence[tuple[str, str | None]], texts: Sequence[Sequence[str]], scores: Sequence[Any]
) -> pa.Table:
    """One row a text; `owners` are (image, region) pairs."""
    for wanted, given in zip(texts, scores, strict=True):
        if len(wanted) != len(given):
            raise StageFailed(f"a scorer gave {len(given)} similarities for {len(wanted)} texts")
    flat = [
        (i, r, t, float(v))
        for (i, r), ts, vs in zip(owners, texts, scores, strict=True)
        for t, v in zip(ts, vs, strict=True)
    ]
    columns = zip(*flat, strict=True) if flat else [[]] * len(s.SIMILARITIES)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, s.SIMILARITIES, strict=True)]
    return pa.Table.from_arrays(arrays, schema=s.SIMILARITIES)


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _unmasked(batch: Batch) -> Grouped:
    """Boxes that still need a mask, each once: image_id, region_id, phrase_id (one of the two null), box."""
    schema = pa.schema([s.PREDICTED_MASKS.field(n) for n in (s.IMAGE_ID, s.REGION_ID, s.PHRASE_ID, *s.BOX)])
    parts = [schema.empty_table()]
    if "objects" in batch.inputs:
        things = asked_things(batch).table
        parts.append(things.filter(things.column(s.MASK).is_null()))
    parts.append(of_kind(batch, "groundings").kept().table)
    whole = pa.concat_tables([_columns(part, schema) for part in parts])
    first = pa.table({**{n: whole.column(n) for n in (s.IMAGE_ID, *s.BOX)}, "row": np.arange(whole.num_rows)})
    rows_ = first.group_by([s.IMAGE_ID, *s.BOX]).aggregate([("row", "min")]).column("row_min")
    return Grouped.of(whole.take(rows_.combine_chunks().sort()), _ids(batch))


def _columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`, null where the table has none."""
    found = [table.column(f.name) if f.name in table.column_names else pa.nulls(len(table), f.type) for f in schema]
    return pa.table(found, names=schema.names).cast(schema)
