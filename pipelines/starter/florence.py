"""The Florence-2: transformers' own architecture, made small, with a tokenizer of its own."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from engine.geometry import iou_matrix
from engine.records import Image, Phrases, Regions
from pipelines.scenes.kinds import CATEGORIES
from pipelines.starter import dense, phrases
from pipelines.starter.augment import AWAY, cut_out, moved, plain, relight
from pipelines.starter.scenes import SIZE, Example
from pipelines.starter.trainer import Course, quickly
from specialists.florence2 import FlorenceGrounder, FlorenceGrounderConfig
from specialists.florence_targets import (
    MARKS,
    POLYGONS,
    PROMPTS,
    SEPARATOR,
    prompt,
    quantise,
    render_dense,
    render_grounding,
    render_od,
)

if TYPE_CHECKING:
    import torch
    from transformers import Florence2Processor, PreTrainedTokenizerFast

TOKENS: Final = 8  # of an image, on a side
CELLS: Final = 16  # on a side, of which the dense teacher asks: four a token
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
QUESTIONS: Final = 4  # of one image in a step; the vision tower runs once for all
_CROPS: Final = 0.15  # of the images are a single thing, cut out
_PLAIN: Final = 0.02  # are of one colour
# Neighbouring marks are nearly right, and the loss says so: the standard deviation, in marks, of the wanted
# distribution about the true one. A bin is a quarter of a pixel here.
_SPREAD: Final = 6.0
_TASKS: Final[dict[str, float]] = {
    "CAPTION_TO_PHRASE_GROUNDING": 0.42, "OD": 0.18, "DENSE_REGION_CAPTION": 0.1,
    "CAPTION": 0.1, "DETAILED_CAPTION": 0.1, "MORE_DETAILED_CAPTION": 0.1,
}  # fmt: skip
_GRANULARITY: Final = {"CAPTION": "brief", "DETAILED_CAPTION": "detailed", "MORE_DETAILED_CAPTION": "more_detailed"}
_SPECIAL: Final = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # BART's, in its order
_BOS, _PAD, _EOS = 0, 1, 2
Pair = tuple[str, str, list[int]]  # a prompt, its target, and the indices of the objects that it is about


@dataclass(slots=True)
class Florence:
    """Its tokenizer is made by `learn`."""

    name: str
    course: Course
    _processor: "Florence2Processor | None" = None

    def learn(self, examples: list[Example]) -> None:
        """Learn the words of the captions of `examples`; the same examples give the same tokenizer."""
        said = {caption["text"] for example in examples for caption in example.truth["captions"].values()}
        self._processor = _processor(sorted(said))

    @property
    def processor(self) -> "Florence2Processor":
        if self._processor is None:
            raise RuntimeError("the Florence-2 has no tokenizer yet: call learn(examples) first")
        return self._processor

    @property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        return cast("PreTrainedTokenizerFast", self.processor.tokenizer)

    @property
    def _first_mark(self) -> int:
        return int(cast(int, self.tokenizer.convert_tokens_to_ids(MARKS[0])))

    def build(self) -> "torch.nn.Module":
        import torch

        student = torch.nn.Module()
        student.florence = _network(self.tokenizer)
        student.florence.set_attn_implementation("eager")  # twice as fast as fused attention on a CPU, backwards
        student.dense = dense.head(_WIDTHS[-1], (CELLS // TOKENS) ** 2)
        student.meant = dense.head(_TEXT_WIDTH, (CELLS // TOKENS) ** 2, dense.MEANT)
        student.marks = torch.nn.Linear(_TEXT_WIDTH, 4 * _TEXT_WIDTH)
        return student

    def batch(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        import torch

        pixels, asked, answered, owner, wanted, hits, places = [], [], [], [], [], [], []
        for i, example in enumerate(examples):
            image, matrix, pairs = _shown(example, rng)
            pixels.append(relight(image, rng))
            wanted.append(dense.targets(example, matrix, mirrored=False, cells=CELLS))
            asked += [question for question, _, _ in pairs]
            answered += [answer for _, answer, _ in pairs]
            owner += [i] * len(pairs)
            places.append(quantise(moved(example.boxes(), matrix), SIZE, SIZE))
            hits += [np.isin(wanted[-1]["thing"], [thing + 1 for thing in things]) for _, _, things in pairs]
        questions = self.tokenizer(asked, return_tensors="pt", padding=True)
        answers = self.tokenizer(answered, return_tensors="pt", padding=True)
        labels = answers["input_ids"].masked_fill(answers["attention_mask"] == 0, -100)
        look = [
            _where(row, places[i], wanted[i]["thing"], self._first_mark)
            for row, i in zip(labels.numpy(), owner, strict=True)
        ]
        return {
            "pixels": torch.from_numpy(np.stack(pixels)),
            "owner": torch.tensor(owner),
            "ids": questions["input_ids"],
            "mask": questions["attention_mask"],
            "labels": labels,
            "look": torch.from_numpy(np.stack(look)),
            "dense": dense.stacked(wanted),
            "hits": torch.from_numpy(np.stack(hits)),
            "token_marks": torch.from_numpy(
                np.stack([_token_marks(hit, wanted[i]["thing"], places[i]) for hit, i in zip(hits, owner, strict=True)])
            ),
        }

    def loss(self, module: "torch.nn.Module", batch: dict[str, Any]) -> "torch.Tensor":
        import torch

        florence: Any = module.florence
        with quickly(batch["pixels"].device.type):
            cells, tokens = _see(florence, batch["pixels"])
            seen = dense.spread(cast(Any, module.dense)(cells), TOKENS)
            encoded, mask = _encode(florence, tokens[batch["owner"]], batch["ids"], batch["mask"])
            tokens = encoded.last_hidden_state[:, 1 : 1 + TOKENS**2]
            about = cast(Any, module.meant)(tokens)
            marks = self._said_by_tokens(module, tokens, batch["token_marks"])
            out = florence(encoder_outputs=encoded, attention_mask=mask, labels=batch["labels"], output_attentions=True)
        said = _soft_cross_entropy(out.logits.float(), batch["labels"], self._first_mark)
        boxes = {"box": batch["dense"]["box"][batch["owner"]]}
        meant = dense.meant(dense.spread(about, TOKENS, dense.MEANT), boxes, batch["hits"])
        told = _soft_cross_entropy(marks.float(), batch["token_marks"][batch["token_marks"] >= 0], 0)
        looked = _looked(out.cross_attentions, batch["look"])
        return torch.as_tensor(said + 0.5 * dense.loss(seen, batch["dense"]) + 0.5 * (meant + told) + 0.4 * looked)

    def _said_by_tokens(
        self, module: "torch.nn.Module", tokens: "torch.Tensor", wanted: "torch.Tensor"
    ) -> "torch.Tensor":
        """Logits (k, 1000) of the four marks of the box meant at each image token that shows a thing that is meant.

        With the embeddings of the marks themselves, so that what the decoder has to say is there to be copied.
        """
        florence: Any = module.florence
        shows = wanted[..., 0] >= 0
        states = cast(Any, module.marks)(tokens[shows]).view(-1, tokens.shape[-1])
        embeddings = florence.get_input_embeddings().weight[self._first_mark : self._first_mark + len(MARKS)]
        logits: torch.Tensor = states @ embeddings.T.to(states.dtype)
        return logits

    def validate(self, module: "torch.nn.Module", examples: list[Example]) -> dict[str, float]:
        """Recall at IoU 0.5 of single phrases that are there, and how often an absent one gets no box.

        Asked through the adapter, which knows how to end an answer.
        """
        rng = np.random.default_rng(0)
        pairs = [[phrases.phrase(example.truth, rng) for _ in range(6)] for example in examples]
        with tempfile.TemporaryDirectory() as folder:
            self.save(module, Path(folder))
            grounder = FlorenceGrounder(FlorenceGrounderConfig(path=Path(folder)))
            grounder.load(next(module.parameters()).device.type)
            answers = grounder.ground([_image(example) for example in examples], [_asked(of_one) for of_one in pairs])
        found = there = refused = absent = 0
        for example, of_one, answer in zip(examples, pairs, answers, strict=True):
            for i, (_, things) in enumerate(of_one):
                boxes = answer.boxes[answer.phrase == i]
                absent, refused = absent + (not things), refused + (not things and not len(boxes))
                near = iou_matrix(example.boxes()[things], boxes) >= 0.5
                there, found = there + len(things), found + int(near.any(axis=1).sum())
        return {"recall": found / max(there, 1), "refused": refused / max(absent, 1)}

    def save(self, module: "torch.nn.Module", folder: Path) -> None:
        """A folder as transformers writes it, in half precision."""
        import copy

        florence: Any = copy.deepcopy(module.florence)
        florence.half().save_pretrained(folder)
        self.processor.save_pretrained(folder)


_WIDTHS: Final = (32, 64, 128, 192)
_TEXT_WIDTH: Final = 192
_WORDS: Final = 1000  # of the tokenizer, its alphabet of 256 bytes included


def _processor(texts: list[str]) -> "Florence2Processor":
    """Image processor and tokenizer in one, as transformers wants them (processing_florence2.py)."""
    from transformers import CLIPImageProcessor, Florence2Processor

    images = CLIPImageProcessor(
        do_resize=True, size={"height": SIZE, "width": SIZE}, do_center_crop=False, resample=3,
        image_mean=list(MEAN), image_std=list(STD), image_seq_length=1 + TOKENS**2,
    )  # fmt: skip
    writing = r"(.+?)" + r"<loc_(\d+)>" * 8
    parsers = {
        "ocr": {"PATTERN": writing, "AREA_THRESHOLD": 0.0},
        "phrase_grounding": {"banned_grounding_tokens": ["it", "the image"]},
        **{name: {} for name in ("pure_text", "description_with_bboxes", "description_with_polygons", "polygons",
                                 "bboxes", "description_with_bboxes_or_polygons")},
    }  # fmt: skip
    return Florence2Processor(image_processor=images, tokenizer=_tokenizer(texts), post_processor_config=parsers)


def _tokenizer(texts: list[str]) -> "PreTrainedTokenizerFast":
    """Byte pairs of what is asked and said, then marks of polygons and of the 1000 places; BART's special ids."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_WORDS,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([*texts, *phrases.words(), *PROMPTS.values(), *CATEGORIES], trainer)
    marks = ["<od>", "</od>", "<ocr>", "</ocr>", *MARKS, SEPARATOR, *POLYGONS, "<image>"]
    words.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in marks])
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", _BOS), ("</s>", _EOS)]
    )
    bos, pad, eos, unk, mask = _SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=bos, eos_token=eos, pad_token=pad, unk_token=unk, mask_token=mask,
        extra_special_tokens={"image_token": "<image>"}, model_max_length=512, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _network(tokenizer: "PreTrainedTokenizerFast") -> "torch.nn.Module":
    """An untrained network of 5 million parameters."""
    import torch
    from transformers import BartConfig, Florence2Config, Florence2ForConditionalGeneration, GenerationConfig
    from transformers.models.florence2 import Florence2VisionConfig

    ends = {"pad_token_id": _PAD, "bos_token_id": _BOS, "eos_token_id": _EOS, "decoder_start_token_id": _EOS}
    text = BartConfig(
        vocab_size=len(tokenizer), d_model=_TEXT_WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=6,
        decoder_attention_heads=6, encoder_ffn_dim=4 * _TEXT_WIDTH, decoder_ffn_dim=4 * _TEXT_WIDTH,
        max_position_embeddings=512, dropout=0.0, forced_eos_token_id=None, **ends,
    )  # fmt: skip
    heads = tuple(width // 32 for width in _WIDTHS)
    vision = Florence2VisionConfig(
        depths=(1, 1, 2, 1), embed_dim=_WIDTHS, num_heads=heads, num_groups=heads,
        window_size=8, projection_dim=_TEXT_WIDTH, max_position_embeddings=TOKENS, drop_path_rate=0.0,
    )  # fmt: skip
    config = Florence2Config(text_config=text, vision_config=vision, image_token_id=tokenizer.image_token_id, **ends)
    network = Florence2ForConditionalGeneration(config)
    network.generation_config = GenerationConfig(**ends, num_beams=1, max_new_tokens=256)
    _order_marks(network.get_input_embeddings().weight, tokenizer.convert_tokens_to_ids(MARKS[0]), torch)
    return network


def _order_marks(embeddings: "torch.Tensor", first: int, torch: Any) -> None:
    """Begin with neighbouring marks alike: waves of the place, so that what is learnt of one mark helps the next."""
    count, width = len(MARKS), embeddings.shape[1]
    place = torch.arange(count)[:, None] / count
    waves = 2 ** (torch.arange(width // 2) * (7.0 / (width // 2))) * torch.pi
    with torch.no_grad():
        embeddings[first : first + count] = 0.03 * torch.cat([torch.sin(place * waves), torch.cos(place * waves)], 1)


def _see(florence: Any, pixels: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """The last stage's grid (n, TOKENS², width), and the image tokens (n, 1 + TOKENS², text width) made of it."""
    import torch

    mean, std = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (MEAN, STD))
    image = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
    features = florence.get_image_features(image)
    return features.last_hidden_state.flatten(2).transpose(1, 2), features.pooler_output


def _encode(
    florence: Any, tokens: "torch.Tensor", ids: "torch.Tensor", mask: "torch.Tensor"
) -> tuple[Any, "torch.Tensor"]:
    """The text encoder's output over image tokens and question, states (n, t, width), and their mask (n, t)."""
    import torch

    words = florence.get_input_embeddings()(ids)
    both = torch.cat([tokens.to(words.dtype), words], dim=1)
    mask = torch.cat([mask.new_ones(tokens.shape[:2]), mask], dim=1)
    encoded = florence.model.language_model.encoder(inputs_embeds=both, attention_mask=mask)
    return encoded, mask


def _soft_cross_entropy(logits: "torch.Tensor", labels: "torch.Tensor", first: int) -> "torch.Tensor":
    """Cross entropy over labels that are not -100; for marks, with a Gaussian of `_SPREAD` about the true one."""
    import torch
    from torch.nn import functional as f

    kept = labels != -100
    logits, labels = logits[kept], labels[kept]
    chances = f.log_softmax(logits, dim=-1)
    is_mark = (labels >= first) & (labels < first + len(MARKS))
    plain = -chances[~is_mark].gather(1, labels[~is_mark][:, None]).sum()
    apart = torch.arange(len(MARKS), device=labels.device)[None] - (labels[is_mark] - first)[:, None]
    wanted = torch.exp(-0.5 * (apart / _SPREAD) ** 2)
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    soft = -(wanted * chances[is_mark][:, first : first + len(MARKS)]).sum()
    return (plain + soft) / len(labels)


def _where(
    labels: NDArray[np.int64], boxes: NDArray[np.int64], things: NDArray[np.int64], first: int
) -> NDArray[np.bool_]:
    """For every label (t,) that is a mark, the image tokens (t, TOKENS²) that show the thing whose box it is part of.

    `boxes` (n, 4) in bins, `things` (CELLS²,) the thing of each cell plus 1.
    """
    look = np.zeros((len(labels), TOKENS**2), np.bool_)
    marks = np.flatnonzero(labels >= first)
    at = marks[: len(marks) // 4 * 4].reshape(-1, 4)
    same = (labels[at][:, None] - first == boxes[None]).all(axis=2)
    k = CELLS // TOKENS
    cells = things.reshape(TOKENS, k, TOKENS, k).transpose(0, 2, 1, 3).reshape(TOKENS**2, k * k)
    for places, match in zip(at, same, strict=True):
        if match.any():
            look[places] = (cells == int(match.argmax()) + 1).any(axis=1)
    return look


def _token_marks(hits: NDArray[np.bool_], things: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bins (TOKENS², 4) of the box of a thing that is meant and seen in a token, -1 where none is."""
    k = CELLS // TOKENS
    cells = np.where(hits, things, 0).reshape(TOKENS, k, TOKENS, k).transpose(0, 2, 1, 3).reshape(TOKENS**2, k * k)
    none = np.full((1, 4), -1, np.int64)
    return np.asarray(np.concatenate([none, boxes])[cells.max(axis=1)], np.int64)


def _looked(attentions: tuple["torch.Tensor", ...], look: "torch.Tensor") -> "torch.Tensor":
    """How far the first head of each layer of the decoder, saying a mark, is from looking at the thing itself.

    `attentions`: of each layer (rows, heads, t, s) over the image tokens, a mean one first, and the question. To learn
    where to look from what it then says would take a small network most of its course.
    """
    marks = look.any(dim=-1)
    count = marks.sum().clamp(min=1)
    missed = [
        -(of_layer[:, 0, :, 1 : 1 + TOKENS**2].float() * look).sum(-1).clamp(min=1e-4).log() for of_layer in attentions
    ]
    return sum(
        ((of_layer * marks).sum() / count for of_layer in missed), start=look.new_zeros((), dtype=marks.float().dtype)
    )


def _shown(example: Example, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float64], list[Pair]]:
    """A picture, where the scene is in it, and what is asked of it."""
    chance = rng.random()
    if chance > 1 - _PLAIN:
        image, colour = plain(rng)
        return image, AWAY, [(prompt(task), f"A plain {colour} picture.", []) for task in _GRANULARITY]
    thing = phrases.any_thing(example, rng) if chance < _CROPS else None
    if thing is None:
        return example.pixels(), np.eye(2, 3), _questions(example, rng)
    image, matrix = cut_out(example, thing, rng)
    said = phrases.sentence([example.truth["objects"][thing]], ("pattern", "colour"))
    return image, matrix, [(prompt("CAPTION"), said, [thing])]


def _questions(example: Example, rng: np.random.Generator) -> list[Pair]:
    """QUESTIONS prompts with their targets."""
    names = list(_TASKS)
    tasks = rng.choice(len(names), QUESTIONS, p=list(_TASKS.values()))
    return [_question(names[int(task)], example, rng) for task in tasks]


def _question(task: str, example: Example, rng: np.random.Generator) -> Pair:
    things, boxes = example.truth["objects"], example.boxes()
    everything = list(range(len(things)))
    if task == "OD":
        return prompt(task), render_od([thing["kind"] for thing in things], boxes, SIZE, SIZE), everything
    if task == "DENSE_REGION_CAPTION":
        said = [phrases.describe([thing]) for thing in things]
        return prompt(task), render_dense(said, boxes, SIZE, SIZE), everything
    if task == "CAPTION_TO_PHRASE_GROUNDING":
        text, found = phrases.phrase(example.truth, rng)
        return prompt(task, text), render_grounding([text], [boxes[found]], SIZE, SIZE) or text, found
    caption = example.truth["captions"][_GRANULARITY[task]]
    return prompt(task), caption["text"], [i for i in everything if things[i]["id"] in caption["objects"]]


def _image(example: Example) -> Image:
    return Image(example.truth["file_name"], "", SIZE, SIZE, example.pixels)


def _asked(pairs: list[tuple[str, list[int]]]) -> Phrases:
    texts, count = [text for text, _ in pairs], len(pairs)
    nothing = Regions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), [])
    return Phrases(texts, [""] * count, np.zeros(count, np.int32), nothing)


FLORENCE: Final = Florence("florence2", Course(steps=5000, batch=16, rate=1.2e-3, warmup=300))
