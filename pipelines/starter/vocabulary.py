"""The words of the two open_clip networks: a tokenizer that knows each of them, as open_clip's folders hold it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

SPECIAL: Final = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(4)
SIDE: Final = 224  # of the pictures that both see, in pixels
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
CONFIG: Final = "open_clip_config.json"
WEIGHTS: Final = "open_clip_model.safetensors"
_LARGE: Final = 4096  # numbers
_PREPROCESS: Final = {
    "size": SIDE, "mean": list(MEAN), "std": list(STD), "interpolation": "bilinear", "resize_mode": "squash",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every word and mark of punctuation is one token; `lowercase` when capitals mean nothing."""

    words: tuple[str, ...]
    lowercase: bool

    @staticmethod
    def of(texts: Iterable[str], lowercase: bool) -> "Vocabulary":
        """The words of `texts`, sorted."""
        bare = Vocabulary((), lowercase).tokenizer().backend_tokenizer
        found = set()
        for text in texts:
            plain = text.lower() if lowercase else text
            found |= {word for word, _ in bare.pre_tokenizer.pre_tokenize_str(plain)}
        return Vocabulary(tuple(sorted(found)), lowercase)

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """As a tokenizer of transformers; texts get a beginning and an end."""
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        ids = {word: i for i, word in enumerate((*SPECIAL, *self.words))}
        tokens = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL[UNK]))
        if self.lowercase:
            tokens.normalizer = normalizers.Lowercase()
        tokens.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
        ends = [(SPECIAL[BOS], BOS), (SPECIAL[EOS], EOS)]
        tokens.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=ends)
        tokens.decoder = decoders.WordPiece(prefix="##", cleanup=True)
        pad, bos, eos, unk = SPECIAL
        return PreTrainedTokenizerFast(
            tokenizer_object=tokens, pad_token=pad, bos_token=bos, eos_token=eos, unk_token=unk
        )

    def network(self, config: dict[str, Any], folder: Path) -> "torch.nn.Module":
        """Write `folder` as open_clip's `local-dir:` reads it, weights apart; the untrained network of it."""
        import open_clip
        import torch

        text = config["text_cfg"] | {"vocab_size": len(SPECIAL) + len(self.words)}
        both = {"model_cfg": config | {"text_cfg": text}, "preprocess_cfg": _PREPROCESS}
        (folder / CONFIG).write_text(json.dumps(both, indent=2) + "\n", encoding="utf-8")
        self.tokenizer().save_pretrained(folder)
        model: torch.nn.Module = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        decoder: Any = getattr(model, "text_decoder", None)
        if decoder is not None:  # open_clip leaves this one as memory was
            torch.nn.init.normal_(decoder.text_projection, std=decoder.ln_final.normalized_shape[0] ** -0.5)
        return model


def ids(tokenizer: "PreTrainedTokenizerFast", texts: list[str], length: int) -> "torch.Tensor":
    """Token ids (n, length), padded or cut."""
    coded = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    found: torch.Tensor = coded["input_ids"]
    return found


def normalised(pixels: "torch.Tensor") -> "torch.Tensor":
    """Pictures (n, h, w, 3) in 0..255 as the networks see them (n, 3, SIDE, SIDE)."""
    from torch.nn.functional import interpolate

    image = interpolate(pixels.permute(0, 3, 1, 2).float(), (SIDE, SIDE), mode="bilinear", antialias=True)
    return (image / 255 - MEAN[0]) / STD[0]


def save(model: "torch.nn.Module", folder: Path) -> None:
    """The weights in half precision, large matrices in eight bits (e4m3): CLIP scored the same on 100 scenes."""
    import torch
    from safetensors.torch import save_file

    def small(value: torch.Tensor) -> torch.Tensor:
        large = value.ndim > 1 and value.numel() > _LARGE
        return value.to(torch.float8_e4m3fn if large else torch.float16).contiguous()

    path = folder / WEIGHTS
    save_file({key: small(value) for key, value in model.state_dict().items()}, path)
    path.chmod(0o644)  # safetensors makes files that nobody else can read
