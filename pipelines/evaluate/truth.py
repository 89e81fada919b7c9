"""Ground truth: `truth.json` of `fld scenes`, or a COCO instances file, as flat columns over the images to compare."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine import masks
from engine.errors import RecordError, TruthError
from pipelines.scenes.model import GRANULARITIES, MENTION_AREA, MENTION_VISIBILITY
from specialists.recorded_formats.names import without_suffix

Index = NDArray[np.int64]
ATTRIBUTES: Final = {
    "colour": "colours",
    "pattern": "patterns",
    "size": "sizes",
}  # of an object; the file's list of them

_GIVE: Final = "give the truth.json of `fld scenes`, or a COCO instances file"


@dataclass(frozen=True, slots=True)
class Things:
    """True objects (n): `image`, `kind` (n,); `boxes` (n, 4) x0, y0, x1, y1 and `area` (n,) in pixels, as COCO's
    (the mask's where there is one); `crowd` (n,); `masks` n RLE or None; `clear` (n,): enough of it is seen for a
    caption to name it."""

    image: Index
    kind: Index
    boxes: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    masks: Sequence[str | None]
    clear: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Words:
    """Printed words (n): `image` (n,), `texts` n, `quads` (n, 8) and `height` (n,) in pixels, `visibility` (n,) 0..1."""

    image: Index
    texts: Sequence[str]
    quads: NDArray[np.float64]
    height: NDArray[np.float64]
    visibility: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Claims:
    """What texts say, each claim once a text: `kinds` (n, 2) text, kind; `attributes` (n, 3) text, kind, value;
    `actions` (n, 3) text, kind, action; `counts` (n, 3) text, kind, number of at least 2."""

    kinds: Index
    attributes: Index
    actions: Index
    counts: Index


@dataclass(frozen=True, slots=True)
class Scenes:
    """What only drawn scenes tell. `values` are (attribute, word); `value` (objects, 3) the colour, pattern and size of
    each object, `action` (objects,) what it does, -1 for nothing; `captions` and their `claims` by granularity, one
    caption an image, so a claim's text is its image."""

    values: Sequence[tuple[str, str]]
    actions: Sequence[str]
    value: Index
    action: Index
    words: Words
    captions: Mapping[str, Sequence[str]]
    claims: Mapping[str, Claims]


@dataclass(frozen=True, slots=True)
class Truth:
    """`sizes` (images, 2) width and height; `kinds` normalised names; `scenes` is None for a COCO file."""

    sizes: Index
    kinds: Sequence[str]
    things: Things
    scenes: Scenes | None


@dataclass(frozen=True, slots=True)
class TruthFile:
    """A file that was read: `images` by name without folder and extension."""

    path: Path
    content: Mapping[str, Any]
    images: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: str) -> "TruthFile":
        """Read the file and index its images.

        Raises:
            TruthError: it is not there, no JSON, of another form, or two of its images have one name.
        """
        content = _json(path)
        form = ("scenes",) if "scenes" in content else ("images", "annotations", "categories")
        if not all(isinstance(content.get(key), list) for key in form):
            raise TruthError(f"{path} has no `scenes`, nor `images`, `annotations` and `categories`: {_GIVE}")
        images: dict[str, Mapping[str, Any]] = {}
        for entry in content[form[0]]:
            name = stem(_checked(path, "an image", lambda entry=entry: str(entry["file_name"])))
            if name in images:
                raise TruthError(
                    f"{path} has two images named {name!r}; images are matched by file name, so rename one"
                )
            images[name] = entry
        return cls(Path(path), content, images)

    def truth(self, names: Sequence[str], sizes: Index) -> Truth:
        """The truth about the images `names` (n, all of them in the file) of `sizes` (n, 2) in pixels.

        Raises:
            TruthError: an entry is broken, or speaks of an image of another size.
        """
        for name, (width, height) in zip(names, sizes.tolist(), strict=True):
            entry = self.images[name]
            told = entry.get("width", width), entry.get("height", height)
            if told != (width, height):
                raise TruthError(
                    f"{self.path}: {entry['file_name']} is {told[0]} x {told[1]} pixels there and {width} x {height} "
                    "in OUT; it is the truth of other images"
                )
        entries = [self.images[name] for name in names]
        return _scenes(self, entries, sizes) if "scenes" in self.content else _coco(self, entries, sizes)


