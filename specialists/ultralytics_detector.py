"""YOLO and RT-DETR as Detectors, from checkpoints of the ultralytics library (its only import in this project).

One code path for YOLO v5u to v12 and later, YOLO-World, YOLOE and RT-DETR: the checkpoint says what it is. The library
brings the networks and non-maximum suppression; its predictor, which prints, creates folders and treats a batch of
mixed sizes unlike its images alone, is not used.
"""

from __future__ import annotations

import atexit
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import ConfigError
from engine.geometry import clip, is_box
from engine.records import Image, Pixels, Regions
from specialists.base import SpecialistConfig, specialist
from specialists.checkpoints import check_sha256, peek, require, sha256_of

SIZE: Final = 640  # pixels; where the checkpoint does not say at which size it was trained (ultralytics/cfg, imgsz)
GREY: Final = 114  # of the border that makes an image square; LetterBox in ultralytics/data/augment.py
_TOP: Final = 300  # heads that need no suppression choose this many at least, as the library's predictor asks them to


class UltralyticsConfig(SpecialistConfig):
    """Which checkpoint, and what to keep of what it says."""

    path: Path = Field(description="the checkpoint (.pt)")
    sha256: str | None = Field(None, description="its sha256: it is a pickle, and is not read without")
    confidence: float = Field(
        0.05, ge=0, lt=1, description="boxes at or below are left out; consensus weighs weak ones"
    )
    iou: float = Field(0.7, ge=0, le=1, description="overlap beyond which the weaker box of a class is left out")
    size: int | None = Field(None, ge=32, le=4096, description="side of the input, in pixels; default: as in training")
    labels: tuple[str, ...] | None = Field(None, min_length=1, description="only these of the checkpoint's names")
    max_boxes: int = Field(300, ge=1, description="the best so many of an image")


class _Told(NamedTuple):
    """What a checkpoint says of itself: names by class number, and the side of its training input in pixels."""

    names: dict[int, str]
    size: int


class _Fit(NamedTuple):
    """Where an image stands in its square input: size and corner, in pixels of the input."""

    width: int
    height: int
    left: int
    top: int


