"""`fld eval`: what is published, and every single specialist, against ground truth.

The parts stand in `pipelines.evaluate`, one a family of numbers; `pipelines.evaluate.render` prints them.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine.errors import OutError, TruthError
from pipelines.evaluate import boxes as b
from pipelines.evaluate import published as p
from pipelines.evaluate.calibration import BINS, calibration
from pipelines.evaluate.claims import claims_of
from pipelines.evaluate.matching import rates, share
from pipelines.evaluate.ocr import Readings, measure_reading
from pipelines.evaluate.render import render
from pipelines.evaluate.texts import Facts, Texts, measure_texts
from pipelines.evaluate.triplets import Triplets, measure_triplets
from pipelines.evaluate.truth import Scenes, Truth, TruthFile, stem
from pipelines.evaluate.vocabulary import Vocabulary
from pipelines.scenes.model import GRANULARITIES

__all__ = ["evaluate", "render"]

CEILING_IMAGES: Final = 500  # of the truth's own captions, how many images' show what the parser can do
NO_SCENES: Final = "only the truth.json of `fld scenes` says what captions, phrases and printed words are true"
DEFINITIONS: Final = {
    "images": "compared are the images that both sides have, matched by file name without folder and extension; the "
    "others are counted and left out. An image in quarantine is not in OUT.",
    "boxes": "COCO's average precision (pycocotools): IoU 0.50 to 0.95, at most 100 boxes of a class and image; ar100 "
    "is the recall then. Sizes are COCO's (areas of 32 and 96 pixels squared); bands are shares of the image's area, "
    "for images of one size. All true objects count, hidden ones too. Labels are compared in lower case; boxes with "
    "other labels are left out and counted. A region without confidence ranks last. specialists: each detector's own "
    "boxes, labels and scores, before consensus. at_iou_50: precision and recall of all boxes that can be judged (see "
    "calibration), whatever their score.",
    "masks": "the same over published masks; mean_iou is over the regions that are right by their box (see calibration).",
    "text": "claims are read by the shipped parser. objects: kinds that heads of noun phrases name (synonyms and "
    "plurals count); attributes: colour, pattern, size of a kind; actions: verbs of a kind; counts: numbers from two "
    "up. Precision: claims that hold in the scene, whatever the truth's caption mentions; an attribute must hold for "
    "as many things as the phrase has; a count must be that of the things clear enough to be named (or of all). "
    "Recall: claims of the truth's caption of the same granularity that the text makes. Each text counts for itself; "
    "images without a text show in families. unknown_nouns name no kind of the truth and are not judged. ceiling: "
    f"the truth's own captions read by the same parser (the first {CEILING_IMAGES} images).",
    "triplets": "precision: published boxes with a true object of the phrase's kind (and of its colours and patterns) "
    "at IoU 0.5, one to one in each phrase; phrases that name no kind of the truth are unjudged. Recall: all phrases of "
    "the published texts that name a kind which is there, boxes or no boxes; a phrase of one thing wants one box, of n "
    "things n, a plural of unknown number all that are clear enough to be named. mask_iou: of the right boxes.",
    "families": "share of the compared images with at least one row.",
    "ocr": "accuracy: true words read in a reading that covers at least half of the word, one to one; words nothing of "
    "which is hidden (visibility 0.95) and that are at least 12 pixels high (all: every word). Precision: read words "
    "that are such words. Punctuation at a word's edges does not count.",
    "calibration": f"right: matched one to one to a true object of the same label at IoU 0.5, the most confident first; "
    f"of triplets as there. ece: expected calibration error with {BINS} bins of equal width (Guo et al., 2017). "
    "specialists: raw scores.",
}  # fmt: skip


def evaluate(out: str, truth: str) -> dict[str, Any]:
    """OUT against the truth file, as JSON with stable keys; a part that cannot be measured is None, and `left_out`
    says why. Shares are rounded to 4 decimals, None of nothing.

    Raises:
        OutError: nothing is published, or what is cannot be read.
        TruthError: the truth cannot be read, or is not about these images.
    """
    published = p.Published.open(out)
    file = TruthFile.read(truth)
    rows = _common(published, file, out)
    known = file.truth([stem(published.names[i]) for i in rows], published.sizes[rows])
    ids = pa.array([published.ids[i] for i in rows], pa.string())
    run = _Evaluation(published, known, ids)
    found = {
        "images": {
            "compared": len(rows),
            "only_in_out": len(published.ids) - len(rows),
            "only_in_truth": len(file.images) - len(rows),
        },
        **run.measure(),
    }
    return {**found, "left_out": run.left_out, "definitions": dict(DEFINITIONS)}


def _common(published: p.Published, file: TruthFile, out: str) -> list[int]:
    """Positions of OUT's images that the truth names."""
    stems = [stem(name) for name in published.names]
    rows = [i for i, name in enumerate(stems) if name in file.images]
    twice = [name for name, count in Counter(stems[i] for i in rows).items() if count > 1]
    if twice:
        raise TruthError(
            f"{out} has {Counter(stems)[twice[0]]} images named {twice[0]!r}, and images are matched with {file.path} "
            "by file name; evaluate folders with such names one at a time"
        )
    if not rows:
        raise TruthError(
            f"no image of {out} is named in {file.path}: there {next(iter(file.images), 'none')!r} and others, in OUT "
            f"{stems[0] if stems else 'none'!r} and others; give the truth of these images"
        )
    return rows


