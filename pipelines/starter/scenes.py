"""Scenes to train on and to validate on: drawn once into a folder, read back as examples."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from engine import masks
from pipelines.scenes import draw
from pipelines.scenes.kinds import CATEGORIES
from pipelines.scenes.palette import COLOURS
from pipelines.scenes.truth import TRUTH

SIZE: Final = 256
_CHUNK: Final = 250  # scenes of one folder, drawn from one seed


@dataclass(frozen=True, slots=True)
class Drawn:
    """A set of scenes: `count` of them, in `colours`."""

    seed: int
    count: int
    colours: tuple[str, ...] = tuple(COLOURS)


ALL: Final = Drawn(40_000_000, 20_000)
# The second detector has never met the other half of the colours.
SEEN: Final = Drawn(50_000_000, 12_000, ("red", "yellow", "green", "blue", "white"))
VALIDATE: Final = Drawn(60_000_000, 300)


@dataclass(frozen=True, slots=True)
class Example:
    """One scene: JPEG bytes and its entry of `truth.json`."""

    jpeg: bytes
    truth: dict[str, Any]

    def pixels(self) -> NDArray[np.uint8]:
        """RGB uint8 (SIZE, SIZE, 3)."""
        return np.asarray(simplejpeg.decode_jpeg(self.jpeg))

    def boxes(self) -> NDArray[np.float32]:
        """Boxes (n, 4), x0 y0 x1 y1 in pixels, of all objects in the order of the truth."""
        boxes = np.array([thing["bbox"] for thing in self.truth["objects"]], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    def classes(self) -> NDArray[np.int64]:
        """Numbers (n,) of the objects' kinds, 0-based, in the catalogue's order."""
        return np.array([CATEGORIES[thing["kind"]] - 1 for thing in self.truth["objects"]], np.int64)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The visible pixels (SIZE, SIZE) of object number `index`."""
        code = self.truth["objects"][index]["segmentation"]
        return masks.decode(code["counts"], *code["size"])


def load(folder: Path, wanted: Drawn) -> list[Example]:
    """The scenes of a set, drawn into `folder` by all processors; what is there already is not drawn again."""
    chunks = [(folder / f"{wanted.seed}-{k:04d}", wanted.seed + k) for k in range(-(-wanted.count // _CHUNK))]
    todo = [(chunk, seed) for chunk, seed in chunks if not (chunk / TRUTH).exists()]
    if todo:
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(draw, chunk, _CHUNK, seed, SIZE, "normal", wanted.colours) for chunk, seed in todo]
            for job in jobs:
                job.result()
    return [example for chunk, _ in chunks for example in read(chunk)][: wanted.count]


def read(folder: Path) -> list[Example]:
    """The scenes that `draw` put into a folder."""
    entries = json.loads((folder / TRUTH).read_text(encoding="utf-8"))["scenes"]
    return [Example((folder / entry["file_name"]).read_bytes(), entry) for entry in entries]
