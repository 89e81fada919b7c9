"""A picture-book world with exact truth: scenes drawn from a seed, for the starter kit and for `fld eval`."""

from pipelines.scenes.drawing import draw, encode
from pipelines.scenes.model import Scene
from pipelines.scenes.render import scene

__all__ = ["Scene", "draw", "encode", "scene"]
