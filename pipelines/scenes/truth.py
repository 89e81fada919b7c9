"""The files of a set: images, `truth.json` with everything, and COCO's own two files.

`truth.json`, one object:
    {"version": 1, "seed", "size", "difficulty", "count",
     "kinds": [name, ...], "colours", "patterns", "sizes", "settings", "actions", "predicates": [...],
     "scenes": [scene, ...]}
scene:
    {"id": 1-based image id of the COCO files, "file_name", "width", "height", "setting",
     "objects": [{"id", "annotation_id", "kind", "colour", "pattern", "size", "action" ("" for none),
                  "bbox": [x, y, w, h] of the visible pixels, "segmentation": {"size": [h, w], "counts": RLE},
                  "area": visible pixels, "visibility": 0..1}],
     "relations": [{"subject": object id, "predicate", "object": object id}],
     "words": [{"text", "font", "object", "quad": [[x, y] * 4] clockwise from the word's top left, "height": px,
                "visibility": 0..1}],
     "captions": {"brief" | "detailed" | "more_detailed":
         {"text", "phrases": [{"start", "end" (characters), "phrase", "objects": [object id]}], "objects": [object id],
          "attributes": [{"object", "name", "value"}], "actions": [{"object", "action"}],
          "relations": [as above], "counts": {kind: number}, "words": [str]}}}
All coordinates are pixels of the image as written. `coco.json` is COCO instances (an annotation has `attributes` and
`visibility` besides), `captions.json` COCO captions (the brief ones). Files appear under their names only when whole.
"""

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TextIO

from engine import masks
from pipelines.scenes.kinds import ACTIONS, CATEGORIES
from pipelines.scenes.model import BRIEF, Caption, Relation, Scene, SceneObject
from pipelines.scenes.palette import COLOURS, PATTERNS, SIZES
from pipelines.scenes.relations import PREDICATES
from pipelines.scenes.settings import SETTINGS

TRUTH: Final = "truth.json"
COCO: Final = "coco.json"
CAPTIONS: Final = "captions.json"
_LICENCE: Final = {"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}


class TruthWriter:
    """Writes the three files as scenes arrive, so that memory does not grow with their number.

    Use as a context manager: an error leaves the files of an earlier run as they were.
    """

    def __init__(self, dest: Path, names: Iterable[str], seed: int, size: int, difficulty: str) -> None:
        self._dest = dest
        self._names = list(names)
        self._head = {"version": 1, "seed": seed, "size": size, "difficulty": difficulty, "count": len(self._names)}
        self._size = size
        self._files: dict[str, TextIO] = {}
        self._stack = ExitStack()
        self._next = 1  # annotation id
        self._scenes = 0

    def __enter__(self) -> "TruthWriter":
        for name in (TRUTH, COCO, CAPTIONS):
            path = self._dest / f"{name}.part"
            self._files[name] = self._stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        images = [
            {"id": i + 1, "file_name": name, "width": self._size, "height": self._size, "license": 1}
            for i, name in enumerate(self._names)
        ]
        words = {
            "kinds": list(CATEGORIES), "colours": list(COLOURS), "patterns": list(PATTERNS), "sizes": list(SIZES),
            "settings": list(SETTINGS), "actions": list(ACTIONS), "predicates": list(PREDICATES),
        }  # fmt: skip
        common = {"info": {"description": "drawn scenes", **self._head}, "licenses": [_LICENCE], "images": images}
        categories = [{"id": number, "name": name, "supercategory": "thing"} for name, number in CATEGORIES.items()]
        self._open(TRUTH, self._head | words, "scenes")
        self._open(COCO, common | {"categories": categories}, "annotations")
        self._open(CAPTIONS, common, "annotations")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for file in self._files.values():
                file.write("\n]}\n")
        self._stack.close()
        for name in self._files:
            part = self._dest / f"{name}.part"
            if kind is None:
                os.replace(part, self._dest / name)
            else:
                part.unlink(missing_ok=True)

    def add(self, scene: Scene) -> None:
        """Append the next scene of the set."""
        number = self._scenes + 1
        objects = [_object(thing, scene, self._next + i) for i, thing in enumerate(scene.objects)]
        entry = {
            "id": number, "file_name": self._names[self._scenes], "width": scene.size, "height": scene.size,
            "setting": scene.setting, "objects": objects, "relations": [_relation(r) for r in scene.relations],
            "words": [
                {"text": w.text, "font": w.font, "object": w.object, "quad": [list(p) for p in w.quad],
                 "height": w.height, "visibility": w.visibility}
                for w in scene.words
            ],
            "captions": {name: _caption(caption) for name, caption in scene.captions.items()},
        }  # fmt: skip
        self._line(TRUTH, entry, first=self._scenes == 0)
        for i, thing in enumerate(objects):
            self._line(COCO, _annotation(thing, number), first=self._next + i == 1)
        brief = {"id": number, "image_id": number, "caption": scene.captions[BRIEF].text}
        self._line(CAPTIONS, brief, first=self._scenes == 0)
        self._next += len(objects)
        self._scenes += 1

    def _open(self, name: str, head: dict[str, Any], items: str) -> None:
        text = json.dumps(head, ensure_ascii=False)
        self._files[name].write(f'{text[:-1]}, "{items}": [')

    def _line(self, name: str, item: dict[str, Any], first: bool) -> None:
        self._files[name].write(("\n" if first else ",\n") + json.dumps(item, ensure_ascii=False))


def _object(thing: SceneObject, scene: Scene, annotation_id: int) -> dict[str, Any]:
    return {
        "id": thing.id, "annotation_id": annotation_id, "kind": thing.kind, "colour": thing.colour,
        "pattern": thing.pattern, "size": thing.size, "action": thing.action, "bbox": list(thing.bbox),
        "segmentation": {"size": [scene.size, scene.size], "counts": masks.encode(scene.mask(thing.id))},
        "area": thing.area, "visibility": thing.visibility,
    }  # fmt: skip


def _annotation(thing: dict[str, Any], image: int) -> dict[str, Any]:
    return {
        "id": thing["annotation_id"], "image_id": image, "category_id": CATEGORIES[thing["kind"]],
        "bbox": thing["bbox"], "segmentation": thing["segmentation"], "area": thing["area"], "iscrowd": 0,
        "visibility": thing["visibility"],
        "attributes": {key: thing[key] for key in ("colour", "pattern", "size", "action")},
    }  # fmt: skip


def _relation(relation: Relation) -> dict[str, Any]:
    return {"subject": relation.subject, "predicate": relation.predicate, "object": relation.object}


def _caption(caption: Caption) -> dict[str, Any]:
    return {
        "text": caption.text,
        "phrases": [
            {"start": p.start, "end": p.end, "phrase": caption.text[p.start : p.end], "objects": list(p.objects)}
            for p in caption.phrases
        ],
        "objects": caption.objects,
        "attributes": [{"object": i, "name": name, "value": value} for i, name, value in caption.attributes],
        "actions": [{"object": i, "action": action} for i, action in caption.actions],
        "relations": [_relation(r) for r in caption.relations],
        "counts": caption.counts,
        "words": caption.words,
    }
