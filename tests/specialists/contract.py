"""The smallest configuration of each shipped specialist that cannot run without one, and files it may read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine import schema as s
from specialists.base import Role
from specialists.checkpoints import sha256_of
from specialists.sam import save_sam
from tests.specialists import test_sam, test_ultralytics, tiny_florence, tiny_open_clip

IMAGES = [("photo", 128, 96), ("red", 64, 64), ("pixel", 1, 1), ("wide", 400, 4), ("tall", 4, 400)]


def recorded_detector(folder: Path) -> dict[str, Any]:
    """A COCO file about the contract's own images, with a box that reaches beyond the picture."""
    truth = {
        "images": [{"id": i, "file_name": name, "width": w, "height": h} for i, (name, w, h) in enumerate(IMAGES)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 3, "bbox": [w / 4, h / 4, w, h]}
            for i, (_, w, h) in enumerate(IMAGES)
        ],
        "categories": [{"id": 3, "name": "thing"}],
    }
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    return {"path": str(path), "format": "coco"}


def recorded_captioner(folder: Path) -> dict[str, Any]:
    path = folder / "texts.parquet"
    rows = {s.IMAGE_ID: [name for name, _, _ in IMAGES], s.TEXT: [f"a {name} picture" for name, _, _ in IMAGES]}
    pq.write_table(pa.table(rows), path)
    return {"path": str(path), "format": "parquet"}


def recorded_reader(folder: Path) -> dict[str, Any]:
    path = folder / "readings.parquet"
    quads = [[w, 0, w, h, 0, h, 0, 0] for _, w, h in IMAGES]
    rows = {
        s.IMAGE_ID: [name for name, _, _ in IMAGES],
        s.QUAD: pa.array(quads, pa.list_(pa.float32())),
        s.TEXT: ["WORD"] * len(IMAGES),
        s.SCORE: [0.5] * len(IMAGES),
    }
    pq.write_table(pa.table(rows), path)
    return {"path": str(path), "format": "parquet"}


def florence(**config: Any) -> Callable[[Path], dict[str, Any]]:
    """A tiny random checkpoint, and what the role is told."""

    def make(folder: Path) -> dict[str, Any]:
        made = tiny_florence.processor()
        return {"path": tiny_florence.save(tiny_florence.network(made), made, folder), **config}

    return make


def ultralytics(folder: Path) -> dict[str, Any]:
    path = test_ultralytics.write(test_ultralytics.tiny("yolo"), folder / "model.pt")
    return {"path": str(path), "sha256": sha256_of(path)}


def segment_anything(folder: Path) -> dict[str, Any]:
    save_sam(test_sam.tiny(), test_sam.TINY, folder / "sam.pth")
    return {"path": str(folder / "sam.pth"), "model": "json"}


NEEDS: dict[tuple[Role, str], Callable[[Path], dict[str, Any]]] = {
    ("detector", "recorded"): recorded_detector,
    ("captioner", "recorded"): recorded_captioner,
    ("reader", "recorded"): recorded_reader,
    ("detector", "ultralytics"): ultralytics,
    ("segmenter", "segment_anything"): segment_anything,
    ("scorer", "open_clip"): lambda folder: {"path": str(tiny_open_clip.seeing_clip(folder))},
    ("captioner", "coca"): lambda folder: {"path": str(tiny_open_clip.seeing_coca(folder))},
    ("captioner", "florence2"): florence(max_tokens=12),
    ("detector", "florence2"): florence(max_tokens=12),
    ("reader", "florence2"): florence(max_tokens=12),
    ("grounder", "florence2"): florence(max_boxes=3),
}
