"""The CoCa: names the main things of a scene in a sentence, or the thing of a crop."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.kinds import KINDS
from pipelines.scenes.palette import COLOURS
from pipelines.starter import dense, phrases
from pipelines.starter.augment import AWAY, cut_out, plain, relight
from pipelines.starter.clip import against
from pipelines.starter.scenes import Example
from pipelines.starter.trainer import Course, quickly
from pipelines.starter.vocabulary import PAD, SIDE, Vocabulary, ids, normalised, save

if TYPE_CHECKING:
    import torch

_WIDTH: Final = 160
_LENGTH: Final = 32
_HEADS: Final = {"width": _WIDTH, "heads": 5, "context_length": _LENGTH}
CONFIG: Final[dict[str, Any]] = {
    "embed_dim": _WIDTH, "custom_text": True, "pad_id": PAD,
    "vision_cfg": {"image_size": SIDE, "patch_size": 16, "width": _WIDTH, "head_width": 32, "layers": 5,
                   "output_tokens": True},
    "text_cfg": {**_HEADS, "layers": 1, "hf_tokenizer_name": "words", "pad_id": PAD, "eos_id": 2, "pool_type": "eos",
                 "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**_HEADS, "layers": 2},
}  # fmt: skip
_CROPS: Final = 0.35  # of the pictures it is shown
_PLAIN: Final = 0.02  # are of one colour
_CELLS: Final = SIDE // 16  # on a side: the patches of a picture
_CONTRAST: Final = 0.3


@dataclass(slots=True)
class Coca:
    """It learns from brief captions that name two kinds of things or more, and so says the fuller ones."""

    name: str
    course: Course
    vocabulary: Vocabulary | None = None
    tokenizer: Any = None

    def learn(self, examples: list[Example]) -> None:
        """Take the words of the captions of `examples`."""
        said = {example.truth["captions"]["brief"]["text"] for example in examples}
        made = [text[0].upper() + text[1:] for text in phrases.words()]
        plain_ones = [f"A plain {colour} picture." for colour in COLOURS]
        self.vocabulary = Vocabulary.of([*said, *phrases.words(), *made, *plain_ones], lowercase=False)
        self.tokenizer = self.vocabulary.tokenizer()

    def build(self) -> "torch.nn.Module":
        import torch

        if self.vocabulary is None:
            raise RuntimeError("call learn(examples) first")
        student = torch.nn.Module()
        with tempfile.TemporaryDirectory() as folder:
            student.model = self.vocabulary.network(CONFIG, Path(folder))
        student.dense = dense.head(_WIDTH)
        student.words = torch.nn.Linear(_WIDTH, 2 * _WIDTH)
        return student

    def batch(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        import torch

        pixels, texts, wanted = [], [], []
        for example in examples:
            image, matrix, text = self._shown(example, rng)
            pixels.append(relight(image, rng))
            wanted.append(dense.targets(example, matrix, mirrored=False, cells=_CELLS))
            texts.append(text)
        return {
            "pixels": torch.from_numpy(np.stack(pixels)),
            "ids": ids(self.tokenizer, texts, _LENGTH),
            "dense": dense.stacked(wanted),
        }

    @staticmethod
    def _shown(example: Example, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float64], str]:
        """A picture, where the scene is in it, and what to say."""
        caption, chance = example.truth["captions"]["brief"], rng.random()
        if chance > 1 - _PLAIN:
            image, colour = plain(rng)
            return image, AWAY, f"A plain {colour} picture."
        whole = len(caption["counts"]) > 1 and chance >= _CROPS
        thing = None if whole else phrases.any_thing(example, rng)
        if thing is None:
            return example.pixels(), np.eye(2, 3), caption["text"]
        image, matrix = cut_out(example, thing, rng)
        return image, matrix, phrases.sentence([example.truth["objects"][thing]], ("pattern", "colour"))

    def loss(self, module: "torch.nn.Module", batch: dict[str, Any]) -> "torch.Tensor":
        import torch
        from torch.nn import functional as f

        model: Any = module.model
        with quickly(batch["pixels"].device.type):
            latent, cells = model._encode_image(normalised(batch["pixels"]))
            seen = torch.as_tensor(module.dense(cells))
            out = model(None, batch["ids"], image_latent=latent, image_embs=cells)
        logits, labels = out["logits"].float(), out["labels"]
        said = f.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=PAD)
        alike = out["logit_scale"] * out["image_features"].float() @ out["text_features"].float().T
        same = (batch["ids"][:, None] == batch["ids"][None]).all(dim=-1).float()
        contrast = (against(alike, same) + against(alike.T, same)) / 2
        told = self._said_by_patches(module, cells.float(), batch["dense"])
        return said + _CONTRAST * contrast + 0.5 * (dense.loss(seen, batch["dense"]) + told)

    def _said_by_patches(
        self, module: "torch.nn.Module", cells: "torch.Tensor", wanted: dict[str, "torch.Tensor"]
    ) -> "torch.Tensor":
        """Cross entropy of the two words, colour and kind, that each patch of a thing says of it.

        By the decoder's own last matrix, so that what it has to say is there to be copied.
        """
        import torch
        from torch.nn import functional as f

        thing = wanted["kind"] > 0
        states = cast(Any, module.words)(cells[thing]).view(-1, _WIDTH)
        logits = states @ cast(Any, module.model).text_decoder.text_projection.float()
        kinds, colours = (self.tokenizer.convert_tokens_to_ids(list(names)) for names in (KINDS, COLOURS))
        colour = wanted["colour"].new_tensor(colours)[wanted["colour"][thing] - 1]
        kind = wanted["kind"].new_tensor(kinds)[wanted["kind"][thing] - 1]
        return f.cross_entropy(logits, torch.stack([colour, kind], dim=1).flatten())

    def validate(self, module: "torch.nn.Module", examples: list[Example]) -> dict[str, float]:
        """Precision of the kinds named against the scene, recall of those that its brief caption names."""
        import torch

        model: Any = module.model
        right = said = found = wanted = 0
        for start in range(0, len(examples), 50):
            some = examples[start : start + 50]
            pixels = torch.from_numpy(np.stack([example.pixels() for example in some]))
            with torch.inference_mode():
                tokens = _greedy(model, normalised(pixels.to(model.logit_scale.device)))
            for example, row in zip(some, tokens.tolist(), strict=True):
                named = kinds_of(self.tokenizer.decode(row, skip_special_tokens=True))
                there = {thing["kind"] for thing in example.truth["objects"]}
                told = set(example.truth["captions"]["brief"]["counts"])
                right, said = right + len(named & there), said + len(named)
                found, wanted = found + len(named & told), wanted + len(told)
        precision, recall = right / max(said, 1), found / max(wanted, 1)
        return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-9)}

    def save(self, module: "torch.nn.Module", folder: Path) -> None:
        """A folder as open_clip's `local-dir:` reads it."""
        if self.vocabulary is None:
            raise RuntimeError("call learn(examples) first")
        self.vocabulary.network(CONFIG, folder)
        save(module.model, folder)


def kinds_of(text: str) -> set[str]:
    """The kinds of things whose name, or plural, stands in a text as a word."""
    words = set(text.lower().replace(".", " ").replace(",", " ").split())
    return {kind.name for kind in KINDS.values() if {kind.name, kind.plural} & words}


def _greedy(model: Any, images: "torch.Tensor") -> "torch.Tensor":
    """The likeliest words one after another, without a cache: scenes are few and captions short here."""
    import torch

    latent, cells = model._encode_image(images)
    tokens = torch.ones((len(images), 1), dtype=torch.long, device=images.device)
    ended = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for _ in range(_LENGTH - 2):
        padded = torch.nn.functional.pad(tokens, (0, _LENGTH - tokens.shape[1]), value=PAD)
        logits = model(None, padded, image_latent=latent, image_embs=cells)["logits"][:, tokens.shape[1] - 1]
        step = torch.where(ended, PAD, logits.argmax(dim=-1))
        tokens = torch.cat([tokens, step[:, None]], dim=1)
        ended |= step == 2
    return tokens


COCA: Final = Coca("coca", Course(steps=10_500, batch=32, rate=1.2e-3))
