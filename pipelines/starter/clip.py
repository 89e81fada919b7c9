"""The CLIP: how well a text fits a scene or the crop of a thing."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.palette import COLOURS
from pipelines.starter import dense, phrases
from pipelines.starter.augment import AWAY, cut_out, plain, relight
from pipelines.starter.scenes import Example
from pipelines.starter.trainer import Course, quickly
from pipelines.starter.vocabulary import EOS, PAD, SIDE, Vocabulary, ids, normalised, save

if TYPE_CHECKING:
    import torch

_WIDTH: Final = 128
_LENGTH: Final = 64
CONFIG: Final[dict[str, Any]] = {
    "embed_dim": _WIDTH,
    "vision_cfg": {"image_size": SIDE, "layers": [1, 2, 2, 1], "width": 16, "head_width": 32},
    "text_cfg": {"context_length": _LENGTH, "width": _WIDTH, "heads": 4, "layers": 3, "hf_tokenizer_name": "words",
                 "pad_id": PAD, "eos_id": EOS, "pool_type": "eos"},
}  # fmt: skip
_STRIDE: Final = 32  # of its last feature map
_CELLS: Final = SIDE // 16  # on a side, of which the dense teacher asks: four a place of that map
_FEATURES: Final = CONFIG["vision_cfg"]["width"] * 32
_CROPS: Final = 0.45  # of the pictures are one thing, cut out
_PLAIN: Final = 0.03  # are of one colour
_GRANULARITIES: Final = ("brief", "detailed", "more_detailed")
_AMONG: Final = (0.55, 0.25, 0.2)
CHOICES: Final = 20  # captions to choose from when it is validated


@dataclass(slots=True)
class Clip:
    """Texts of a batch that are the same count as one."""

    name: str
    course: Course
    vocabulary: Vocabulary | None = None
    tokenizer: Any = None

    def learn(self, examples: list[Example]) -> None:
        """Take the words of the captions of `examples`, and those of plain pictures."""
        said = {caption["text"] for example in examples for caption in example.truth["captions"].values()}
        plain = [f"a plain {colour} picture photograph of" for colour in COLOURS]
        self.vocabulary = Vocabulary.of([*said, *phrases.words(), *plain], lowercase=True)
        self.tokenizer = self.vocabulary.tokenizer()

    def build(self) -> "torch.nn.Module":
        import torch

        if self.vocabulary is None:
            raise RuntimeError("call learn(examples) first")
        student = torch.nn.Module()
        with tempfile.TemporaryDirectory() as folder:
            student.model = self.vocabulary.network(CONFIG, Path(folder))
        student.dense = dense.head(_FEATURES, 4)
        return student

    def batch(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        import torch

        shown = [self._shown(example, rng) for example in examples]
        return {
            "pixels": torch.from_numpy(np.stack([relight(image, rng) for image, _, _ in shown])),
            "ids": ids(self.tokenizer, [text for _, text, _ in shown], _LENGTH),
            "dense": dense.stacked([wanted for _, _, wanted in shown]),
        }

    @staticmethod
    def _shown(example: Example, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str, dict[str, NDArray[Any]]]:
        """A picture, a text that fits it, and what the dense teacher wants."""
        matrix, chance = np.eye(2, 3), rng.random()
        thing = phrases.any_thing(example, rng) if chance < _CROPS else None
        if chance > 1 - _PLAIN:
            image, colour = plain(rng)
            return image, f"a plain {colour} picture", dense.targets(example, AWAY, mirrored=False, cells=_CELLS)
        if thing is None:
            image = example.pixels()
            text = example.truth["captions"][str(rng.choice(_GRANULARITIES, p=_AMONG))]["text"]
        else:
            image, matrix = cut_out(example, thing, rng)
            said = phrases.ATTRIBUTES[int(rng.integers(len(phrases.ATTRIBUTES)))]
            text = phrases.describe([example.truth["objects"][thing]], said)
        return image, text, dense.targets(example, matrix, mirrored=False, cells=_CELLS)

    def loss(self, module: "torch.nn.Module", batch: dict[str, Any]) -> "torch.Tensor":
        import torch
        from torch.nn import functional as f

        model: Any = module.model
        with quickly(batch["pixels"].device.type):
            features = _features(model.visual, normalised(batch["pixels"]))
            seen = dense.spread(module.dense(features.flatten(2).transpose(1, 2)), SIDE // _STRIDE)
            images = f.normalize(model.visual.attnpool(features), dim=-1)
            texts = model.encode_text(batch["ids"], normalize=True)
        alike = model.logit_scale.exp().clamp(max=100) * images.float() @ texts.float().T
        same = (batch["ids"][:, None] == batch["ids"][None]).all(dim=-1).float()
        contrast = (against(alike, same) + against(alike.T, same)) / 2
        return torch.as_tensor(contrast + 0.3 * dense.loss(seen, batch["dense"]))

    def validate(self, module: "torch.nn.Module", examples: list[Example]) -> dict[str, float]:
        """How often the scene's own brief caption is the most similar of CHOICES different ones."""
        import torch

        model: Any = module.model
        device, rng = model.logit_scale.device, np.random.default_rng(0)
        texts = [example.truth["captions"]["brief"]["text"] for example in examples]
        with torch.inference_mode():
            coded = model.encode_text(ids(self.tokenizer, texts, _LENGTH).to(device), normalize=True)
            pictures = [
                model.encode_image(
                    normalised(torch.from_numpy(np.stack([e.pixels() for e in examples[i : i + 50]])).to(device)),
                    normalize=True,
                )
                for i in range(0, len(examples), 50)
            ]
        alike = (torch.cat(pictures) @ coded.T).float().cpu().numpy()
        right = 0
        for i, own in enumerate(texts):
            others = [j for j in rng.permutation(len(texts)).tolist() if texts[j] != own][: CHOICES - 1]
            right += bool(alike[i, i] > alike[i, others].max())
        return {"one_of_20": right / len(texts)}

    def save(self, module: "torch.nn.Module", folder: Path) -> None:
        """A folder as open_clip's `local-dir:` reads it."""
        if self.vocabulary is None:
            raise RuntimeError("call learn(examples) first")
        self.vocabulary.network(CONFIG, folder)
        save(module.model, folder)


def against(alike: "torch.Tensor", same: "torch.Tensor") -> "torch.Tensor":
    """Cross entropy of each row's softmax against all columns that are the same text, evenly."""
    wanted = same / same.sum(dim=1, keepdim=True)
    return -(wanted * alike.log_softmax(dim=1)).sum(dim=1).mean()


def _features(visual: Any, images: "torch.Tensor") -> "torch.Tensor":
    """The last feature map (n, channels, SIDE / 32, SIDE / 32), before it is pooled."""
    for layer in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        images = layer(images)
    return images


CLIP: Final = Clip("clip", Course(steps=2000, batch=64, rate=1.2e-3))
