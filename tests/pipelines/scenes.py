"""Small real inputs for pipeline tests: JPEG files, and what two detectors and a captioner are recorded to have said."""

import json
from pathlib import Path

import numpy as np
import simplejpeg

CONFIG = """
[detectors.one]
uses = "recorded"
path = "one.json"
format = "coco"
[detectors.two]
uses = "recorded"
path = "two.json"
format = "coco"
[captioners.words]
uses = "recorded"
path = "captions.json"
format = "coco_captions"
"""
QUICK = "\n[segmenters]\n[parser]\n[grounders]\n[writers]\n"


def write_scenes(root: Path, count: int, extra: str = QUICK) -> Path:
    """A folder `images`, three COCO files and `config.toml` under root; image n holds a dog and n % 3 people."""
    (root / "images").mkdir(parents=True)
    pixels = np.random.default_rng(count)
    images, one, two, captions = [], [], [], []
    for n in range(count):
        name = f"{n:04d}.jpg"
        data = simplejpeg.encode_jpeg(pixels.integers(0, 256, (96, 128, 3), np.uint8), quality=80)
        (root / "images" / name).write_bytes(data)
        images.append({"id": n, "file_name": name, "width": 128, "height": 96})
        things = [(1, [8, 10, 40, 30])] + [(2, [60, 5 + 30 * k, 20, 25]) for k in range(n % 3)]
        for category, (x, y, w, h) in things:
            one.append(_box(len(one), n, category, [x, y, w, h]))
            two.append(_box(len(two), n, category, [x + 1, y + 1, w, h]))
        captions.append({"id": n, "image_id": n, "caption": "a brown dog sits near two people on the green grass"})
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]
    for name, annotations in (("one", one), ("two", two), ("captions", captions)):
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{name}.json").write_text(json.dumps(content))
    (root / "config.toml").write_text(CONFIG + extra)
    return root


def _box(number: int, image: int, category: int, box: list[float]) -> dict:
    area = box[2] * box[3]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": area,
        "iscrowd": 0,
        "score": 0.9,
    }
