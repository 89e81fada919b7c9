"""A teacher for vision towers: what stands in every cell of a grid. Only trainings use it; it is not kept.

A tower that must learn from captions alone takes long to find out where things are and what they are. Drawn scenes
know that for every pixel, so while a network trains, a linear layer on its image tokens also names the kind and the
colour seen in each cell, and the box of the thing there. Where a network reads a question beside the picture, a
second layer tells which cells the question is about, and their boxes: the decoder then only has to say it.
"""

from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.kinds import CATEGORIES
from pipelines.scenes.palette import COLOURS
from pipelines.starter.augment import moved
from pipelines.starter.scenes import SIZE, Example

if TYPE_CHECKING:
    import torch

_KINDS: Final = len(CATEGORIES) + 1  # 0 is the background
_COLOURS: Final = len(COLOURS) + 1
_NAMES: Final = tuple(COLOURS)
MEANT: Final = 5
CHANNELS: Final = _KINDS + _COLOURS + 4
_BOX_WEIGHT: Final = 2.0


def targets(example: Example, matrix: NDArray[np.float64], mirrored: bool, cells: int) -> dict[str, NDArray[Any]]:
    """For a grid of `cells` x `cells` over the scene moved by `matrix`: thing, kind, colour (cells²,), box (cells², 4).

    A cell shows the thing at its centre: its index plus 1, or 0. Boxes are distances left, up, right and down from
    there, in images.
    """
    kinds = np.zeros(256, np.int64)
    colours = np.zeros(256, np.int64)
    boxes = np.zeros((256, 4), np.float32)
    owner = np.zeros((SIZE, SIZE), np.uint8)
    for i, (thing, box) in enumerate(zip(example.truth["objects"], example.boxes(), strict=True)):
        owner[example.mask(i)] = i + 1
        kinds[i + 1] = CATEGORIES[thing["kind"]]
        colours[i + 1] = _NAMES.index(thing["colour"]) + 1
        x0, y0, x1, y1 = box
        boxes[i + 1] = (SIZE - x1, y0, SIZE - x0, y1) if mirrored else (x0, y0, x1, y1)
    if mirrored:
        owner = np.ascontiguousarray(owner[:, ::-1])
    seen = cv2.warpAffine(owner, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST)
    centres = ((np.arange(cells) + 0.5) * SIZE / cells).astype(int)
    number = seen[np.ix_(centres, centres)].reshape(-1)
    box = moved(boxes, matrix)[number]
    x, y = np.tile(centres, cells), np.repeat(centres, cells)
    around = np.stack([x - box[:, 0], y - box[:, 1], box[:, 2] - x, box[:, 3] - y], axis=1) / SIZE
    return {
        "thing": number.astype(np.int64),
        "kind": kinds[number],
        "colour": colours[number],
        "box": around.astype(np.float32),
    }


def stacked(wanted: list[dict[str, NDArray[Any]]]) -> dict[str, "torch.Tensor"]:
    """The targets of several pictures as tensors."""
    import torch

    return {key: torch.from_numpy(np.stack([of_one[key] for of_one in wanted])) for key in wanted[0]}


def head(width: int, cells: int = 1, channels: int = CHANNELS) -> "torch.nn.Module":
    """A linear layer from a token's `width` to all that is asked of its `cells` cells."""
    import torch

    return torch.nn.Linear(width, cells * channels)


def spread(answers: "torch.Tensor", tokens: int, channels: int = CHANNELS) -> "torch.Tensor":
    """Answers (n, tokens², k² * channels) of a grid of tokens as those of its cells (n, (k * tokens)², channels)."""
    count, k = len(answers), round((answers.shape[-1] // channels) ** 0.5)
    grid = answers.view(count, tokens, tokens, k, k, channels).transpose(2, 3)
    return grid.reshape(count, (k * tokens) ** 2, channels)


def meant(answers: "torch.Tensor", wanted: dict[str, "torch.Tensor"], hits: "torch.Tensor") -> "torch.Tensor":
    """`answers` (n, cells², 5): is the cell's thing meant (`hits`, bool (n, cells²)), and where is its box."""
    from torch.nn import functional as f

    said, boxes = answers.float().split((1, 4), dim=-1)
    weight = hits.float() / hits.sum().clamp(min=1) + (~hits).float() / (~hits).sum().clamp(min=1)
    named = f.binary_cross_entropy_with_logits(said[..., 0], hits.float(), reduction="none")
    off = (boxes - wanted["box"]).abs().sum(dim=-1)
    return (named * weight).sum() + _BOX_WEIGHT * (off * hits).sum() / hits.sum().clamp(min=1)


def loss(answers: "torch.Tensor", wanted: dict[str, "torch.Tensor"]) -> "torch.Tensor":
    """`answers` (n, cells², CHANNELS) against stacked `targets`: two cross entropies and an L1 of boxes."""
    from torch.nn import functional as f

    kinds, colours, boxes = answers.float().split((_KINDS, _COLOURS, 4), dim=-1)
    thing = wanted["kind"].flatten() > 0
    weight = thing.float() + 0.25
    weight = weight / weight.sum()
    named = (f.cross_entropy(kinds.flatten(0, 1), wanted["kind"].flatten(), reduction="none") * weight).sum()
    painted = (f.cross_entropy(colours.flatten(0, 1), wanted["colour"].flatten(), reduction="none") * weight).sum()
    off = (boxes.flatten(0, 1) - wanted["box"].flatten(0, 1)).abs().sum(dim=-1)
    return named + 0.5 * painted + _BOX_WEIGHT * (off * thing).sum() / thing.sum().clamp(min=1)
