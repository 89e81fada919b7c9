"""A set of scenes in a folder."""

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from engine.errors import ConfigError, UserError
from pipelines.scenes.difficulty import level
from pipelines.scenes.model import Scene
from pipelines.scenes.palette import COLOURS
from pipelines.scenes.render import MAX_SIZE, MIN_SIZE, scene
from pipelines.scenes.truth import TruthWriter


def draw(
    dest: Path,
    count: int,
    seed: int,
    size: int = 256,
    difficulty: str = "normal",
    colours: Collection[str] = COLOURS,
) -> int:
    """Draw `count` scenes of `size` pixels a side into the folder `dest`, with their truth; how many were drawn.

    Images are `scene_000000.jpg` and so on (`.png` on easy), beside `truth.json`, `coco.json` and `captions.json`
    (see `truth`). Scene k depends on the seed and on k alone, so a longer set begins with the shorter one.

    Things are painted in `colours`, a kind that has none of them in its own.

    Raises:
        ConfigError: a count below 1, a negative seed, a size outside 64..2048, or no such difficulty.
        UserError: `dest` cannot be written.
        WeightsMissing: a font is not installed.
    """
    if count < 1 or seed < 0 or not MIN_SIZE <= size <= MAX_SIZE:
        raise ConfigError(
            f"cannot draw {count} scenes of {size} pixels from seed {seed}: give a count of at least 1, "
            f"a size of {MIN_SIZE} to {MAX_SIZE} and a seed of at least 0."
        )
    ending = "png" if level(difficulty).quality is None else "jpg"
    names = [f"scene_{i:06d}.{ending}" for i in range(count)]
    try:
        dest.mkdir(parents=True, exist_ok=True)
        with TruthWriter(dest, names, seed, size, difficulty) as truth:
            for i, name in enumerate(names):
                drawn = scene(seed, size, difficulty, i, colours)
                (dest / name).write_bytes(encode(drawn))
                truth.add(drawn)
    except OSError as error:
        raise UserError(f"cannot write scenes to {dest}: {error}. Choose another folder.") from error
    return count


def encode(drawn: Scene) -> bytes:
    """The image file of a scene: JPEG of its quality, or PNG where it has none."""
    if drawn.quality is not None:
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(drawn.pixels), quality=drawn.quality))
    _, data = cv2.imencode(".png", drawn.pixels[..., ::-1])
    return bytes(data)
