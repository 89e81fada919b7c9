"""RapidOCR as a Reader: PP-OCR detection, orientation and recognition by onnxruntime, from the models in its wheel."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import WeightsMissing
from engine.geometry import is_box, order_quads, quad_to_box
from engine.records import Image, Pixels, Readings
from specialists.base import SpecialistConfig, specialist

# rapidocr/config.yaml names these models for its default languages (Chinese and English, most Latin scripts).
MODELS: Final = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
MAX_SIDE: Final = 2000  # pixels; rapidocr/config.yaml, Global.max_side_len
DETECTION_SIDE: Final = 736  # the short side is enlarged to this; rapidocr/config.yaml, Det.limit_side_len
MIN_SIDE: Final = 32  # the detector's stride
# Beyond this ratio of sides, enlarging the short side would make the long one exceed MAX_SIDE, and memory with it.
MAX_RATIO: Final = MAX_SIDE / DETECTION_SIDE


class RapidOcrConfig(SpecialistConfig):
    """How much to trust and how many cores to use."""

    min_confidence: float = Field(0.0, ge=0, le=1, description="texts below are left out; 0: filters decide")
    threads: int = Field(1, ge=1, description="threads of onnxruntime")


@specialist(
    "rapidocr", "reader", needs=("rapidocr", "onnxruntime", "cv2"), licence="Apache-2.0", weights="in its wheel"
)
class RapidOcr:
    """PP-OCRv6 (small) through RapidOCR: lines of Chinese, English and most Latin scripts."""

    Config = RapidOcrConfig

    def __init__(self, config: RapidOcrConfig) -> None:
        self.config = config
        self._engine: Any = None

    def load(self, device: str) -> None:  # noqa: ARG002 (the wheel's onnxruntime has no GPU)
        """Build the three sessions from files inside the installed wheel; nothing is ever downloaded.

        Raises:
            WeightsMissing: rapidocr is not installed, or its wheel lacks a model.
        """
        files = self.weights()
        import cv2
        from rapidocr import RapidOCR

        params: dict[str, Any] = {
            "Global.log_level": "error",  # it warns of every image without text
            "Global.text_score": self.config.min_confidence,
            "Global.max_side_len": MAX_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": self.config.threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        params |= {f"{part}.model_path": str(file) for part, file in zip(MODELS, files, strict=True)}
        engine = RapidOCR(params=params)
        # Each session is made on first use; reading a word makes all three here rather than in the middle of a batch.
        word = cv2.putText(np.full((64, 128, 3), 255, np.uint8), "word", (16, 44), 0, 1.2, (0, 0, 0), 2)
        engine(word)
        self._engine = engine

    def weights(self) -> Sequence[Path]:
        """The three model files in rapidocr's folder.

        Raises:
            WeightsMissing: rapidocr is not installed, or its wheel lacks a model.
        """
        import importlib.util

        spec = importlib.util.find_spec("rapidocr")
        if spec is None or spec.origin is None:
            raise WeightsMissing("the reader 'rapidocr' needs the package rapidocr: pip install rapidocr.")
        folder = Path(spec.origin).parent / "models"
        files = [folder / name for name in MODELS.values()]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise WeightsMissing(
                f"rapidocr's wheel should carry {', '.join(missing)} in {folder}, but does not. "
                "Install it again: pip install --force-reinstall -c constraints.txt rapidocr."
            )
        return files

    def read(self, images: Sequence[Image]) -> list[Readings]:
        """The lines of text in each image, top to bottom."""
        return [self._read(image.pixels) for image in images]

    def _read(self, pixels: Pixels) -> Readings:
        height, width = pixels.shape[:2]
        canvas, scale = _canvas(pixels)
        found = self._engine(canvas)
        if getattr(found, "txts", None) is None or found.boxes is None:
            return Readings(np.zeros((0, 8), np.float32), [], np.zeros(0, np.float32))
        limit = np.array([width, height] * 4, np.float64)
        raw: NDArray[np.float64] = np.asarray(found.boxes, np.float64).reshape(-1, 8) / scale
        quads = order_quads(np.clip(raw, 0, limit).astype(np.float32))
        # A quad without area after clipping lies in the border that _canvas added, so it is no part of the image.
        inside = is_box(quad_to_box(quads))
        texts = [text for text, ok in zip(found.txts, inside, strict=True) if ok]
        scores = np.clip(np.asarray(found.scores, np.float32), 0, 1)
        return Readings(quads[inside], texts, scores[inside])


def _canvas(pixels: Pixels) -> tuple[Pixels, float]:
    """BGR for RapidOCR, and by how much it was scaled.

    The long side is at most MAX_SIDE. Elongated and tiny images get a border at the right and the bottom, in their
    median colour: RapidOCR itself fails when a side rounds to zero, and enlarges a thin strip without limit.
    """
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    image = np.ascontiguousarray(pixels[..., ::-1])
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    short = max(MIN_SIDE, math.ceil(max(height, width) / MAX_RATIO))
    if min(height, width) >= short:
        return image, scale
    canvas = np.empty((max(height, short), max(width, short), 3), np.uint8)
    canvas[:] = np.median(image.reshape(-1, 3), axis=0)
    canvas[:height, :width] = image
    return canvas, scale
