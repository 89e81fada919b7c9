"""CoCa as a Captioner of images and crops, through open_clip, decoded by our own loop.

A caption is predicted by two towers: the text tower reads the tokens so far, and the multimodal decoder reads its
states and, by cross attention, the image's tokens. Both are causal, so what they computed for earlier tokens is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field

from engine.errors import ConfigError
from engine.records import Captions, Granularity, Image
from specialists.base import specialist
from specialists.decoding import Rules, Sentence, decode
from specialists.open_clip_models import Found, OpenClipConfig, load_model, load_vocabulary, look
from specialists.open_clip_pictures import prepare, preprocessing

if TYPE_CHECKING:
    import torch
    from open_clip.transform import PreprocessCfg
    from torch.nn import MultiheadAttention

    from specialists.open_clip_models import Vocabulary

EXAMPLE: Final = "laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k"
# open_clip makes CustomResidualAttentionBlock for each of these (transformer.py, Transformer).
_CUSTOM_BLOCKS: Final = ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc")


class CocaConfig(OpenClipConfig):
    """Which weights, and how to speak."""

    granularity: Granularity = Field("brief", description="what its texts count as")
    max_tokens: int = Field(30, ge=1, description="longest text, in tokens; never beyond the model's context")
    min_tokens: int = Field(1, ge=1, description="shortest text, in tokens")
    beams: int = Field(1, ge=1, le=64, description="width of the beam search; 1: greedy")
    repetition: float = Field(1.0, ge=1, description="above 1, tokens already said become less likely; 1.2 is usual")


@specialist(
    "coca",
    "captioner",
    needs=("open_clip", "torch"),
    licence="MIT; weights have their own",
    weights="a folder or checkpoint of open_clip",
    crops=True,
    gpus=1.0,
)
class Coca:
    """CoCa (Yu et al. 2022) through open_clip, for whole images and for crops."""

    Config = CocaConfig

    def __init__(self, config: CocaConfig) -> None:
        self.config = config
        self._device = "cpu"
        self._model: Any = None
        self._wanted: PreprocessCfg
        self._vocabulary: Vocabulary
        self._rules: Rules

    def weights(self) -> Sequence[Path]:
        """The files of the model.

        Raises:
            WeightsMissing: one is not there; the message says how to get it.
            ConfigError: the architecture is not known, is no CoCa, or cannot be loaded without a network.
        """
        return self._look().files

    def _look(self) -> Found:
        found = look(self.config, EXAMPLE)
        check_architecture(found.described, self.config.path)
        return found

    def load(self, device: str) -> None:
        """Build the model and fill it.

        Raises:
            WeightsMissing, ConfigError: as `weights`, or the files are damaged.
        """
        found = self._look()
        config, model = self.config, load_model(self.config, device)
        words = load_vocabulary(config, found)
        if words.bos is None or words.eos is None:
            raise ConfigError(
                f"the tokenizer of {config.path} has no tokens that begin and end a text: name its bos_token and eos_token."
            )
        # In training the last token is only ever predicted, never read (coca_model.py, forward).
        longest = min(config.max_tokens, min(model.text.context_length, model.context_length) - 1)
        # A model may have more rows than its tokenizer has words.
        silent = {*words.silent, *range(words.size, model.text.vocab_size)} - {words.eos}
        self._rules = Rules(
            words.bos, words.eos, sorted(silent), longest, config.min_tokens, config.beams, config.repetition
        )
        self._model, self._vocabulary, self._device = model, words, device
        self._wanted = preprocessing(model)

    def caption(self, images: Sequence[Image]) -> list[Captions]:
        """One text an image, scored by the geometric mean of its tokens' probabilities; none where nothing is said."""
        if not images:
            return []
        prepared = prepare([image.pixels for image in images], self._wanted)
        return [self._captions(said) for said in say(self._model, prepared.to(self._device), self._rules)]

    def _captions(self, said: Sentence) -> Captions:
        text = self._vocabulary.decode(said.tokens)
        if not text:
            return Captions([], [], np.zeros(0, np.float32))
        return Captions([text], [self.config.granularity], np.array([said.score], np.float32))


def say(model: Any, pictures: torch.Tensor, rules: Rules) -> list[Sentence]:
    """The sentence of each prepared picture (n, 3, H, W), by open_clip's `CoCa`."""
    import torch

    with torch.inference_mode():
        seen = model(pictures)["image_embs"]
        return decode(CocaDecoder(model, seen, rules.max_tokens), len(pictures), rules)


