"""Segment Anything as a Segmenter: one embedding an image, one mask a box.

The public checkpoints (vit_b, vit_l, vit_h) and small ones of the same classes are built by one function from a
`SamArchitecture`; a small one keeps its architecture as JSON beside its weights, under the same stem.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine import masks
from engine.errors import ConfigError
from engine.geometry import Boxes, clip, is_box
from engine.records import Image, Masks, Pixels
from specialists.base import SpecialistConfig, specialist
from specialists.checkpoints import load_weights, require, torch_load

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam

PIXEL_MEAN: Final = (123.675, 116.28, 103.53)  # RGB in 0..255; segment_anything/build_sam.py
PIXEL_STD: Final = (58.395, 57.12, 57.375)
MASK_STRIDE: Final = 4  # a mask has this many values on a side for each value of the embedding; MaskDecoder
# A mask may leave its box by this much of the box's sides, and by at least so many pixels, because boxes are never
# exact; what lies farther away is another thing. Our choice.
MARGIN: Final = 0.1
MIN_MARGIN: Final = 2.0
# Values of image embeddings that are decoded at once: 16 boxes of the public models, about 1 GB in the decoder.
_VALUES_AT_ONCE: Final = 1 << 24


class SamArchitecture(BaseModel):
    """The sizes of a SAM; the defaults are vit_b's (segment_anything/build_sam.py).

    `out_channels` is the width of the image embedding, of the prompts and of the mask decoder, which must agree.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = Field(1024, ge=16, description="side of the square input, in pixels")
    patch_size: int = Field(16, ge=1, description="pixels of a side for each value of the embedding")
    embed_dim: int = Field(768, ge=1, description="width of the image encoder")
    depth: int = Field(12, ge=1, description="blocks of the image encoder")
    heads: int = Field(12, ge=1, description="attention heads of the image encoder")
    mlp_ratio: float = Field(4.0, gt=0)
    window_size: int = Field(14, ge=0, description="side of the windows of local attention; 0: all is global")
    global_attention_layers: tuple[int, ...] = Field((2, 5, 8, 11), description="blocks without windows")
    out_channels: int = Field(256, ge=8)
    mask_in_channels: int = Field(16, ge=4, description="width in which a mask prompt is read; boxes do not use it")
    decoder_depth: int = Field(2, ge=1)
    decoder_heads: int = Field(8, ge=1)
    decoder_mlp_dim: int = Field(2048, ge=1)
    iou_head_depth: int = Field(3, ge=2)
    iou_head_dim: int = Field(256, ge=1)
    multimask_outputs: int = Field(3, ge=0, description="masks beside the single one; boxes do not use them")

    @model_validator(mode="after")
    def _fits(self) -> SamArchitecture:
        # The decoder attends at half its width (TwoWayTransformer), and upscaling ends at an eighth of it.
        for whole, part, what in (
            (self.image_size, self.patch_size, "image_size must be a multiple of patch_size"),
            (self.embed_dim, self.heads, "embed_dim must be a multiple of heads"),
            (self.out_channels, 8, "out_channels must be a multiple of 8"),
            (self.out_channels, 2 * self.decoder_heads, "out_channels must be a multiple of 2 * decoder_heads"),
            (self.mask_in_channels, 4, "mask_in_channels must be a multiple of 4"),
        ):
            if whole % part:
                raise ValueError(f"{what}: {whole} / {part}")
        if any(not 0 <= layer < self.depth for layer in self.global_attention_layers):
            raise ValueError(f"global_attention_layers must lie in 0..{self.depth - 1}")
        return self

    @property
    def embedding_size(self) -> int:
        """Values on a side of the image embedding."""
        return self.image_size // self.patch_size


