"""A tiny Florence-2 checkpoint in transformers' own format, and one that has learned a few answers by heart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.records import Pixels
from specialists.florence_targets import MARKS, PROMPTS

RATE = 8e-3
SIDE = 64  # pixels of the square input
WORDS = "a red blue picture of the left and right box dog man square idea purple photo some dogs EXIT"
BANNED = ("it", "the image")
QUAD = r"(.+?)" + r"<loc_(\d+)>" * 8


def tokenizer(texts: Sequence[str], *, marks: Sequence[str] = MARKS) -> Any:
    """A byte-level BPE with the ids of BART's special tokens, location marks and `<image>`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    added = [*marks, "<sep>", "<poly>", "</poly>", "<image>"]
    made.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in added])
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    )


def processor(*, marks: Sequence[str] = MARKS) -> Any:
    from transformers import CLIPImageProcessor, Florence2Processor

    images = CLIPImageProcessor(
        size={"height": SIDE, "width": SIDE},
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
        image_seq_length=1 + (SIDE // 32) ** 2,
    )
    kinds = ("pure_text", "description_with_bboxes", "polygons", "bboxes", "description_with_bboxes_or_polygons")
    parsers = {
        **{kind: {} for kind in kinds},
        "ocr": {"PATTERN": QUAD, "AREA_THRESHOLD": 0.0},
        "phrase_grounding": {"banned_grounding_tokens": list(BANNED)},
    }
    texts = [*PROMPTS.values(), WORDS]
    return Florence2Processor(images, tokenizer(texts, marks=marks), post_processor_config=parsers)


def network(made: Any, *, seed: int = 0, spread: float = 0.02) -> Any:
    """A random Florence-2 of 0.3 million parameters for the processor `made`."""
    import torch
    from transformers import BartConfig, Florence2Config, Florence2ForConditionalGeneration
    from transformers.models.florence2 import Florence2VisionConfig

    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    width = 48
    text = BartConfig(
        vocab_size=len(made.tokenizer),
        d_model=width,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_position_embeddings=64,
        dropout=0.0,
        init_std=spread,
        forced_eos_token_id=None,
        **ids,
    )
    vision = Florence2VisionConfig(
        depths=(1, 1, 1, 1),
        embed_dim=(8, 16, 32, 48),
        num_heads=(1, 2, 2, 4),
        num_groups=(1, 2, 2, 4),
        window_size=4,
        projection_dim=width,
        max_position_embeddings=SIDE // 32,
        drop_path_rate=0.0,
    )
    torch.manual_seed(seed)
    config = Florence2Config(text_config=text, vision_config=vision, image_token_id=made.image_token_id, **ids)
    return Florence2ForConditionalGeneration(config).eval()


def save(model: Any, made: Any, folder: Path) -> Path:
    """The checkpoint in half precision."""
    model.half().save_pretrained(folder)
    made.save_pretrained(folder)
    model.float()
    return folder


def teach(model: Any, made: Any, lessons: Sequence[tuple[Pixels, str, str]], steps: int) -> float:
    """Learn (image, prompt, answer) by heart; the last loss. The vision tower stays random, which tells colours apart."""
    import torch

    asked = {"images": [image for image, _, _ in lessons], "text": [prompt for _, prompt, _ in lessons]}
    inputs = made(**asked, return_tensors="pt", padding=True)
    said = made.tokenizer([answer for _, _, answer in lessons], return_tensors="pt", padding=True)
    labels = said["input_ids"].masked_fill(said["attention_mask"] == 0, -100)
    ids, text = inputs["input_ids"], model.model.language_model
    with torch.no_grad():
        seen = model.get_image_features(inputs["pixel_values"]).pooler_output
    learning = [*text.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        embedded = model.get_input_embeddings()(ids).masked_scatter((ids == made.image_token_id)[..., None], seen)
        heard = text.encoder(inputs_embeds=embedded, attention_mask=inputs["attention_mask"])
        loss = model(encoder_outputs=heard, attention_mask=inputs["attention_mask"], labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return float(loss.detach())


def plain(red: int, green: int, blue: int) -> Pixels:
    pixels: Pixels = np.full((48, 80, 3), (red, green, blue), np.uint8)
    return pixels
