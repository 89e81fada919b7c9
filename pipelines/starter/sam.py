"""The SAM: segment-anything's own classes, small, at 256 pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.starter.augment import relight
from pipelines.starter.scenes import SIZE, Example
from pipelines.starter.trainer import Course, quickly
from specialists.sam import MASK_STRIDE, SamArchitecture, build_sam, predict_masks

if TYPE_CHECKING:
    import torch

ARCHITECTURE: Final = SamArchitecture(
    image_size=SIZE, patch_size=8, embed_dim=96, depth=4, heads=3, window_size=8, global_attention_layers=(3,),
    out_channels=64, mask_in_channels=4, decoder_heads=4, decoder_mlp_dim=256, iou_head_dim=64, multimask_outputs=0,
)  # fmt: skip
_MASK: Final = SIZE // ARCHITECTURE.patch_size * MASK_STRIDE  # values on a side of a mask
_BOXES: Final = 6  # of one image in a step
_FOCUS: Final = 2.0  # gamma of the focal loss; segment-anything's paper (arXiv:2304.02643) trains with focal and dice
_SHIFT: Final = 0.08  # standard deviation of a box's sides, as a part of them: detectors are not exact


@dataclass(frozen=True, slots=True)
class SegmentAnything:
    """Boxes are the true ones half of the time, and about the true ones otherwise."""

    name: str
    course: Course

    def build(self) -> "torch.nn.Module":
        return build_sam(ARCHITECTURE)

    def batch(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        import torch

        pixels, boxes, masks, counts = [], [], [], []
        cell = SIZE // _MASK
        for example in examples:
            true = example.boxes()
            chosen = rng.permutation(len(true))[:_BOXES]
            sides = np.tile(true[chosen, 2:] - true[chosen, :2], 2)
            shift = rng.normal(0, _SHIFT, (len(chosen), 4)) * sides * (rng.random((len(chosen), 1)) < 0.5)
            whole = np.stack([example.mask(int(i)) for i in chosen]).astype(np.float32)
            masks.append(whole.reshape(-1, _MASK, cell, _MASK, cell).mean(axis=(2, 4)))
            given = np.clip(true[chosen] + shift, 0, SIZE).astype(np.float32)
            pixels.append(relight(example.pixels(), rng))
            boxes.append(given)
            counts.append(len(chosen))
        return {
            "pixels": torch.from_numpy(np.stack(pixels)),
            "boxes": torch.from_numpy(np.concatenate(boxes)),
            "masks": torch.from_numpy(np.concatenate(masks)),
            "counts": counts,
        }

    def loss(self, module: "torch.nn.Module", batch: dict[str, Any]) -> "torch.Tensor":
        import torch
        from torch.nn import functional as f

        sam: Any = module
        with quickly(batch["pixels"].device.type):
            embeddings = sam.image_encoder(_normalised(sam, batch["pixels"]))
            logits, promised = predict_masks(sam, embeddings, batch["boxes"].split(batch["counts"]))
        logits, promised, wanted = logits.float(), promised.float(), batch["masks"]
        chances = logits.sigmoid()
        hit = chances * wanted + (1 - chances) * (1 - wanted)
        errors = f.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * (1 - hit) ** _FOCUS
        dice = 1 - (2 * (chances * wanted).sum((1, 2)) + 1) / (chances.sum((1, 2)) + wanted.sum((1, 2)) + 1)
        # Of the pixels near a thing, not of the picture: small things weigh as much as large ones.
        near = errors.sum((1, 2)) / wanted.sum((1, 2)).clamp(min=16)
        with torch.no_grad():
            seen, true = logits > 0, wanted > 0.5
            reached = (seen & true).sum((1, 2)) / (seen | true).sum((1, 2)).clamp(min=1)
        return torch.as_tensor(near.mean() + dice.mean() + 0.5 * (promised - reached).square().mean())

    def validate(self, module: "torch.nn.Module", examples: list[Example]) -> dict[str, float]:
        """Mean IoU of masks at full size, given the true boxes."""
        import torch
        from torch.nn import functional as f

        sam: Any = module
        overlaps: list[float] = []
        for example in examples:
            true = torch.from_numpy(np.stack([example.mask(i) for i in range(len(example.boxes()))])).to(sam.device)
            with torch.inference_mode():
                image = torch.from_numpy(example.pixels())[None].to(sam.device)
                embeddings = sam.image_encoder(_normalised(sam, image))
                logits, _ = predict_masks(sam, embeddings, [torch.from_numpy(example.boxes()).to(sam.device)])
                seen = f.interpolate(logits[None], (SIZE, SIZE), mode="bilinear")[0] > 0
            overlaps += ((seen & true).sum((1, 2)) / (seen | true).sum((1, 2))).tolist()
        return {"miou": float(np.mean(overlaps))}

    def save(self, module: "torch.nn.Module", folder: Path) -> None:
        """`sam.pth`, a state dict as segment-anything's own, in half precision, and the architecture beside it."""
        import torch

        torch.save({key: value.half() for key, value in module.state_dict().items()}, folder / "sam.pth")
        (folder / "sam.json").write_text(ARCHITECTURE.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _normalised(sam: Any, pixels: "torch.Tensor") -> "torch.Tensor":
    image: torch.Tensor = (pixels.permute(0, 3, 1, 2).float() - sam.pixel_mean) / sam.pixel_std
    return image


SAM: Final = SegmentAnything("sam", Course(steps=1800, batch=8, rate=1e-3))
