"""Specialists of somebody else's, found by an entry point as those of an installed package are."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from specialists import registry

_HEAD = """
import numpy as np

from engine.records import Captions, Groundings, Readings
from specialists.base import SpecialistConfig, specialist


class Plain:
    class Config(SpecialistConfig):
        pass

    def __init__(self, config):
        self.config = config

    def load(self, device):
        pass
"""
CROPS = '''

@specialist("wordy", "captioner", crops=True)
class Wordy(Plain):
    """Says the same of all that it sees."""

    def caption(self, images):
        for image in images:
            assert image.pixels.shape == (image.height, image.width, 3)
        texts = [["a furry animal on the green grass"] for _ in images]
        return [Captions(t, ["brief"], np.ones(1, np.float32)) for t in texts]


@specialist("fond_of_fur", "scorer")
class FondOfFur(Plain):
    """Likes texts that speak of fur, and short ones more."""

    def score(self, images, texts):
        return [np.array([("furry" in t) / len(t) for t in given], np.float32) for given in texts]
'''
READER = '''

@specialist("sign", "reader")
class Sign(Plain):
    """Reads one word in every image."""

    def read(self, images):
        quad = np.array([[4, 4, 40, 4, 40, 16, 4, 16]], np.float32)
        return [Readings(quad, ["exit"], np.ones(1, np.float32)) for _ in images]
'''
AUTHOR = '''

@specialist("author", "writer", pixels=False)
class Author(Plain):
    """Counts what is accepted, in words of its own: its texts have to be parsed and grounded."""

    def write(self, scenes):
        said = [[f"There are {len(scene.regions.labels)} things and a dog beside a tall tree."] for scene in scenes]
        return [Captions(texts, ["detailed"], np.ones(1, np.float32)) for texts in said]
'''
# With what `write_scenes` has, all roles are filled.
ROLES = """
[captioners.wordy]
uses = "wordy"
[scorers.fond]
uses = "fond_of_fur"
[readers.sign]
uses = "sign"
"""


@contextmanager
def installed(site: Path, source: str) -> Iterator[None]:
    """A package of one module with this source behind imports and a base class `Plain`, installed in the
    new folder `site` for the duration."""
    info = site / "wordy-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "wordy_plugin.py").write_text(_HEAD + source)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wordy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fld.specialists]\nwordy = wordy_plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        registry.cards.cache_clear()
        yield
    registry.cards.cache_clear()
    sys.modules.pop("wordy_plugin", None)
