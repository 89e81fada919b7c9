"""Florence-2 in four roles: captions of three lengths, objects, phrases and writing, all from one checkpoint folder.

What is asked and how answers are read stands in `specialists.florence_targets`, the network in
`specialists.florence_network`. The published networks were decoded with `beams = 3`; small ones do well with 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.geometry import is_box, order_quads, quad_to_box
from engine.records import Captions, Granularity, Groundings, Image, Phrases, Readings, Regions
from specialists.base import SpecialistConfig, specialist
from specialists.florence_network import Marked, Network, Question, Speech, files_of, open_network
from specialists.florence_targets import (
    BOX,
    Found,
    clean_label,
    dequantise,
    found_boxes,
    found_quads,
    prompt,
    to_boxes,
)

TASKS: Final[dict[Granularity, str]] = {
    "brief": "CAPTION",
    "detailed": "DETAILED_CAPTION",
    "more_detailed": "MORE_DETAILED_CAPTION",
}
NEEDS: Final = ("torch", "torchvision", "transformers")
LICENCE: Final = "MIT"  # of the published weights
WEIGHTS: Final = "a folder with model.safetensors"


class FlorenceConfig(SpecialistConfig):
    """Which checkpoint, and how it speaks."""

    path: Path = Field(description="the folder of the checkpoint: config.json, model.safetensors, tokenizer.json …")
    beams: int = Field(1, ge=1, description="the best of so many answers; 1 is greedy, the published networks took 3")
    max_tokens: int = Field(1024, ge=1, description="longest answer; a box takes four tokens and its label")


class FlorenceCaptionerConfig(FlorenceConfig):
    """Which texts it writes."""

    granularities: tuple[Granularity, ...] = Field(("brief",), min_length=1, description="one text each")
    max_tokens: int = Field(256, ge=1, description="longest text")


class FlorenceDetectorConfig(FlorenceConfig):
    """What its labels are."""

    task: Literal["od", "dense"] = Field("od", description="od: names of categories; dense: descriptions")


class FlorenceGrounderConfig(SpecialistConfig):
    """Which checkpoint, and how many boxes a phrase may have."""

    path: Path = Field(description="the folder of the checkpoint: config.json, model.safetensors, tokenizer.json …")
    max_boxes: int = Field(20, ge=1, description="most boxes of a phrase")


class _Florence:
    """What the roles share: the checkpoint."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self._network: Any = None

    def weights(self) -> Sequence[Path]:
        """The files of the checkpoint.

        Raises:
            WeightsMissing: one is not there; the message says how to get it.
            ConfigError: the index of its weights cannot be read.
        """
        return files_of(self.config.path)

    def load(self, device: str) -> None:
        """Open the checkpoint, in half precision on a GPU; roles in one process share it.

        Raises:
            WeightsMissing: as `weights`.
            ConfigError: the checkpoint is damaged, or no Florence-2.
        """
        self._network = open_network(self.config.path, device)


@specialist("florence2", "captioner", needs=NEEDS, licence=LICENCE, weights=WEIGHTS, crops=True, gpus=1.0)
class FlorenceCaptioner(_Florence):
    """Florence-2 (Xiao et al. 2023) as a captioner of images and crops, in three granularities."""

    Config = FlorenceCaptionerConfig

    def caption(self, images: Sequence[Image]) -> list[Captions]:
        """One text an image and granularity; the score is the geometric mean of its tokens' probabilities."""
        return self._said(images, self.config.granularities)

    def describe(self, crops: Sequence[Image]) -> list[Captions]:
        """The brief text of each crop."""
        return self._said(crops, ("brief",))

    def _said(self, images: Sequence[Image], asked: Sequence[Granularity]) -> list[Captions]:
        if not images:
            return []
        questions = [Question(i, prompt(TASKS[wanted])) for i in range(len(images)) for wanted in asked]
        speech = Speech(self.config.max_tokens, self.config.beams)
        said = self._network.speak(self._network.see(images), questions, speech)
        return [_captions(asked, said[lo : lo + len(asked)]) for lo in range(0, len(said), len(asked))]


@specialist("florence2", "detector", needs=NEEDS, licence=LICENCE, weights=WEIGHTS, gpus=1.0)
class FlorenceDetector(_Florence):
    """Florence-2 (Xiao et al. 2023) as a detector of objects, named or described."""

    Config = FlorenceDetectorConfig

    def detect(self, images: Sequence[Image]) -> list[Regions]:
        """The boxes it tells of; a score is the geometric mean of how sure it was of the label and of the place."""
        if not images:
            return []
        task = "OD" if self.config.task == "od" else "DENSE_REGION_CAPTION"
        return [_regions(i, a) for i, a in zip(images, _located(self._network, images, task, self.config), strict=True)]


@specialist("florence2", "reader", needs=NEEDS, licence=LICENCE, weights=WEIGHTS, gpus=1.0)
class FlorenceReader(_Florence):
    """Florence-2 (Xiao et al. 2023) as a reader of writing."""

    Config = FlorenceConfig

    def read(self, images: Sequence[Image]) -> list[Readings]:
        """The texts it reads with their quads; scores as those of the detector."""
        if not images:
            return []
        answers = _located(self._network, images, "OCR_WITH_REGION", self.config)
        return [_readings(image, answer) for image, answer in zip(images, answers, strict=True)]


