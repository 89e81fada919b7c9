"""Pictures as a model of open_clip wants them: what its transform for inference does, several times as fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine.records import Pixels
from specialists.resizing import Interpolation, resize

if TYPE_CHECKING:
    import torch
    from open_clip.transform import PreprocessCfg

# A strip longer than this many times its width is cut around its centre before it is enlarged: a centre crop throws
# the ends away, and enlarging them first takes memory without limit.
_LONGEST: Final = 4


def preprocessing(model: Any) -> PreprocessCfg:
    """What `prepare` needs to know of a loaded model."""
    from open_clip.transform import PreprocessCfg

    return PreprocessCfg(**model.visual.preprocess_cfg)


def prepare(pictures: Sequence[Pixels], wanted: PreprocessCfg) -> torch.Tensor:
    """RGB uint8 pictures (h, w, 3) → float tensor (n, 3, H, W) on the CPU, as open_clip's transform for inference.

    Resized with antialiasing and cropped, padded or squashed as `wanted` says; within one grey level of torchvision's
    Resize, CenterCrop and Normalize on Pillow images (open_clip/transform.py, image_transform).
    """
    import torch

    fitted = torch.stack([_fit(picture, wanted) for picture in pictures])
    mean, std = (_channels(value) * 255 for value in (wanted.mean, wanted.std))
    return (fitted - mean) / std


def _channels(value: Any) -> torch.Tensor:
    """One number a channel, or one for all: (3, 1, 1)."""
    import torch

    return torch.from_numpy(np.broadcast_to(np.float32(value), 3).reshape(3, 1, 1).copy())


def _fit(picture: Pixels, wanted: PreprocessCfg) -> torch.Tensor:
    """uint8 (3, H, W)."""
    size = wanted.size
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
    interpolation: Interpolation = "bilinear" if wanted.interpolation == "bilinear" else "bicubic"
    if wanted.resize_mode == "squash":
        return resize(picture, height, width, interpolation)
    if wanted.resize_mode == "shortest":
        picture = _without_ends(picture)
    ratios = picture.shape[0] / height, picture.shape[1] / width
    ratio = max(ratios) if wanted.resize_mode == "longest" else min(ratios)
    # Rounded as torchvision does for the shorter and timm for the longer side.
    rounded = round if wanted.resize_mode == "longest" else int
    new_height, new_width = (max(1, rounded(side / ratio + 1e-9)) for side in picture.shape[:2])
    return _centre(resize(picture, new_height, new_width, interpolation), height, width, wanted.fill_color)


def _without_ends(picture: Pixels) -> Pixels:
    limit = _LONGEST * min(picture.shape[:2])
    top, left = (max(0, side - limit) // 2 for side in picture.shape[:2])
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


def _centre(resized: torch.Tensor, height: int, width: int, fill: int) -> torch.Tensor:
    """The middle of (3, h, w), where it is larger than wanted, with a border where it is smaller."""
    import torch

    canvas = torch.full((3, height, width), fill, dtype=torch.uint8)
    places = []
    for have, want in zip(resized.shape[1:], (height, width), strict=True):
        source, target = round(max(0, have - want) / 2), max(0, want - have) // 2
        places.append((slice(source, source + want), slice(target, target + min(have, want))))
    (rows, to_rows), (columns, to_columns) = places
    canvas[:, to_rows, to_columns] = resized[:, rows, columns]
    return canvas