@specialist(
    "ultralytics",
    "detector",
    needs=("ultralytics", "torch", "torchvision", "cv2"),
    licence="AGPL-3.0",
    weights="a .pt checkpoint",
    gpus=1.0,
)
class UltralyticsDetector:
    """YOLO, YOLO-World, YOLOE or RT-DETR through ultralytics, whatever the checkpoint holds."""

    Config = UltralyticsConfig

    def __init__(self, config: UltralyticsConfig) -> None:
        self.config = config
        self._model: Any = None
        self._names: dict[int, str] = {}
        self._wanted: list[int] | None = None
        self._size = SIZE
        self._stretch = False
        self._device = "cpu"

    def weights(self) -> Sequence[Path]:
        """The checkpoint.

        Raises:
            WeightsMissing: it is not there; the message says how to get it.
            ConfigError: it is no checkpoint of ultralytics, its hash is not the one written down, or `labels` asks for
                a name that it does not know.
        """
        path = self._path()
        check_sha256(path, sha256_of(path), self.config.sha256)
        self._chosen(_told(path))
        return [path]

    def vocabulary(self) -> tuple[str, ...]:
        """The names that it can give.

        Raises:
            WeightsMissing, ConfigError: as `weights`, but for the hash: nothing in the checkpoint is run.
        """
        told = _told(self._path())
        chosen = self._chosen(told)
        return tuple(dict.fromkeys(told.names.values() if chosen is None else (told.names[i] for i in chosen)))

    def load(self, device: str) -> None:
        """Read the checkpoint as the library does, with batch normalisation fused, in float32.

        Raises:
            WeightsMissing, ConfigError: as `weights`; or it cannot be used as a detector.
        """
        [path] = self.weights()
        told = _told(path)
        model = _network(path)
        head = model.model[-1]
        if getattr(model, "end2end", False):
            head.max_det = max(self.config.max_boxes, _TOP)
        self._model = model.to(device)
        self._device = device
        self._names = told.names
        self._wanted = self._chosen(told)
        # RT-DETR is trained on images that are stretched to a square, YOLO on squares with a border.
        self._stretch = type(head).__name__ == "RTDETRDecoder"
        stride = max(32, int(model.stride.max()))
        self._size = math.ceil((self.config.size or told.size) / stride) * stride

    def detect(self, images: Sequence[Image]) -> list[Regions]:
        """The boxes of each image, best first. An image gets the same input alone and among others: a square.

        On a CPU images are looked at one by one: a batch gains nothing there, and rounds differently.
        """
        step = max(1, len(images)) if self._device.startswith("cuda") else 1
        answers: list[Regions] = []
        for lo in range(0, len(images), step):
            answers += self._look([image.pixels for image in images[lo : lo + step]])
        return answers

    def _look(self, pixels: Sequence[Pixels]) -> list[Regions]:
        import torch

        fits = [_fit(p.shape[0], p.shape[1], self._size, self._stretch) for p in pixels]
        squares = np.stack([_square(p, fit, self._size) for p, fit in zip(pixels, fits, strict=True)])
        with torch.inference_mode():
            # The networks want RGB; it is the library's own reader that brings BGR and turns it.
            batch = torch.from_numpy(squares).to(self._device).permute(0, 3, 1, 2).contiguous()
            found = self._model(batch.float().div_(255))
            rows = [part.float().cpu().numpy() for part in self._rows(found)]
        return [self._regions(part, p, fit) for part, p, fit in zip(rows, pixels, fits, strict=True)]

    def _rows(self, found: Any) -> list[Any]:
        """Of the network's answer, for each image what is kept: (n, 6) x0, y0, x1, y1 in pixels of the input, score,
        class number."""
        import torch
        import torchvision  # type: ignore[import-untyped]  # noqa: F401  the library uses its NMS once it is imported
        from ultralytics.utils.nms import non_max_suppression

        while isinstance(found, (list, tuple)):  # raw values for the loss and prototypes of masks stand behind
            found = found[0]
        if self._stretch:  # (images, queries, 6): centre and sides in 0..1, score, class
            centre, half = found[..., :2] * self._size, found[..., 2:4] * (self._size / 2)
            found = torch.cat([centre - half, centre + half, found[..., 4:]], -1)
        kept: list[Any] = non_max_suppression(
            found,
            self.config.confidence,
            self.config.iou,
            classes=self._wanted,
            max_det=self.config.max_boxes,
            nc=len(self._names),
            max_time_img=math.inf,  # a limit would leave images out, by the clock
            end2end=self._stretch or getattr(self._model, "end2end", False),
        )
        return kept

    def _regions(self, rows: NDArray[np.float32], pixels: Pixels, fit: _Fit) -> Regions:
        height, width = pixels.shape[:2]
        gain = np.array([fit.width / width, fit.height / height] * 2, np.float32)
        corner = np.array([fit.left, fit.top] * 2, np.float32)
        boxes = clip((rows[:, :4] - corner) / gain, width, height)
        good = is_box(boxes) & np.isfinite(rows[:, 4])
        labels = [self._names[number] for number in rows[good, 5].astype(int).tolist()]
        return Regions(boxes[good], np.clip(rows[good, 4], 0, 1), labels)

    def _path(self) -> Path:
        how = "download it or train it with ultralytics, and put it there or correct the path in the configuration"
        path = require(self.config.path, how)
        if path.suffix != ".pt":
            raise ConfigError(
                f"{path} must end in .pt, as checkpoints of ultralytics do. Exported formats are not read."
            )
        return path

    def _chosen(self, told: _Told) -> list[int] | None:
        """Class numbers of `labels`; None for all."""
        if self.config.labels is None:
            return None
        known = set(told.names.values())
        for label in self.config.labels:
            if label not in known:
                near = get_close_matches(label, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ConfigError(
                    f"{self.config.path} does not know {label!r} among its {len(known)} names.{hint} To give an open "
                    "vocabulary new words, embed them once where its text encoder is installed, with set_classes and "
                    "save of ultralytics, and use the file that this writes."
                )
        return [number for number, name in told.names.items() if name in self.config.labels]


def _told(path: Path) -> _Told:
    """What the checkpoint says of itself, without running anything in it.

    Raises:
        ConfigError: it is no checkpoint of ultralytics.
    """
    found = peek(path)
    parts = found if isinstance(found, dict) else {}
    model = parts["ema"] if parts.get("ema") is not None else parts.get("model")
    names = getattr(model, "names", None)
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) and name for name in names.values()):
        raise ConfigError(f"{path} is no detector of ultralytics: it holds no model with names. Is it the right file?")
    arguments = parts.get("train_args")
    size = arguments.get("imgsz") if isinstance(arguments, dict) else None
    size = max(size) if isinstance(size, (list, tuple)) and size else size
    return _Told({int(number): name for number, name in names.items()}, size if isinstance(size, int) else SIZE)