@specialist("florence2", "grounder", needs=NEEDS, licence=LICENCE, weights=WEIGHTS, gpus=1.0)
class FlorenceGrounder(_Florence):
    """Florence-2 (Xiao et al. 2023) as a grounder of phrases, one phrase a prompt."""

    Config = FlorenceGrounderConfig

    def ground(self, images: Sequence[Image], phrases: Sequence[Phrases]) -> list[Groundings]:
        """The boxes of every phrase, all that the network gives it.

        Each distinct phrase is asked about as if it were a caption, and the answer is made to begin with it, so every
        box belongs to its phrase and answers are as long as their boxes. A score is the geometric mean of how likely
        the network was to say the phrase and the box unbidden, so it is low for what is not there.
        """
        asked = [(i, text) for i, of_image in enumerate(phrases) for text in _distinct(of_image.texts)]
        answers: list[dict[str, Marked]] = [{} for _ in images]
        if asked:
            place = {i: k for k, i in enumerate(dict.fromkeys(i for i, _ in asked))}
            seen = self._network.see([images[i] for i in place])
            questions = [Question(place[i], prompt("CAPTION_TO_PHRASE_GROUNDING", text), text) for i, text in asked]
            said = self._network.locate(seen, questions, Speech(self.config.max_boxes * BOX))
            for (i, text), answer in zip(asked, said, strict=True):
                answers[i][text] = answer
        columns = zip(images, phrases, answers, strict=True)
        return [_groundings(image, of_image, found, self.config.max_boxes) for image, of_image, found in columns]


def _located(network: Network, images: Sequence[Image], task: str, config: FlorenceConfig) -> list[Marked]:
    """The answers of one task, one an image."""
    questions = [Question(i, prompt(task)) for i in range(len(images))]
    return network.locate(network.see(images), questions, Speech(config.max_tokens, config.beams))


def _captions(asked: Sequence[Granularity], said: Sequence[tuple[str, float]]) -> Captions:
    kept = [(text, wanted, score) for (text, score), wanted in zip(said, asked, strict=True) if text]
    scores = np.array([score for _, _, score in kept], np.float32)
    return Captions([text for text, _, _ in kept], [wanted for _, wanted, _ in kept], scores)


def _regions(image: Image, answer: Marked) -> Regions:
    """Boxes with an inside, each once: a network that has lost its way says the same again and again."""
    found = found_boxes(answer.runs)
    boxes = to_boxes(found.bins, image.width, image.height)
    keep = is_box(boxes) & _first_time(found)
    labels = [label for label, kept in zip(found.labels, keep, strict=True) if kept]
    return Regions(boxes[keep], _scores(found, answer)[keep], labels)


def _readings(image: Image, answer: Marked) -> Readings:
    found = found_quads(answer.runs)
    quads = order_quads(dequantise(found.bins, image.width, image.height))
    keep = is_box(quad_to_box(quads)) & _first_time(found)
    texts = [text for text, kept in zip(found.labels, keep, strict=True) if kept]
    return Readings(quads[keep], texts, _scores(found, answer)[keep])


def _groundings(image: Image, phrases: Phrases, answers: Mapping[str, Marked], limit: int) -> Groundings:
    """The boxes of each phrase: at most `limit`, with an inside, each once. Phrases of one text share their boxes."""
    boxes, scores = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.float32)]
    counts = np.zeros(len(phrases.texts), np.int64)
    for i, text in enumerate(phrases.texts):
        answer = answers.get(clean_label(text))
        if answer is None:
            continue
        of_phrase = _regions(image, answer)
        boxes.append(of_phrase.boxes[:limit])
        scores.append(of_phrase.scores[:limit])
        counts[i] = len(boxes[-1])
    phrase = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Groundings(phrase, np.concatenate(boxes), np.concatenate(scores))


def _distinct(texts: Sequence[str]) -> list[str]:
    """Different phrases as targets hold them; those with nothing that one could hold are left out."""
    return [text for text in dict.fromkeys(map(clean_label, texts)) if text]


def _first_time(found: Found) -> NDArray[np.bool_]:
    """Which boxes or quads (n,) were not told of before with the same label."""
    names = np.unique(np.array(found.labels, np.str_), return_inverse=True)[1]
    first = np.zeros(len(names), np.bool_)
    first[np.unique(np.column_stack([names, found.bins]), axis=0, return_index=True)[1]] = True
    return first


def _scores(found: Found, answer: Marked) -> NDArray[np.float32]:
    """Scores (n,) in 0..1: the geometric mean of the mean probability of the label's tokens and that of the marks."""
    total = np.concatenate([[0.0], np.cumsum(answer.probabilities)])
    text_at, marks_at = answer.text_at[found.run], answer.marks_at[found.run]
    first, size = marks_at + found.first, found.bins.shape[1]
    label = (total[marks_at] - total[text_at]) / (marks_at - text_at)
    place = (total[first + size] - total[first]) / size
    scores: NDArray[np.float32] = np.clip(np.sqrt(label * place), 0, 1).astype(np.float32)
    return scores