class _Evaluation:
    """One OUT and one truth over the same images, `ids` in the truth's order; measures one part after another."""

    def __init__(self, published: p.Published, truth: Truth, ids: pa.Array) -> None:
        self.published = published
        self.truth = truth
        self.ids = ids
        self.left_out: dict[str, str] = {}
        self._calibration: dict[str, Any] = {}

    def measure(self) -> dict[str, Any]:
        """Every part, by its key in the JSON."""
        boxes, masks = self._boxes_and_masks()
        text = triplets = ocr = None
        if self.truth.scenes is None:
            self.left_out |= dict.fromkeys(("text", "triplets", "ocr"), NO_SCENES)
            self._calibration["triplets"] = None
        else:
            text, triplets = self._texts_and_triplets(self.truth.scenes)
            ocr = self._ocr(self.truth.scenes)
        return {
            "boxes": boxes, "masks": masks, "text": text, "triplets": triplets, "ocr": ocr,
            "calibration": self._calibration, "families": self._families(),
        }  # fmt: skip

    def _boxes_and_masks(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        truth = self.truth
        table = self.published.table("region_text", [*b.columns_of(s.CONFIDENCE), s.KIND], self.ids)
        found = b.found_boxes(*b.of_kind(*table, "object"), s.CONFIDENCE, truth)
        judged = b.judge(found, truth.things)
        boxes = {**b.measure_boxes(found, truth), "at_iou_50": self._at_iou_50(judged)}
        self._calibration = calibration(found.scores[judged.rows], judged.right)
        self._calibration["specialists"] = {}
        boxes["specialists"] = {}
        for name, rows in self._alone(p.DETECT, b.columns_of(s.SCORE)):
            said = b.found_boxes(*rows, s.SCORE, truth)
            alone = b.judge(said, truth.things)
            boxes["specialists"][name] = {**b.measure_boxes(said, truth), "at_iou_50": self._at_iou_50(alone)}
            self._calibration["specialists"][name] = calibration(said.scores[alone.rows], alone.right)
        if not any(mask is not None for mask in truth.things.masks):
            self.left_out["masks"] = "the truth has no segmentations"
        elif not any(mask is not None for mask in found.masks):
            self.left_out["masks"] = "no published region has a mask; name a [segmenters] specialist"
        else:
            return boxes, b.measure_masks(found, judged, truth)
        return boxes, None

    def _at_iou_50(self, judged: b.Judged) -> dict[str, Any]:
        """Precision and recall of boxes, as one to one as they were matched."""
        right = int(judged.right.sum())
        return rates(len(judged.rows), right, int((~self.truth.things.crowd).sum()), right)

    def _texts_and_triplets(self, scenes: Scenes) -> tuple[dict[str, Any], dict[str, Any]]:
        from specialists.spacy_parser import SpacyParser

        parser = SpacyParser(SpacyParser.Config())
        parser.load("cpu")
        words = Vocabulary.of(self.truth)
        columns = [s.IMAGE_ID, s.TEXT_ID, s.GRANULARITY, s.TEXT, s.SPECIALIST]
        table, image = self.published.table("text", columns, self.ids)
        sentences = table.column(s.TEXT).to_pylist()
        who = [np.array(table.column(c).to_pylist(), np.str_) for c in (s.GRANULARITY, s.SPECIALIST)]
        said = claims_of(parser.parse(sentences), sentences, words)
        facts = Facts(self.truth.things, scenes)
        text = measure_texts(Texts(image, who[0], who[1], said), facts, scenes)
        own, own_sentences = _captions(scenes)
        told = claims_of(parser.parse(own_sentences), own_sentences, words)
        ceiling = measure_texts(Texts(*own, told), facts, scenes)
        text["ceiling"] = {name: ceiling[name]["all"] for name in GRANULARITIES}
        found = self._triplets(table.column(s.TEXT_ID))
        triplets, checked = measure_triplets(found, said.named, image, self.truth, scenes)
        self._calibration["triplets"] = calibration(found.confidence[checked.rows], checked.right)
        return text, triplets

    def _triplets(self, text_ids: pa.ChunkedArray) -> Triplets:
        columns = [s.IMAGE_ID, s.TEXT_ID, s.START, s.END, *s.BOX, s.CONFIDENCE, s.MASK]
        table, _ = self.published.table("text_phrase_region", columns, self.ids)
        text = pc.index_in(table.column(s.TEXT_ID), value_set=text_ids.combine_chunks())
        table = table.filter(pc.is_valid(text))
        start, end = (table.column(name).to_numpy().astype(np.int64) for name in (s.START, s.END))
        return Triplets(
            text.drop_null().to_numpy().astype(np.int64),
            start,
            end,
            p.boxes(table),
            p.floats(table.column(s.CONFIDENCE)),
            table.column(s.MASK).to_pylist(),
        )

    def _ocr(self, scenes: Scenes) -> dict[str, Any]:
        columns = [s.IMAGE_ID, s.KIND, s.QUAD, s.TEXT]
        published = b.of_kind(*self.published.table("region_text", columns, self.ids), "text")
        found = measure_reading(_readings(*published), scenes.words)
        found["specialists"] = {}
        for name, said in self._alone(p.READ, [s.IMAGE_ID, s.QUAD, s.TEXT]):
            found["specialists"][name] = measure_reading(_readings(*said), scenes.words)
        return found

    def _alone(self, prefix: str, columns: list[str]) -> Iterator[tuple[str, tuple[pa.Table, Any]]]:
        """What each specialist of a role said before consensus; of whom that is gone, `left_out` says so."""
        for name in self.published.specialists(prefix):
            try:
                said = self.published.said(prefix + name, columns, self.ids)
            except OutError as error:
                self.left_out[prefix + name] = str(error)
            else:
                yield name, said

    def _families(self) -> dict[str, Any]:
        """Share of images that have each family, and all of them."""
        names = ("text", "region_text", "text_phrase_region")
        there = []
        for name in names:
            _, image = self.published.table(name, [s.IMAGE_ID], self.ids)
            there.append(np.bincount(image, minlength=len(self.ids)) > 0)
        found = {name: share(int(has.sum()), len(self.ids)) for name, has in zip(names, there, strict=True)}
        return {**found, "all": share(int(np.logical_and.reduce(there).sum()), len(self.ids))}


def _captions(scenes: Scenes) -> tuple[tuple[Any, Any, Any], list[str]]:
    """The truth's captions of the first images as texts: image, granularity and author of each, and the sentences."""
    said = [
        (i, name, sentence)
        for name, captions in scenes.captions.items()
        for i, sentence in enumerate(captions[:CEILING_IMAGES])
    ]
    image, names, sentences = zip(*said, strict=True)
    return (np.array(image, np.int64), np.array(names), np.full(len(said), "truth")), list(sentences)


def _readings(table: pa.Table, image: Any) -> Readings:
    return Readings(image, table.column(s.TEXT).to_pylist(), p.quads(table))