def stem(name: str) -> str:
    """How images are matched: the name without folders and without an image's extension."""
    return without_suffix(name.replace("\\", "/").rpartition("/")[2])


def normal(label: str) -> str:
    """How labels are compared: lower case, underscores as spaces, single spaces."""
    return " ".join(label.lower().replace("_", " ").split())


def _json(path: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise TruthError(f"{path} cannot be read ({error.strerror}): {_GIVE}") from error
    except ValueError as error:
        raise TruthError(f"{path} is not JSON ({error}): {_GIVE}") from error
    if not isinstance(content, dict):
        raise TruthError(f"{path} holds no object: {_GIVE}")
    return content


# ---- drawn scenes ------------------------------------------------------------------------------------


def _scenes(file: TruthFile, entries: Sequence[Mapping[str, Any]], sizes: Index) -> Truth:
    kinds = [normal(kind) for kind in _checked(file.path, "`kinds`", lambda: list(file.content["kinds"]))]
    values = _checked(file.path, "the lists of words", lambda: _values(file.content))
    actions = _checked(file.path, "`actions`", lambda: [str(action) for action in file.content["actions"]])
    reader = _SceneReader(kinds, values, actions)
    for image, entry in enumerate(entries):
        _checked(file.path, f"scene {entry['file_name']}", lambda image=image, entry=entry: reader.add(image, entry))
    things = _things(file.path, reader.things, sizes)
    return Truth(sizes, kinds, things, reader.finish())


def _values(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(word)) for name, group in ATTRIBUTES.items() for word in content[group]]


class _SceneReader:
    """Collects scenes as rows of plain numbers."""

    def __init__(self, kinds: Sequence[str], values: Sequence[tuple[str, str]], actions: Sequence[str]) -> None:
        self.kinds = {kind: i for i, kind in enumerate(kinds)}
        self.values = {value: i for i, value in enumerate(values)}
        self.actions = {action: i for i, action in enumerate(actions)}
        self.things: list[_Thing] = []
        self._looks: list[tuple[int, ...]] = []
        self._words: list[tuple[int, str, list[float], float, float]] = []
        self._captions: dict[str, list[str]] = {name: [] for name in GRANULARITIES}
        self._claims: dict[str, list[set[tuple[int, ...]]]] = {
            name: [set(), set(), set(), set()] for name in GRANULARITIES
        }

    def add(self, image: int, entry: Mapping[str, Any]) -> None:
        least = MENTION_AREA * entry["width"] * entry["height"]
        kind_of: dict[int, int] = {}
        for thing in entry["objects"]:
            kind = kind_of[thing["id"]] = self.kinds[normal(thing["kind"])]
            clear = thing["visibility"] >= MENTION_VISIBILITY and thing["area"] >= least
            mask = thing["segmentation"]
            self.things.append(_Thing(image, kind, thing["bbox"], thing["area"], False, mask, clear))
            look = [self.values[name, thing[name]] for name in ATTRIBUTES]
            self._looks.append((*look, self.actions.get(thing["action"], -1)))
        for word in entry["words"]:
            corners = [float(c) for point in word["quad"] for c in point]
            if len(corners) != 8:
                raise ValueError(f"the quad of {word['text']!r} does not have four corners")
            self._words.append((image, str(word["text"]), corners, word["height"], word["visibility"]))
        for name, said in self._captions.items():
            caption = entry["captions"][name]
            said.append(str(caption["text"]))
            kinds, attributes, actions, counts = self._claims[name]
            kinds.update((image, kind_of[i]) for i in caption["objects"])
            attributes.update(
                (image, kind_of[a["object"]], self.values[a["name"], a["value"]]) for a in caption["attributes"]
            )
            actions.update((image, kind_of[a["object"]], self.actions[a["action"]]) for a in caption["actions"])
            counts.update((image, self.kinds[normal(kind)], n) for kind, n in caption["counts"].items() if n > 1)

    def finish(self) -> Scenes:
        looks = _rows(self._looks, 4)
        image, texts, corners, height, visibility = list(zip(*self._words, strict=True)) or [(), (), (), (), ()]
        words = Words(
            np.array(image, np.int64), list(texts), np.array(corners, np.float64).reshape(-1, 8),
            np.array(height, np.float64), np.array(visibility, np.float64),
        )  # fmt: skip
        claims = {
            name: Claims(*(_rows(sorted(found), 2 if i == 0 else 3) for i, found in enumerate(sets)))
            for name, sets in self._claims.items()
        }
        return Scenes(list(self.values), list(self.actions), looks[:, :3], looks[:, 3], words, self._captions, claims)


