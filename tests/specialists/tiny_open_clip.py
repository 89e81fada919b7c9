"""Random CLIP and CoCa models of a few thousand weights, written as open_clip writes them: half precision, safetensors."""

import json
from pathlib import Path
from typing import Any

WORDS = ("a", "the", "of", "in", "on", "with", "plain", "red", "blue", "green", "white", "picture", "photograph", "street",
         "thing", "dog", "cat", "bird", "left", "right", ".", ",")  # fmt: skip
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0), "white": (255, 255, 255)}
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PREPROCESS = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
VISION = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 2, "mlp_ratio": 2.0}
TEXT = {
    "context_length": 12,
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hf_tokenizer_name": "words",
    "width": 32,
    "heads": 4,
    "layers": 2,
    "mlp_ratio": 2.0,
    "pad_id": 0,
    "eos_id": 2,
    "pool_type": "eos",
}
CLIP = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}
COCA = {
    "embed_dim": 32,
    "custom_text": True,
    "pad_id": 0,
    "vision_cfg": VISION
    | {"attentional_pool": True, "attn_pooler_queries": 9, "attn_pooler_heads": 2, "output_tokens": True},
    "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {"context_length": 12, "width": 32, "heads": 2, "layers": 2},
}


def write_tokenizer(folder: Path) -> None:
    """Whole words, with begin and end, as transformers writes a tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate((*SPECIAL, *WORDS))}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    words.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(folder)


def make(folder: Path, described: dict[str, Any], *, preprocess: dict[str, Any] = PREPROCESS, seed: int = 0) -> Any:
    """A folder as open_clip reads it, without weights yet, and the random model for it.

    Weights are scaled up, so that what the model says depends on what it sees and on every word before.
    """
    import open_clip
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": described, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(text)
    if "hf_tokenizer_name" in described["text_cfg"]:
        write_tokenizer(folder)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "conv1" not in name:
                weight.normal_(0, 1 if "embedding" in name else 2 * weight.shape[-1] ** -0.5)
    return model


def save(folder: Path, model: Any) -> Path:
    """The weights, in half precision; what is loaded is exactly what the file holds."""
    from safetensors.torch import save_file

    save_file(
        {name: w.half().contiguous() for name, w in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return folder


def seeing_clip(folder: Path) -> Path:
    """A random CLIP whose texts of red and blue mean red and blue: its last text layer is solved for that.

    The embeddings of the two texts become those of a red and of a blue square, prepared by open_clip's own transform.
    """
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    model = make(folder, CLIP)
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    squares = torch.stack([transform(Image.new("RGB", (64, 64), colour)) for colour in ("red", "blue")])
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["a plain red picture", "a plain blue picture"])
    with torch.no_grad():
        model.text_projection.copy_(torch.eye(32, 24))
        wide = torch.nn.Parameter(torch.eye(32))
        seen, model.text_projection = model.encode_image(squares), wide
        solved = torch.linalg.pinv(model.encode_text(tokens)) @ seen
        model.text_projection = torch.nn.Parameter(solved)
    return save(folder, model)


def random_coca(folder: Path, described: dict[str, Any] = COCA, seed: int = 0) -> Path:
    return save(folder, make(folder, described, seed=seed))


def seeing_coca(folder: Path) -> Path:
    """A CoCa that has learned, in a fifth of a second, to say the colour of a square as open_clip's transform shows it."""
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    model = make(folder, COCA)
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    squares = torch.stack([transform(Image.new("RGB", (64, 64), value)) for value in COLOURS.values()])
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")([f"a plain {name} picture, a thing." for name in COLOURS])
    steps = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(40):
        answer = model(squares, tokens)
        loss = torch.nn.functional.cross_entropy(answer["logits"].transpose(1, 2), answer["labels"], ignore_index=0)
        steps.zero_grad()
        loss.backward()
        steps.step()
    return save(folder, model)
