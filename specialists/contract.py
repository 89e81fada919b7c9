"""What every specialist must hold, as one function that plugin authors call in their own tests.

    from specialists.contract import check_specialist
    check_specialist(MyDetector, "detector", {"threshold": 0.3})

It refuses unknown keys, travels to a worker by pickle before `load`, answers one record an image with the declared
types and shapes, boxes inside the image and scores in 0..1, gives the same answer twice and for any split into batches,
and leaves its input alone. What a writer that composes says of its words is held against its texts. The images are a
photo-like one, a pure red one (who confuses RGB and BGR sees blue), one of a single pixel, a wide and a tall strip, and
none at all.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from engine import masks
from engine.errors import FldError, RecordError
from engine.records import (
    Captions,
    Composition,
    Granularity,
    Groundings,
    Image,
    Masks,
    Phrases,
    Pixels,
    Readings,
    Regions,
    Scene,
)
from engine.tokens import Tokens
from engine.tokens import check as check_tokens
from specialists.base import CARDS, Card, Role

METHODS: Final[dict[Role, str]] = {
    "detector": "detect",
    "reader": "read",
    "captioner": "caption",
    "grounder": "ground",
    "segmenter": "segment",
    "scorer": "score",
    "writer": "write",
    "parser": "parse",
}
COMPOSE: Final = "compose"  # what a writer may implement instead
# What a scorer is asked about each image: the last one is about the red image.
ASKED: Final = ("a photograph of a street", "a plain blue picture", "a plain red picture")
RED: Final = 1  # its place among the images
_GRANULARITIES: Final = get_args(Granularity)


class ContractError(AssertionError):
    """A specialist does not hold the contract; the message says which part, and on which image."""


def check_specialist(
    cls: type,
    role: Role,
    config: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    tolerance: float = 0.0,
) -> None:
    """Check one class in one role with one configuration.

    `tolerance`: by how much numbers may differ between a batch and its images one by one (batched kernels round
    differently); 0 demands equality. Two runs of the same call must always be identical.

    Raises:
        ContractError: a part of the contract is broken.
    """
    card = _card(cls, role)
    _check_config(cls, config or {})
    made = pickle.loads(pickle.dumps(cls(cls.Config(**(config or {})))))  # type: ignore[attr-defined] # noqa: S301
    if not hasattr(cls, COMPOSE):  # who composes is never loaded
        made.load(device)
    inputs = _inputs(role, card.pixels)
    before = pickle.dumps(_contents(inputs))
    method = _method(cls, role)
    call: Callable[..., Any] = getattr(made, method)
    together = call(*inputs)
    _demand(pickle.dumps(_contents(inputs)) == before, f"{method}() changed its input")
    _check_answers(role, together, inputs)
    _same(together, call(*inputs), 0.0, "a second call")
    _check_split(role, call, inputs, together, tolerance)
    empty = call(*[column[:0] for column in inputs])
    _demand(len(empty) == 0, f"an empty batch gets {len(empty)} answers")


def photo(height: int = 96, width: int = 128) -> Pixels:
    """A small picture with sky, ground, two objects and noise: RGB uint8 (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    picture = np.where((rows < 0.5)[..., None], (120, 170, 220), (90, 120, 60)).astype(np.float64)
    picture[(columns - 0.3) ** 2 + (rows - 0.6) ** 2 < 0.03] = (180, 60, 40)
    picture[(abs(columns - 0.75) < 0.1) & (abs(rows - 0.5) < 0.25)] = (60, 60, 80)
    noise = np.random.default_rng(5).normal(0, 8, picture.shape)
    pixels: Pixels = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return pixels


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads prepared pixels; a class, so that an Image can be pickled."""

    pixels: Pixels | None

    def __call__(self) -> Pixels:
        if self.pixels is None:
            raise ContractError("its card says pixels=False, but it looks at pixels")
        return self.pixels


def _images(pixels: bool) -> list[Image]:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    grey = np.full((1, 1, 3), 128, np.uint8)
    wide = np.tile(np.arange(400, dtype=np.uint8)[None, :, None], (4, 1, 3))
    pictures = {"photo": photo(), "red": red, "pixel": grey, "wide": wide, "tall": wide.transpose(1, 0, 2).copy()}
    return [
        Image(name, f"memory:{name}", array.shape[1], array.shape[0], _Reader(array if pixels else None))
        for name, array in pictures.items()
    ]


def _regions(image: Image) -> Regions:
    """Two boxes in every image that has room for them, none in the single pixel."""
    if min(image.width, image.height) < 4:
        return Regions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), [])
    w, h = image.width, image.height
    boxes = np.array([[0.1 * w, 0.2 * h, 0.5 * w, 0.9 * h], [0.6 * w, 0, w, h]], np.float32)
    return Regions(boxes, np.array([0.9, 0.5], np.float32), ["person", "dog"])


def _inputs(role: Role, pixels: bool) -> list[Any]:
    """The columns of a batch: what the role's method takes."""
    if role == "parser":
        return [["A man rides two horses.", "", "   ", "STOP", "It's a dog, isn't it? Yes — “dog”.", "a " * 40]]
    images = _images(pixels)
    if role == "writer":
        return [[_scene(image) for image in images]]
    if role == "grounder":
        return [images, [_phrases(image) for image in images]]
    if role == "segmenter":
        outside = np.array([[-50, -50, -10, -10], [1, 1, 1, 1]], np.float32)
        boxes = [np.concatenate([_regions(image).boxes, outside]) for image in images]
        boxes[RED] = np.zeros((0, 4), np.float32)
        return [images, boxes]
    if role == "scorer":
        return [images, [list(ASKED) if i != 2 else [] for i in range(len(images))]]
    return [images]


def _phrases(image: Image) -> Phrases:
    numbers = np.array([1, 0, 1], np.int32)
    return Phrases(["a man", "some dogs", "the purple idea"], ["man", "dog", "idea"], numbers, _regions(image))


def _scene(image: Image) -> Scene:
    if min(image.width, image.height) < 4:
        nothing = np.zeros(0, np.float32)
        return Scene(
            image.width, image.height, _regions(image), Readings(np.zeros((0, 8), np.float32), [], nothing),
            Captions([], [], nothing),
        )  # fmt: skip
    quad = np.array([[0, 0, 3, 0, 3, 3, 0, 3]], np.float32)
    tokens = Tokens(
        offsets=np.array([0, 5]),
        start=np.array([0, 2, 6, 11, 13], np.int32),
        end=np.array([1, 5, 10, 12, 16], np.int32),
        lemma=["a", "man", "with", "a", "dog"],
        upos=["DET", "NOUN", "ADP", "DET", "NOUN"],
        tag=["DT", "NN", "IN", "DT", "NN"],
        head=np.array([1, 1, 4, 4, 1], np.int32),
        dep=["det", "root", "case", "det", "nmod"],
    )
    return Scene(
        image.width,
        image.height,
        _regions(image),
        Readings(quad, ["OPEN"], np.array([0.8], np.float32)),
        Captions(["a man with a dog"], ["brief"], np.array([np.nan], np.float32)),
        tokens,
    )


def _method(cls: type, role: Role) -> str:
    """The method that is asked; a writer has one of two."""
    if role != "writer" or not hasattr(cls, COMPOSE):
        return METHODS[role]
    _demand(not hasattr(cls, METHODS[role]), f"{cls.__name__} has both {METHODS[role]}() and {COMPOSE}(): keep one")
    return COMPOSE


def _card(cls: type, role: Role) -> Card:
    for card in cast(Sequence[Card], cls.__dict__.get(CARDS, ())):
        if card.role == role:
            return card
    raise ContractError(f"{cls.__name__} is not labelled as a {role}: put @specialist(NAME, {role!r}) above it")


def _check_config(cls: type, config: Mapping[str, Any]) -> None:
    kind = getattr(cls, "Config", None)
    _demand(isinstance(kind, type) and issubclass(kind, BaseModel), f"{cls.__name__}.Config is no pydantic model")
    try:
        cast(type[BaseModel], kind)(**config, no_such_key=1)
    except (ValidationError, FldError):
        return
    raise ContractError(f"{cls.__name__}.Config takes an unknown key: derive it from SpecialistConfig")


def _check_split(role: Role, call: Callable[..., Any], inputs: list[Any], together: Any, tolerance: float) -> None:
    for i in range(len(inputs[0])):
        alone = call(*[column[i : i + 1] for column in inputs])
        whole = together.slice(i, i + 1) if role == "parser" else together[i : i + 1]
        _same(whole, alone, tolerance, f"input {i} alone")


def _check_answers(role: Role, answers: Any, inputs: list[Any]) -> None:
    count = len(inputs[0])
    _demand(len(answers) == count, f"{count} inputs got {len(answers)} answers")
    if role == "parser":
        try:
            check_tokens(answers, inputs[0])
        except RecordError as error:
            raise ContractError(str(error)) from error
        return
    for i, answer in enumerate(answers):
        where = inputs[0][i].image_id if isinstance(inputs[0][i], Image) else f"scene {i}"
        try:
            _check_answer(role, answer, [column[i] for column in inputs])
        except ContractError as error:
            raise ContractError(f"on {where!r}: {error}") from error
    if role == "scorer":
        red = answers[RED]
        _demand(red[2] > red[1], f"a red picture is {red[1]} blue and {red[2]} red: does it take RGB for BGR?")
    if role == "captioner":
        said = " ".join(answers[RED].texts).lower()
        _demand("blue" not in said or "red" in said, f"a red picture is called {said!r}: does it take RGB for BGR?")


def _check_answer(role: Role, answer: Any, given: list[Any]) -> None:
    match role:
        case "detector":
            _kind(answer, Regions)
            _check_regions(answer, given[0])
            _unanswered(answer, len(answer.labels))
        case "reader":
            _kind(answer, Readings)
            _array(answer.quads, np.float32, (len(answer.texts), 8), "quads")
            _inside(answer.quads, given[0], "quads")
            _scores(answer.scores, len(answer.texts))
            _unanswered(answer, len(answer.texts))
        case "captioner":
            _kind(answer, Captions)
            _texts(answer)
        case "writer":
            texts = answer.captions if isinstance(answer, Composition) else answer
            _kind(texts, Captions)
            _texts(texts)
            _demand(bool(given[0].regions.labels) or not texts.texts, "an empty scene has texts")
            if isinstance(answer, Composition):
                _check_composition(answer, given[0])
        case "grounder":
            _kind(answer, Groundings)
            _array(answer.phrase, np.int32, (len(answer.phrase),), "phrase")
            _array(answer.boxes, np.float32, (len(answer.phrase), 4), "boxes")
            known = np.isin(answer.phrase, np.arange(len(given[1].texts)))
            _demand(bool(known.all()), f"phrase indices {answer.phrase.tolist()} go beyond the phrases")
            _inside(answer.boxes, given[0], "boxes")
            _scores(answer.scores, len(answer.phrase))
        case "segmenter":
            _kind(answer, Masks)
            _demand(len(answer.masks) == len(given[1]), f"{len(given[1])} boxes got {len(answer.masks)} masks")
            _codes(answer.masks, given[0])
            _scores(answer.scores, len(given[1]))
        case "scorer":
            _array(answer, np.float32, (len(given[1]),), "similarities")
            _demand(bool(np.isfinite(answer).all()), f"similarities are not finite: {answer}")


def _check_composition(answer: Composition, scene: Scene) -> None:
    texts, mentions = answer.captions.texts, answer.mentions
    try:
        check_tokens(answer.tokens, texts)
    except RecordError as error:
        raise ContractError(str(error)) from error
    for i, text in enumerate(texts):
        own = answer.tokens.slice(i, i + 1)
        said = "".join(text[a:b] for a, b in zip(own.start.tolist(), own.end.tolist(), strict=True))
        untold = scene.tokens is None and answer.quoted[i] >= 0
        _demand(untold or said == "".join(text.split()), f"the tokens of {text!r} say {said!r}")
    for name in ("quoted", "shift"):
        _array(getattr(answer, name), np.int32, (len(texts),), name)
    for row, shift, text in zip(answer.quoted.tolist(), answer.shift.tolist(), texts, strict=True):
        _demand(-1 <= row < len(scene.captions.texts), f"caption {row} is quoted, which is not there")
        _demand(row < 0 or _repeats(text, scene.captions.texts[row], shift), f"{text!r} does not repeat caption {row}")
    count = len(mentions.heads)
    for name in ("text", "start", "end", "numbers"):
        _array(getattr(mentions, name), np.int32, (count,), name)
    ordered = (np.diff(mentions.text, prepend=0, append=len(texts) - 1) >= 0).all()
    _demand(count == 0 or bool(ordered), f"mentions of texts {mentions.text}, not in the order of {len(texts)} texts")
    length = np.array([len(text) for text in texts], np.int32)[mentions.text]
    fits = (mentions.start >= 0) & (mentions.start < mentions.end) & (mentions.end <= length)
    _demand(bool(fits.all()), f"mentions leave their texts: {mentions.start} to {mentions.end}")
    _demand(len(mentions.regions) == count, f"{count} mentions, and regions of {len(mentions.regions)}")
    known = range(len(scene.regions.labels))
    _demand(all(row in known for rows in mentions.regions for row in rows), f"regions {mentions.regions} are not there")


def _repeats(text: str, caption: str, shift: int) -> bool:
    """Whether the text begins with the caption, but for the case of its first letter and for punctuation at its ends."""
    return shift <= 0 and text[1:].startswith(caption.rstrip(" .,;:-!?")[1 - shift :])


def _check_regions(answer: Regions, image: Image) -> None:
    count = len(answer.labels)
    _array(answer.boxes, np.float32, (count, 4), "boxes")
    _inside(answer.boxes, image, "boxes")
    _scores(answer.scores, count)
    if count:
        sides = answer.boxes[:, 2:] - answer.boxes[:, :2]
        _demand(bool((sides > 0).all()), f"boxes without area or inside out: {answer.boxes.tolist()}")
    _demand(all(isinstance(label, str) and label for label in answer.labels), f"empty labels: {answer.labels}")
    if answer.masks is not None:
        _demand(len(answer.masks) == count, f"{count} boxes and {len(answer.masks)} masks")
        _codes(answer.masks, image)
    if answer.crowd is not None:
        _array(answer.crowd, np.bool_, (count,), "crowd")


def _texts(answer: Captions) -> None:
    count = len(answer.texts)
    _demand(len(answer.granularities) == count, f"{count} texts and {len(answer.granularities)} granularities")
    _demand(all(isinstance(text, str) and text.strip() for text in answer.texts), f"empty texts: {answer.texts}")
    _demand(set(answer.granularities) <= set(_GRANULARITIES), f"granularities {answer.granularities}")
    _array(answer.scores, np.float32, (count,), "scores")
    _scores(np.nan_to_num(answer.scores), count)
    _unanswered(answer, count)


def _unanswered(answer: Regions | Readings | Captions, count: int) -> None:
    _demand(isinstance(answer.answered, bool), f"answered is {answer.answered!r}, neither True nor False")
    _demand(answer.answered or not count, f"it has not looked at this image (answered=False), but says {count} things")


def _codes(codes: Sequence[str | None], image: Image) -> None:
    for code in codes:
        _demand(code is None or masks.is_valid(code, image.height, image.width), f"{code!r} is no mask of this image")


def _array(array: Any, dtype: Any, shape: tuple[int, ...], name: str) -> None:
    _demand(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}, not an array")
    wanted = f"{np.dtype(dtype)} {shape}"
    _demand(array.dtype == dtype and array.shape == shape, f"{name} is {array.dtype} {array.shape}, not {wanted}")


def _scores(scores: Any, count: int) -> None:
    _array(scores, np.float32, (count,), "scores")
    _demand(bool(((scores >= 0) & (scores <= 1)).all()), f"scores are not all in 0..1: {scores}")


def _inside(points: NDArray[np.float32], image: Image, name: str) -> None:
    limit = np.array([image.width, image.height] * (points.shape[1] // 2))
    _demand(bool(((points >= 0) & (points <= limit)).all()), f"{name} leave {image.width} x {image.height}: {points}")


def _kind(answer: Any, wanted: type) -> None:
    _demand(isinstance(answer, wanted), f"the answer is a {type(answer).__name__}, not {wanted.__name__}")


def _same(a: Any, b: Any, tolerance: float, what: str) -> None:
    _demand(_equal(a, b, tolerance), f"{what} gives another answer:\n{a}\n{b}")


def _equal(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not np.issubdtype(a.dtype, np.floating):
            return bool(np.array_equal(a, b))
        return bool(np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True))
    if is_dataclass(a) and type(a) is type(b):
        return all(_equal(getattr(a, f.name), getattr(b, f.name), tolerance) for f in fields(a))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _contents(inputs: list[Any]) -> list[Any]:
    """The inputs with the pixels of images spelled out, so that any change shows."""
    return [
        [(item.image_id, item.width, item.height, cast(_Reader, item.read).pixels) for item in column]
        if column and isinstance(column[0], Image)
        else column
        for column in inputs
    ]


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise ContractError(message)