# segment_anything/build_sam.py
PUBLIC: Final = {
    "vit_b": SamArchitecture(),
    "vit_l": SamArchitecture(embed_dim=1024, depth=24, heads=16, global_attention_layers=(5, 11, 17, 23)),
    "vit_h": SamArchitecture(embed_dim=1280, depth=32, heads=16, global_attention_layers=(7, 15, 23, 31)),
}

PUBLIC_PLACE: Final = "https://dl.fbaipublicfiles.com/segment_anything/"
PUBLIC_FILES: Final = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}


def build_sam(architecture: SamArchitecture) -> Sam:
    """A SAM with fresh weights, in evaluation mode, on the CPU."""
    from functools import partial

    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from torch.nn import LayerNorm

    a = architecture
    encoder = ImageEncoderViT(
        img_size=a.image_size,
        patch_size=a.patch_size,
        embed_dim=a.embed_dim,
        depth=a.depth,
        num_heads=a.heads,
        mlp_ratio=a.mlp_ratio,
        out_chans=a.out_channels,
        norm_layer=partial(LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=a.window_size,
        global_attn_indexes=a.global_attention_layers,
    )
    prompts = PromptEncoder(
        embed_dim=a.out_channels,
        image_embedding_size=(a.embedding_size, a.embedding_size),
        input_image_size=(a.image_size, a.image_size),
        mask_in_chans=a.mask_in_channels,
    )
    decoder = MaskDecoder(
        transformer_dim=a.out_channels,
        transformer=TwoWayTransformer(a.decoder_depth, a.out_channels, a.decoder_heads, a.decoder_mlp_dim),
        num_multimask_outputs=a.multimask_outputs,
        iou_head_depth=a.iou_head_depth,
        iou_head_hidden_dim=a.iou_head_dim,
    )
    return Sam(encoder, prompts, decoder, list(PIXEL_MEAN), list(PIXEL_STD)).eval()


def input_shape(height: int, width: int, image_size: int) -> tuple[int, int]:
    """(height, width) of an image after resizing its longest side to `image_size`; each at least 1.

    Rounded as segment_anything/utils/transforms.py does.
    """
    scale = image_size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def to_input(pixels: Pixels, image_size: int) -> NDArray[np.float32]:
    """An RGB image (h, w, 3) as the encoder's input (3, image_size, image_size).

    Resized by Pillow's bilinear filter as the library does, normalised, and padded with 0 at the right and the bottom.
    """
    from PIL import Image as Picture

    height, width = input_shape(pixels.shape[0], pixels.shape[1], image_size)
    small = np.asarray(Picture.fromarray(pixels).resize((width, height), Picture.Resampling.BILINEAR), np.float32)
    normalised = (small - np.array(PIXEL_MEAN, np.float32)) / np.array(PIXEL_STD, np.float32)
    canvas = np.zeros((3, image_size, image_size), np.float32)
    canvas[:, :height, :width] = normalised.transpose(2, 0, 1)
    return canvas


def to_input_boxes(boxes: Boxes, height: int, width: int, image_size: int) -> Boxes:
    """Boxes (n, 4) of an image of that size in the pixels of its input."""
    new_height, new_width = input_shape(height, width, image_size)
    scaled: Boxes = boxes * np.array([new_width / width, new_height / height] * 2, np.float32)
    return scaled


def predict_masks(
    sam: Sam, embeddings: torch.Tensor, boxes: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The masks of all boxes of a batch of images at once; differentiable, so training and inference share it.

    `embeddings` (images, channels, e, e) are `sam.image_encoder`'s; `boxes` has for each image a tensor (n_i, 4) in
    pixels of the input. Returns logits (n, 4e, 4e) and predicted IoU (n,), in the order of images and their boxes.

    Only the first mask token is decoded: it is the one that the library's authors give for a prompt without ambiguity
    (`multimask_output=False`; segment_anything/predictor.py), as a box is.
    """
    import torch

    counts = torch.tensor([len(of_image) for of_image in boxes], device=embeddings.device)
    owner = torch.repeat_interleave(torch.arange(len(boxes), device=embeddings.device), counts)
    flat = torch.cat([of_image.to(embeddings.device, torch.float32) for of_image in boxes])
    sparse, dense = sam.prompt_encoder(points=None, boxes=flat, masks=None)
    decoder = sam.mask_decoder
    learned = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([learned.expand(len(flat), -1, -1), sparse], dim=1)
    image = embeddings[owner] + dense
    places = sam.prompt_encoder.get_dense_pe().expand(len(flat), -1, -1, -1)
    answers, seen = decoder.transformer(image, places, tokens)
    pixels = decoder.output_upscaling(seen.transpose(1, 2).reshape(image.shape))
    weights = decoder.output_hypernetworks_mlps[0](answers[:, 1])
    logits = torch.einsum("nc,nchw->nhw", weights, pixels)
    return logits, decoder.iou_prediction_head(answers[:, 0])[:, 0]


def save_sam(sam: Sam, architecture: SamArchitecture, path: Path) -> None:
    """Write weights in half precision to `path` (.pth), and the architecture as JSON beside them."""
    import torch

    torch.save({name: value.half() for name, value in sam.state_dict().items()}, path)
    path.with_suffix(".json").write_text(architecture.model_dump_json(indent=2) + "\n")


def read_architecture(path: Path) -> SamArchitecture:
    """The architecture in a JSON file.

    Raises:
        ConfigError: the file does not describe one; the message says where.
    """
    try:
        return SamArchitecture.model_validate(json.loads(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ConfigError(f"{path} is no architecture of a SAM: {where}: {first['msg']}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no architecture of a SAM: it is not JSON ({error}).") from error


class SamConfig(SpecialistConfig):
    """Which weights."""

    batch_size: int = Field(4, ge=1, description="images embedded at once on a GPU; one needs up to 1 GB")
    path: Path = Field(description="the weights, a state dict (.pth)")
    model: Literal["vit_b", "vit_l", "vit_h", "json"] = Field(
        "vit_b", description='a public architecture, or "json": the file beside the weights with the same stem'
    )


@specialist(
    "segment_anything",
    "segmenter",
    needs=("segment_anything", "torch", "torchvision"),
    licence="Apache-2.0",
    weights="a .pth file",
    gpus=1.0,
)
class SegmentAnything:
    """Segment Anything (Kirillov et al. 2023), prompted with boxes."""

    Config = SamConfig

    def __init__(self, config: SamConfig) -> None:
        self.config = config
        self._sam: Any = None
        self._cuda = False

    def weights(self) -> Sequence[Path]:
        """The weights, and their architecture where it is a file.

        Raises:
            WeightsMissing: one is not there; the message says how to get it.
            ConfigError: the architecture beside them is none.
        """
        path, model = self.config.path, self.config.model
        if model == "json":
            found = require(path, "make it again, or correct the path in the configuration")
            beside = require(path.with_suffix(".json"), f'model = "json" needs it beside {path}')
            read_architecture(beside)
            return [found, beside]
        name = PUBLIC_FILES[model]
        return [require(path, f"get {name} from {PUBLIC_PLACE}{name}, or correct the path in the configuration")]

    def load(self, device: str) -> None:
        """Build the model and fill it.

        Raises:
            WeightsMissing: as `weights`.
            ConfigError: the weights are damaged or of another architecture.
        """
        path, *beside = self.weights()
        sam = build_sam(read_architecture(beside[0]) if beside else PUBLIC[self.config.model])
        load_weights(sam, torch_load(path), path)
        self._sam = sam.to(device).requires_grad_(False)
        self._cuda = device.startswith("cuda")

    def segment(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[Masks]:
        """A mask for each box (n, 4) of each image, within the box and a margin of a tenth of its sides, and the IoU
        that SAM predicts for it; None and 0 for a box outside the image or without area, and for an empty mask."""
        asked = [clip(of_image, image.width, image.height) for image, of_image in zip(images, boxes, strict=True)]
        answers = [Masks([None] * len(of_image), np.zeros(len(of_image), np.float32)) for of_image in asked]
        busy = [i for i, of_image in enumerate(asked) if is_box(of_image).any()]
        for i, embedding in zip(busy, self._embeddings([images[i] for i in busy]), strict=True):
            answers[i] = self._decode(images[i], embedding, asked[i])
        return answers

    def _embeddings(self, images: Sequence[Image]) -> Iterator[torch.Tensor]:
        """The embedding (1, channels, e, e) of each image.

        On a CPU they are made one by one: a batch gains nothing there, and rounds differently.
        """
        import torch

        encoder = self._sam.image_encoder
        step = self.config.batch_size if self._cuda else 1
        for lo in range(0, len(images), step):
            inputs = np.stack([to_input(image.pixels, encoder.img_size) for image in images[lo : lo + step]])
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=self._cuda):
                found = encoder(torch.from_numpy(inputs).to(self._sam.device))
            yield from found.float().split(1)

    def _decode(self, image: Image, embedding: torch.Tensor, boxes: Boxes) -> Masks:
        import torch

        side = self._sam.image_encoder.img_size
        inputs = to_input_boxes(boxes, image.height, image.width, side)
        rows, columns = (self._enlarging(image, axis) for axis in (0, 1))
        windows = _windows(boxes, image.height, image.width)
        codes: list[str | None] = [None] * len(boxes)
        scores = np.zeros(len(boxes), np.float32)
        wanted = np.flatnonzero(is_box(boxes))
        at_once = max(1, _VALUES_AT_ONCE // embedding.numel())
        for lo in range(0, len(wanted), at_once):
            chunk = wanted[lo : lo + at_once]
            with torch.inference_mode():
                logits, ious = predict_masks(self._sam, embedding, [torch.from_numpy(inputs[chunk])])
                scores[chunk] = np.clip(np.nan_to_num(ious.cpu().numpy()), 0, 1)
                for i, small in zip(chunk, logits, strict=True):
                    left, top, right, bottom = windows[i]
                    mask = rows[top:bottom] @ small @ columns[left:right].T > self._sam.mask_threshold
                    codes[i] = masks.encode_part(mask.cpu().numpy(), left, top, image.height, image.width)
        scores[[code is None for code in codes]] = 0
        return Masks(codes, scores)

    def _enlarging(self, image: Image, axis: int) -> torch.Tensor:
        """(pixels of the image, values of a mask) along one axis: a product with it enlarges a mask to the image.

        The same two linear steps as the library's `postprocess_masks`, so that of an enlarged mask only the window
        around the box need be computed.
        """
        import torch
        from torch.nn.functional import interpolate

        side = self._sam.image_encoder.img_size
        used = input_shape(image.height, image.width, side)[axis]
        values = MASK_STRIDE * self._sam.prompt_encoder.image_embedding_size[axis]
        unit = torch.eye(values, device=self._sam.device)[None]
        inputs = interpolate(unit, side, mode="linear", align_corners=False)[..., :used]
        found: torch.Tensor = interpolate(inputs, (image.height, image.width)[axis], mode="linear")[0].T
        return found


def _windows(boxes: Boxes, height: int, width: int) -> NDArray[np.int64]:
    """Whole pixels (n, 4) that the mask of each box may cover: the box and its margin, inside the image."""
    margin = np.maximum(MARGIN * (boxes[:, 2:] - boxes[:, :2]), MIN_MARGIN)
    low, high = np.floor(boxes[:, :2] - margin), np.ceil(boxes[:, 2:] + margin)
    limit = np.array([width, height] * 2)
    windows: NDArray[np.int64] = np.clip(np.nan_to_num(np.concatenate([low, high], axis=1)), 0, limit).astype(np.int64)
    return windows
