"""What specialists see and say: plain columnar records, one per image.

Pixels are RGB uint8 (height, width, 3) in the frame after EXIF orientation. Boxes are absolute pixels,
float32, (x0, y0, x1, y1). Quads are (x0, y0, … x3, y3) clockwise from the top left. Masks are compressed
COCO RLE counts (ASCII) for the whole image.

An answer that holds nothing means that nothing is there, for whoever answers. Who has not looked at the image says
`answered=False`: nothing follows from that, and such an answer is empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.tokens import Tokens

Granularity = Literal["brief", "detailed", "more_detailed"]
Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class Image:
    """One image as a specialist sees it; `pixels` decodes on first use and is then kept."""

    image_id: str
    uri: str
    width: int
    height: int
    read: Callable[[], Pixels] = field(repr=False)
    _pixels: Pixels | None = field(default=None, repr=False)

    @property
    def pixels(self) -> Pixels:
        """RGB uint8 (height, width, 3).

        Raises:
            ImageError: the file cannot be decoded (it could when it was ingested).
        """
        if self._pixels is None:
            self._pixels = self.read()
        return self._pixels


@dataclass(frozen=True, slots=True)
class Regions:
    """Boxes of one image: `boxes` (n, 4), `scores` (n,) in 0..1, `labels` n, `masks` n RLE counts or None each.

    `crowd` marks boxes around a group that cannot be counted (COCO's iscrowd).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: Sequence[str]
    masks: Sequence[str | None] | None = None
    crowd: NDArray[np.bool_] | None = None
    faults: Sequence[str] = ()  # records of this image that were broken, one message each
    answered: bool = True  # False: it has not looked at this image, so its silence says nothing


@dataclass(frozen=True, slots=True)
class Readings:
    """Text regions of one image: `quads` (n, 8) clockwise from the top left, `texts` n, `scores` (n,)."""

    quads: NDArray[np.float32]
    texts: Sequence[str]
    scores: NDArray[np.float32]
    faults: Sequence[str] = ()
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Captions:
    """Texts of one image (or crop), each with its granularity and the captioner's own score (NaN: none)."""

    texts: Sequence[str]
    granularities: Sequence[Granularity]
    scores: NDArray[np.float32]
    faults: Sequence[str] = ()
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases to find in one image and the regions that consensus accepted there.

    `texts` and `heads` (lemma of the head noun) have one entry a phrase; `numbers` (n,) is how many things
    the phrase asks for (0: a plural of unknown number). `regions` may be empty.
    """

    texts: Sequence[str]
    heads: Sequence[str]
    numbers: NDArray[np.int32]
    regions: Regions


@dataclass(frozen=True, slots=True)
class Groundings:
    """Boxes found for the phrases of one image: `phrase` (n,) indexes Phrases.texts, `boxes` (n, 4), `scores` (n,)."""

    phrase: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Masks:
    """One mask for each box that was asked for: RLE counts or None (nothing found), and predicted IoU (n,)."""

    masks: Sequence[str | None]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is accepted about one image; all that a Writer may speak of.

    `tokens` are those of the captions' texts, one text each; None where nobody parsed them.
    """

    width: int
    height: int
    regions: Regions
    readings: Readings
    captions: Captions
    tokens: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Mentions:
    """Where texts speak of regions: columns, one entry a noun phrase, by text and then from left to right.

    `text` (m,): which text; `start`, `end` (m,): characters of it; `heads` m: lemma of the head noun; `numbers` (m,):
    how many things the phrase asks for (0: several, or unknown); `regions` m: rows of `Scene.regions`.
    """

    text: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    heads: Sequence[str]
    numbers: NDArray[np.int32]
    regions: Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Composition:
    """Texts of one scene, of whose words the Writer knows what they are and what they speak of.

    `tokens`: of all words of the texts, but for captions in a scene without tokens. `quoted` (n,): the row of
    `Scene.captions` that a text repeats word for word, but for the case of its first letter and for punctuation at its
    ends; -1 for none. `shift` (n,): what is added to a place in the caption to get the place in the text. What a quoted
    caption speaks of is not among the `mentions`: it is known already.
    """

    captions: Captions
    tokens: Tokens
    mentions: Mentions
    quoted: NDArray[np.int32]
    shift: NDArray[np.int32]