def _network(path: Path) -> Any:
    """The network in a checkpoint, ready for inference, in float32 on the CPU.

    Raises:
        ConfigError: it needs something that is not installed, does not detect, or has an open vocabulary and no text
            embeddings: the library would install a text encoder and fetch its weights in the middle of a run.
    """
    keep_quiet()
    from ultralytics.nn.modules.head import OBB, Detect, RTDETRDecoder
    from ultralytics.nn.tasks import WorldModel, YOLOEModel, load_checkpoint

    try:
        model = load_checkpoint(path)[0]
    except (TypeError, ValueError, KeyError, AttributeError, ImportError, RuntimeError, UnpicklingError) as error:
        first = str(error).partition("\n")[0]
        raise ConfigError(f"{path} cannot be loaded by the installed ultralytics: {first}") from error
    head = model.model[-1]
    if not isinstance(head, (Detect, RTDETRDecoder)) or isinstance(head, OBB):
        raise ConfigError(f"{path} ends in {type(head).__name__}, which gives no upright boxes: name a detector.")
    if isinstance(model, WorldModel):
        embedded = getattr(model, "txt_feats", None) is not None and model.txt_feats.shape[1] == len(model.names)
    elif isinstance(model, YOLOEModel):
        embedded = head.is_fused or hasattr(head, "lrpc") or getattr(model, "pe", None) is not None
    else:
        embedded = True
    if not embedded:
        raise ConfigError(
            f"{path} has an open vocabulary and no text embeddings of its names: where its text encoder is installed, "
            "call set_classes and save of ultralytics once, and use the file that this writes."
        )
    return model.fuse(verbose=False).float().requires_grad_(False)


def keep_quiet() -> None:
    """Before the library is imported: no network, no installing, no words, and no settings in the home folder."""
    if "ultralytics" in sys.modules:
        return
    os.environ |= {"YOLO_OFFLINE": "True", "YOLO_AUTOINSTALL": "False", "YOLO_VERBOSE": "False"}
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="fld-ultralytics-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["YOLO_CONFIG_DIR"] = folder


def _fit(height: int, width: int, size: int, stretch: bool) -> _Fit:
    """Where an image of that size stands: stretched, or centred with its shape kept (rounded as LetterBox does)."""
    if stretch:
        return _Fit(size, size, 0, 0)
    scale = min(size / height, size / width)
    new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
    return _Fit(new_width, new_height, round((size - new_width) / 2 - 0.1), round((size - new_height) / 2 - 0.1))


def _square(pixels: Pixels, fit: _Fit, size: int) -> Pixels:
    """The input (size, size, 3) in which the image stands at `fit`."""
    import cv2

    canvas = np.full((size, size, 3), GREY, np.uint8)
    small = cv2.resize(pixels, (fit.width, fit.height), interpolation=cv2.INTER_LINEAR)
    canvas[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = small
    return canvas
