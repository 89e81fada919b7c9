"""CLIP as a Scorer, through open_clip: the cosine of image and text embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.records import Image
from specialists.base import specialist
from specialists.open_clip_models import OpenClipConfig, load_model, load_vocabulary, look
from specialists.open_clip_pictures import prepare, preprocessing

if TYPE_CHECKING:
    import torch
    from open_clip.transform import PreprocessCfg

    from specialists.open_clip_models import Vocabulary

EXAMPLE: Final = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
_PROMPT: Final = "a photo of a {}"
_TEXTS_AT_ONCE: Final = 256  # 256 texts of 77 tokens take 0.5 GB in the text tower of ViT-L-14


@specialist(
    "open_clip",
    "scorer",
    needs=("open_clip", "torch"),
    licence="MIT; weights have their own",
    weights="a folder or checkpoint of open_clip",
    gpus=1.0,
)
class OpenClipScorer:
    """CLIP (Radford et al. 2021) and its relatives through open_clip; a CoCa scores too."""

    Config = OpenClipConfig

    def __init__(self, config: OpenClipConfig) -> None:
        self.config = config
        self._device = "cpu"
        self._model: Any = None
        self._wanted: PreprocessCfg
        self._vocabulary: Vocabulary

    def weights(self) -> Sequence[Path]:
        """The files of the model.

        Raises:
            WeightsMissing: one is not there; the message says how to get it.
            ConfigError: the architecture is not known, or cannot be loaded without a network.
        """
        return look(self.config, EXAMPLE).files

    def load(self, device: str) -> None:
        """Build the model and fill it.

        Raises:
            WeightsMissing, ConfigError: as `weights`, or the files are damaged.
        """
        found = look(self.config, EXAMPLE)
        self._model = load_model(self.config, device)
        self._vocabulary = load_vocabulary(self.config, found)
        self._wanted = preprocessing(self._model)
        self._device = device

    def score(self, images: Sequence[Image], texts: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """For each image the cosine, -1..1, with each of its texts (k,).

        A text is encoded once a call, however many images ask about it; texts beyond the model's context are cut by
        its tokenizer. Nothing is kept for later calls, so an answer does not depend on what was asked before.
        """
        asked = [i for i, group in enumerate(texts) if len(group)]
        answers = [np.zeros(0, np.float32) for _ in images]
        if not asked:
            return answers
        unique = list(dict.fromkeys(text for i in asked for text in texts[i]))
        place = {text: row for row, text in enumerate(unique)}
        cosines = self._encode_images([images[i] for i in asked]) @ self._encode_texts(unique).T
        for i, row in zip(asked, np.clip(cosines, -1, 1), strict=True):
            answers[i] = row[[place[text] for text in texts[i]]]
        return answers

    def likeness(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The cosine of every two of n words as names of things in a photograph (Radford et al. 2021, section 3.1.4)."""
        if not words:
            return np.zeros((0, 0), np.float32)
        found = self._encode_texts([_PROMPT.format(word) for word in words])
        return np.asarray(np.clip(found @ found.T, -1, 1), np.float32)

    def _encode_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Unit vectors (n, width)."""
        import torch

        with torch.inference_mode():
            prepared = prepare([image.pixels for image in images], self._wanted).to(self._device)
            return _plain(self._model.encode_image(prepared, normalize=True))

    def _encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit vectors (n, width)."""
        import torch

        tokens = self._vocabulary.encode(texts)
        with torch.inference_mode():
            parts = [
                self._model.encode_text(part.to(self._device), normalize=True) for part in tokens.split(_TEXTS_AT_ONCE)
            ]
            return _plain(torch.cat(parts))


def _plain(embeddings: torch.Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = embeddings.float().cpu().numpy()
    return found