def _rows(found: Sequence[tuple[int, ...]], width: int) -> Index:
    return np.array(found, np.int64).reshape(-1, width)


# ---- COCO --------------------------------------------------------------------------------------------


def _coco(file: TruthFile, entries: Sequence[Mapping[str, Any]], sizes: Index) -> Truth:
    content = file.content
    categories = _checked(
        file.path, "`categories`", lambda: {c["id"]: normal(c["name"]) for c in content["categories"]}
    )
    kinds = sorted(set(categories.values()))
    position = {kind: i for i, kind in enumerate(kinds)}
    image_of = _checked(file.path, "an image", lambda: {entry["id"]: i for i, entry in enumerate(entries)})
    if len(image_of) < len(entries):
        raise TruthError(f"{file.path} has two images with one id; a COCO file gives every image its own")
    found: list[_Thing] = []
    for annotation in content["annotations"]:
        image = _checked(file.path, "an annotation", lambda a=annotation: image_of.get(a["image_id"]))
        if image is None:
            continue
        where = f"annotation {annotation.get('id')}"
        kind = _checked(file.path, where, lambda a=annotation: position[categories[a["category_id"]]])
        box = _checked(file.path, where, lambda a=annotation: [float(c) for c in a["bbox"]])
        area = _checked(file.path, where, lambda a=annotation, b=box: float(a.get("area", b[2] * b[3])))
        crowd = bool(annotation.get("iscrowd", 0))
        found.append(_Thing(image, kind, box, area, crowd, annotation.get("segmentation"), True))
    return Truth(sizes, kinds, _things(file.path, found, sizes), None)


# ---- both --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Thing:
    image: int
    kind: int
    bbox: Sequence[float]
    area: float
    crowd: bool
    segmentation: Any
    clear: bool


def _things(path: Path, found: Sequence[_Thing], sizes: Index) -> Things:
    boxes = _checked(path, "a bbox", lambda: np.array([t.bbox for t in found], np.float64).reshape(len(found), 4))
    area = _checked(path, "an area", lambda: np.array([t.area for t in found], np.float64))
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1) | ~np.isfinite(area)
    if bad.any():
        raise TruthError(f"{path} has a box that is none: {boxes[int(np.argmax(bad))].tolist()} (x, y, width, height)")
    codes = [_mask(path, thing, sizes) for thing in found]
    return Things(
        np.array([t.image for t in found], np.int64),
        np.array([t.kind for t in found], np.int64),
        np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        area,
        np.array([t.crowd for t in found], np.bool_),
        codes,
        np.array([t.clear for t in found], np.bool_),
    )


def _mask(path: Path, thing: _Thing, sizes: Index) -> str | None:
    """The mask as compressed RLE of the image's size, checked: C code is given nothing that is not."""
    width, height = sizes[thing.image].tolist()
    said = thing.segmentation
    if not said:
        return None
    try:
        if isinstance(said, list):
            return masks.from_polygons(said, height, width)
        counts = said["counts"]
        if isinstance(counts, list):
            return masks.from_uncompressed(counts, height, width)
        masks.check([counts], height, width)
    except (RecordError, KeyError, TypeError) as error:
        raise TruthError(f"{path} has a segmentation that is no mask of {width} x {height} pixels: {error}") from error
    return str(counts)


def _checked(path: Path | str, what: str, read: Callable[..., Any]) -> Any:
    """What `read` returns; whatever is wrong with the file's form becomes one sentence."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise TruthError(f"{path}: {what} cannot be read: {reason}") from error