def check_architecture(described: dict[str, Any], path: Path) -> None:
    """Raises: ConfigError: not a CoCa, or one whose towers cannot be decoded step by step."""
    text = described["text_cfg"]
    unlike = [
        key
        for key in ("no_causal_mask", "block_type", *_CUSTOM_BLOCKS)
        if text.get(key) not in (None, False, "default")
    ]
    if "multimodal_cfg" not in described or not described.get("custom_text"):
        raise ConfigError(f"{path} is no CoCa: its model_cfg lacks multimodal_cfg or custom_text. Use it as a scorer.")
    if unlike:
        raise ConfigError(
            f"the text tower of {path} has {', '.join(unlike)}; captions need a causal one of usual blocks."
        )


class CocaDecoder:
    """The `Decoder` of one batch: open_clip's `CoCa` fed token by token.

    `seen` (n, m, width) are the image's tokens. Their keys and values are computed once, and the beams of an image
    read them as so many queries, so they are never copied. Keys and values of the words lie in one tensor, time first:
    (length, 2, layers, n * w, width).
    """

    def __init__(self, model: Any, seen: torch.Tensor, length: int) -> None:
        text, decoder = model.text, model.text_decoder
        self.device = seen.device
        self._text, self._decoder = text, decoder
        self._past = 0
        layers = len(text.transformer.resblocks) + len(decoder.resblocks)
        self._words = seen.new_empty((length, 2, layers, len(seen), text.width))
        self._seen = [_keys_and_values(block.attn, block.ln_1_kv(seen)) for block in decoder.cross_attn]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        text, decoder = self._text, self._decoder
        x = text.token_embedding(tokens.flatten()) + text.positional_embedding[self._past]
        blocks = list(text.transformer.resblocks)
        for layer, block in enumerate(blocks):
            x = self._read_words(layer, block, x)
        if text.cls_emb is None:  # with a class token the states go on as they are (transformer.py, TextTransformer)
            x = text.ln_final(x)
        pairs = zip(decoder.resblocks, decoder.cross_attn, self._seen, strict=True)
        for layer, (block, crossing, seen) in enumerate(pairs, start=len(blocks)):
            x = self._read_words(layer, block, x)
            x = _read_image(crossing, x.unflatten(0, tokens.shape), seen).flatten(0, 1)
        self._past += 1
        logits = decoder.ln_final(x) @ decoder.text_projection
        return logits.unflatten(0, tokens.shape)

    def keep(self, sentences: torch.Tensor, beams: torch.Tensor) -> None:
        width = self._words.shape[3] // len(self._seen[0][0])
        rows = (sentences[:, None] * width + beams).flatten()
        past = self._words[: self._past]
        kept = self._words.new_empty((*self._words.shape[:3], len(rows), self._words.shape[4]))
        kept[: self._past] = past.index_select(3, rows)
        self._words = kept
        if len(sentences) < len(self._seen[0][0]):
            self._seen = [(keys[sentences], values[sentences]) for keys, values in self._seen]

    def _read_words(self, layer: int, block: Any, x: torch.Tensor) -> torch.Tensor:
        """One block of causal attention for the newest words (n * w, width)."""
        from torch.nn.functional import linear, scaled_dot_product_attention

        attention = block.attn
        query, *found = linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=1)
        for which in (0, 1):
            self._words[self._past, which, layer] = found[which]
        past = self._words[: self._past + 1, :, layer].unflatten(3, (attention.num_heads, -1))
        keys, values = past.permute(1, 2, 3, 0, 4)  # each (n * w, heads, t, width of a head)
        heads = query.unflatten(1, (attention.num_heads, 1, -1))
        read = scaled_dot_product_attention(heads, keys, values).flatten(1)
        return _onward(block, x, attention.out_proj(read))


def _keys_and_values(attention: MultiheadAttention, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Image tokens (n, m, width) → keys and values (n, heads, m, width of a head)."""
    from torch.nn.functional import linear

    width = seen.shape[2]
    both = linear(seen, attention.in_proj_weight[width:], attention.in_proj_bias[width:])
    keys, values = both.unflatten(2, (2, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return keys, values


def _read_image(block: Any, x: torch.Tensor, seen: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """One block of cross attention: words (n, w, width) ask the image's keys and values."""
    from torch.nn.functional import linear, scaled_dot_product_attention

    attention, width = block.attn, x.shape[2]
    query = linear(block.ln_1(x), attention.in_proj_weight[:width], attention.in_proj_bias[:width])
    heads = query.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
    read = scaled_dot_product_attention(heads, *seen).transpose(1, 2).flatten(2)
    return _onward(block, x, attention.out_proj(read))


def _onward(block: Any, x: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """The rest of a residual block, after what its attention read."""
    x = x + block.ls_1(read)
    return x + block.ls_2(block.mlp(block.ln_2(x)))
