"""The two detectors: ultralytics' own architectures, narrowed, each with a blind spot of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.kinds import CATEGORIES
from pipelines.starter.augment import relight, zoom
from pipelines.starter.scenes import SIZE, Example
from pipelines.starter.scoring import average_precision
from pipelines.starter.trainer import Course, quickly
from specialists.ultralytics_detector import keep_quiet

if TYPE_CHECKING:
    import torch

_VALIDATE_BATCH: Final = 50
_VISIBLE: Final = 0.25  # a box of which less is left after zooming is not asked for


@dataclass(frozen=True, slots=True)
class Yolo:
    """`yaml`: a model file of ultralytics, drawn at `scale` = (depth, width, largest number of channels).

    Boxes below `smallest`, as a part of the image's area, are taken out of its training.
    """

    name: str
    course: Course
    yaml: str
    scale: tuple[float, float, int]
    smallest: float = 0.0

    def build(self) -> "torch.nn.Module":
        keep_quiet()
        from ultralytics.cfg import get_cfg
        from ultralytics.nn.tasks import DetectionModel, yaml_model_load

        plan = yaml_model_load(self.yaml)
        plan |= {"scales": {"t": list(self.scale)}, "scale": "t", "nc": len(CATEGORIES)}
        model = DetectionModel(plan, ch=3, nc=len(CATEGORIES), verbose=False)
        model.names = dict(enumerate(CATEGORIES))
        model.args = get_cfg()
        import torch

        return model.to(memory_format=torch.channels_last)

    def batch(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        import torch

        pixels, boxes, classes, owners = [], [], [], []
        for i, example in enumerate(examples):
            image, found, kinds = _augmented(example, rng)
            sides = (found[:, 2:] - found[:, :2]) / SIZE
            large = sides.prod(axis=1) >= self.smallest
            pixels.append(image)
            boxes.append(np.concatenate([(found[:, :2] + found[:, 2:]) / (2 * SIZE), sides], axis=1)[large])
            classes.append(kinds[large])
            owners.append(np.full(int(large.sum()), i))
        return {
            "img": torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2),
            "bboxes": torch.from_numpy(np.concatenate(boxes).astype(np.float32)),
            "cls": torch.from_numpy(np.concatenate(classes).astype(np.float32))[:, None],
            "batch_idx": torch.from_numpy(np.concatenate(owners).astype(np.float32)),
        }

    def loss(self, module: "torch.nn.Module", batch: dict[str, Any]) -> "torch.Tensor":
        import torch

        image = batch["img"].float().div(255).contiguous(memory_format=torch.channels_last)
        with quickly(image.device.type):
            answers = module(image)
        total, _ = module.loss(batch, _float(answers))
        return torch.as_tensor(total).sum() / len(image)

    def validate(self, module: "torch.nn.Module", examples: list[Example]) -> dict[str, float]:
        import torch
        from ultralytics.utils.nms import non_max_suppression

        device, found = next(module.parameters()).device, []
        for start in range(0, len(examples), _VALIDATE_BATCH):
            pixels = np.stack([example.pixels() for example in examples[start : start + _VALIDATE_BATCH]])
            image = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device).float().div(255)
            with torch.inference_mode():
                answers = module(image)
            for rows in non_max_suppression(answers, conf_thres=0.01, iou_thres=0.6, max_det=100):
                row = rows.float().cpu().numpy()
                found.append((row[:, :4].clip(0, SIZE), row[:, 4], row[:, 5].astype(np.int64)))
        return average_precision(examples, found)

    def save(self, module: "torch.nn.Module", folder: Path) -> None:
        """`model.pt` as ultralytics writes it: the whole model in half precision, and what it was trained with."""
        import copy

        import torch
        import ultralytics

        model = copy.deepcopy(module).float().eval().half()
        model.criterion = None
        for parameter in model.parameters():
            parameter.requires_grad = False
        kept = {"model": model, "epoch": -1, "train_args": {"imgsz": SIZE, "task": "detect"},
                "version": ultralytics.__version__, "license": "AGPL-3.0"}  # fmt: skip
        model.args = dict(kept["train_args"])
        torch.save(kept, folder / "model.pt")


def _float(answers: Any) -> Any:
    if isinstance(answers, dict):
        return {key: _float(value) for key, value in answers.items()}
    if isinstance(answers, (list, tuple)):
        return type(answers)(_float(value) for value in answers)
    return answers.float()


def _augmented(
    example: Example, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
    """The scene mirrored half of the time, zoomed and relit, with the boxes that are still to be seen."""
    image, boxes, classes = example.pixels(), example.boxes(), example.classes()
    if rng.random() < 0.5:
        image = image[:, ::-1]
        boxes[:, [0, 2]] = SIZE - boxes[:, [2, 0]]
    matrix = zoom(rng, 0.8, 1.35)
    moved = boxes * matrix[0, 0] + np.tile(matrix[:, 2], 2).astype(np.float32)
    inside = np.clip(moved, 0, SIZE)
    whole = (moved[:, 2:] - moved[:, :2]).prod(axis=1)
    kept = (inside[:, 2:] - inside[:, :2]).prod(axis=1) >= _VISIBLE * whole
    image = cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIZE, SIZE), borderValue=(114, 114, 114))
    return relight(image, rng), inside[kept], classes[kept]


# Says nothing small, as it was never shown anything small.
LARGE: Final = Yolo("yolo_large", Course(steps=3600, batch=32, rate=2e-3), "yolo11.yaml", (0.5, 0.1875, 512), 0.015)
# Has met five colours of ten.
SEEN: Final = Yolo("yolo_seen", Course(steps=1600, batch=32, rate=2e-3), "yolov8.yaml", (0.33, 0.125, 1024))
