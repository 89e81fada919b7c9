"""A Florence-2 network behind one method: images and prompts in, tokens and their probabilities out.

The vision tower sees each image once, whatever the number of prompts about it; prompts of all images are answered
together. Checkpoints are folders in transformers' own format (`save_pretrained` of model and processor), large public
ones and small ones alike. Nothing is downloaded, and no code of a checkpoint is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.records import Image
from specialists.checkpoints import require
from specialists.decoding import Rules, Sentence, decode
from specialists.florence_targets import BINS, MARKS, POLYGONS, SEPARATOR, Run

if TYPE_CHECKING:
    import torch

SHARDS: Final = "model.safetensors.index.json"
# Beside the weights; those that are there are part of the fingerprint.
FILES: Final = (
    "config.json", "processor_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
)  # fmt: skip
HOW: Final = (
    "get a Florence-2 in transformers' own format (hf download florence-community/Florence-2-base --local-dir FOLDER) "
    "and name its folder as path in the configuration"
)
# Values of encoded prompts that are answered at once: 37 prompts of the public base network, some 200 MB in half
# precision with the keys and values of its six layers.
_VALUES_AT_ONCE: Final = 1 << 24
# Values of logits that are turned into probabilities at once: 256 MB.
_LOGITS_AT_ONCE: Final = 1 << 26
_FREE: Final = -1  # no token is due
# A mark counts as said when one so many marks away is: a hundredth of the image, which leaves a box what it is. A
# network that is sure of a place still spreads it over neighbours, and the single mark would look like a guess.
_NEAR: Final = 10


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt about the image at place `image`. An answer that must start with `opening` goes on with location marks
    alone; of questions asked together all have one or none has."""

    image: int
    prompt: str
    opening: str = ""


@dataclass(frozen=True, slots=True)
class Speech:
    """How answers are spoken: with at most `max_tokens` after the opening, the best of `beams` (1 is greedy; with an `opening` it must
    be 1, because where only one token may follow there is nothing to fork into)."""

    max_tokens: int
    beams: int = 1


@dataclass(frozen=True, slots=True)
class Marked:
    """An answer with location marks: its `runs`, and the probability (n,) of every token as the network would have
    spoken freely, that of a mark with those of its near neighbours. Run i has its text at tokens `text_at[i]` and its
    first mark at `marks_at[i]`."""

    runs: Sequence[Run]
    probabilities: NDArray[np.float64]
    text_at: NDArray[np.int64]
    marks_at: NDArray[np.int64]


def files_of(folder: Path) -> list[Path]:
    """Every file of a checkpoint that its answers depend on.

    Raises:
        WeightsMissing: the folder lacks one that is needed.
        ConfigError: the index of its weights cannot be read.
    """
    folder = folder.expanduser()
    needed = [require(folder / name, HOW) for name in ("config.json", "tokenizer.json")]
    shards = folder / SHARDS
    if shards.is_file():
        names = sorted(set(_read_json(shards).get("weight_map", {}).values()))
        weights = [shards, *(require(folder / name, HOW) for name in names)]
    else:
        weights = [require(folder / "model.safetensors", HOW)]
    if not any((folder / name).is_file() for name in ("processor_config.json", "preprocessor_config.json")):
        require(folder / "processor_config.json", HOW)
    beside = [folder / name for name in FILES if (folder / name).is_file()]
    return sorted({*needed, *weights, *beside})


def open_network(folder: Path, device: str) -> Network:
    """The network of a checkpoint; specialists in one process that name the same one share it.

    Raises:
        WeightsMissing: a file is not there.
        ConfigError: the checkpoint is damaged, or no Florence-2.
    """
    files = files_of(folder)
    states = [file.stat() for file in files]  # files that were replaced are read again
    return _open(folder.expanduser().resolve(), device, tuple((s.st_size, s.st_mtime_ns) for s in states))


@lru_cache(maxsize=2)
def _open(folder: Path, device: str, states: tuple[tuple[int, int], ...]) -> Network:  # noqa: ARG001 (part of the key)
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import Florence2ForConditionalGeneration, Florence2Processor
    from transformers.utils import logging

    logging.disable_progress_bar()
    kind = _read_json(folder / "config.json").get("model_type")
    if kind != "florence2":
        raise ConfigError(f"{folder} holds a {kind!r}, not a 'florence2': {HOW}.")
    local = {"local_files_only": True, "trust_remote_code": False}
    half = device.startswith("cuda")
    try:
        model, report = Florence2ForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float16 if half else torch.float32, use_safetensors=True, output_loading_info=True, **local
        )  # fmt: skip
        processor = Florence2Processor.from_pretrained(folder, **local)
    except Exception as error:  # a damaged checkpoint makes each of four libraries raise its own kinds
        first = str(error).partition("\n")[0]
        raise ConfigError(f"{folder} cannot be read as a Florence-2 ({first}): {HOW}.") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ConfigError(f"the weights in {folder} lack {missing[0]} and {len(missing) - 1} more: {HOW}.")
    return Network(model.to(device).eval().requires_grad_(False), processor, folder)


class Network:
    """A loaded Florence-2 with its processor."""

    def __init__(self, model: Any, processor: Any, folder: Path) -> None:
        self._model, self._text = model, model.model.language_model
        self._prepare, self._tokenizer = processor.image_processor, processor.tokenizer
        self._ids = model.config.text_config
        marks = np.array(self._tokenizer.convert_tokens_to_ids(list(MARKS)))
        if not (np.diff(marks) == 1).all():
            raise ConfigError(f"the tokenizer in {folder} lacks location marks <loc_0> to <loc_999> in a row: {HOW}.")
        self._marks = range(int(marks[0]), int(marks[0]) + BINS)

    def see(self, images: Sequence[Image]) -> torch.Tensor:
        """What the vision tower makes of each image: (images, t, d), t = 1 + (side / 32) ** 2.

        Raises:
            ImageError: one cannot be decoded.
        """
        import torch

        # torch warns of arrays that it might write to by mistake.
        pixels = [np.require(image.pixels, requirements=["C", "W"]) for image in images]
        inputs = self._prepare(images=pixels, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        with torch.inference_mode():
            seen: torch.Tensor = self._model.get_image_features(inputs.to(self._model.device)).pooler_output
        return seen

    def speak(self, seen: torch.Tensor, questions: Sequence[Question], speech: Speech) -> list[tuple[str, float]]:
        """The text that answers each question, and the geometric mean of the probabilities of its tokens and its end
        among those that a text may hold (no location marks), in 0..1."""
        texts: list[tuple[str, float]] = [("", 0.0)] * len(questions)
        for places, said, _ in self._answers(seen, questions, speech, marks=False):
            decoded = self._decoded([s.tokens for s in said])
            for place, text, sentence in zip(places, decoded, said, strict=True):
                texts[place] = (" ".join(text.split()), sentence.score)
        return texts

    def locate(self, seen: torch.Tensor, questions: Sequence[Question], speech: Speech) -> list[Marked]:
        """The runs of text and marks that answer each question."""
        answers: list[Any] = [None] * len(questions)
        for places, said, encoded in self._answers(seen, questions, speech, marks=True):
            free = self._probabilities(*encoded, [s.tokens for s in said])
            for place, sentence, probabilities in zip(places, said, free, strict=True):
                answers[place] = self._marked(np.array(sentence.tokens, np.int64), probabilities)
        return answers

    def _answers(
        self, seen: torch.Tensor, questions: Sequence[Question], speech: Speech, *, marks: bool
    ) -> Iterator[tuple[list[int], list[Sentence], tuple[torch.Tensor, torch.Tensor]]]:
        """Some questions at once, those of one length together: their places, answers and encoded prompts."""
        longest = self._ids.max_position_embeddings - seen.shape[1]
        prompts = [self._tokens(q.prompt, longest) for q in questions]
        openings = [self._tokenizer.encode(q.opening, add_special_tokens=False) for q in questions]
        rules = self._rules(speech, openings, marks=marks)
        order = sorted(range(len(questions)), key=lambda i: len(prompts[i]))
        for lo, hi in _chunks([(seen.shape[1] + len(prompts[i])) * seen.shape[2] * speech.beams for i in order]):
            places = order[lo:hi]
            encoded = self._encode(seen, [questions[i].image for i in places], [prompts[i] for i in places])
            decoder = _Decoder(self._model, *encoded, [openings[i] for i in places], self._marks, places=marks)
            yield places, decode(decoder, len(places), rules), encoded

    def _rules(self, speech: Speech, openings: Sequence[Sequence[int]], *, marks: bool) -> Rules:
        return Rules(
            bos=self._ids.bos_token_id,
            eos=self._ids.eos_token_id,
            silent=() if any(openings) else self._silent(marks=marks),  # an opening may hold what is unknown
            # The decoder's first two places hold what is given.
            max_tokens=min(
                speech.max_tokens + max(map(len, openings), default=0), self._ids.max_position_embeddings - 2
            ),
            min_tokens=0 if marks else 1,
            beams=speech.beams,
        )

    def _tokens(self, prompt: str, longest: int) -> list[int]:
        """`<s> prompt </s>`, cut where it is longer than the encoder reads."""
        tokens = self._tokenizer.encode(prompt, add_special_tokens=False)
        return [self._ids.bos_token_id, *tokens[: longest - 2], self._ids.eos_token_id]

    def _silent(self, *, marks: bool) -> list[int]:
        """Tokens that no answer may hold."""
        known = self._tokenizer
        special = {known.bos_token_id, known.pad_token_id, known.unk_token_id, known.image_token_id}
        special |= set(known.convert_tokens_to_ids([SEPARATOR, *POLYGONS]))
        return sorted(special - {None}) + ([] if marks else list(self._marks))

    def _encode(
        self, seen: torch.Tensor, owners: Sequence[int], prompts: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoded images and prompts (n, t + p, d) and which of their places count (n, t + p)."""
        import torch

        with torch.inference_mode():
            ids = _padded(prompts, self._ids.pad_token_id).to(seen.device)
            images = seen[torch.tensor(owners, device=seen.device)]
            inputs = torch.cat([images, self._model.get_input_embeddings()(ids).to(images.dtype)], dim=1)
            real = _padded([[1] * (seen.shape[1] + len(prompt)) for prompt in prompts], 0).to(seen.device)
            return self._text.encoder(inputs_embeds=inputs, attention_mask=real).last_hidden_state, real

    def _probabilities(
        self, states: torch.Tensor, real: torch.Tensor, said: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float64]]:
        """The probability of every token of every answer, of a mark with its near neighbours: one pass over answers
        that are there already."""
        import torch

        opened = [[self._ids.decoder_start_token_id, self._ids.bos_token_id, *tokens] for tokens in said]
        with torch.inference_mode():
            ids = _padded(opened, self._ids.pad_token_id).to(states.device)
            spoken = _padded([[1] * len(tokens) for tokens in said], 0).to(states.device).bool()
            hidden = self._text.decoder(
                input_ids=ids[:, :-1], encoder_hidden_states=states, encoder_attention_mask=real, use_cache=False
            ).last_hidden_state[:, 1:][spoken]
            tokens = ids[:, 2:][spoken]
            step = max(1, _LOGITS_AT_ONCE // self._ids.vocab_size)
            parts = []
            for lo in range(0, len(tokens), step):
                logits = self._model.lm_head(hidden[lo : lo + step]).float()
                parts.append(self._chances(logits, tokens[lo : lo + step]))
            flat = torch.cat(parts).cpu().numpy().astype(np.float64) if parts else np.zeros(0)
        return np.split(flat, np.cumsum([len(tokens) for tokens in said])[:-1])

    def _chances(self, logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """How likely each of `tokens` (n,) is by `logits` (n, vocabulary)."""
        import torch

        chances = logits.softmax(1)
        said = chances.gather(1, tokens[:, None])[:, 0]
        bins = tokens - self._marks.start
        near = _near(chances[:, self._marks.start : self._marks.stop]).gather(1, bins.clamp(0, BINS - 1)[:, None])
        return torch.where((bins >= 0) & (bins < BINS), near[:, 0], said)

    def _decoded(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of tokens."""
        # Without rows, batch_decode takes the empty list for one row.
        return list(self._tokenizer.batch_decode(rows, skip_special_tokens=True)) if rows else []

    def _marked(self, tokens: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Marked:
        bins = tokens - self._marks.start
        is_mark = np.concatenate([[False], (bins >= 0) & (bins < BINS), [False]])
        edges = np.flatnonzero(np.diff(is_mark))  # where marks begin and end, in turn
        begin, end = edges[::2], edges[1::2]
        text_at = np.concatenate([[0], end])[: len(begin)].astype(np.int64)
        texts = self._decoded([tokens[a:b].tolist() for a, b in zip(text_at, begin, strict=True)])
        runs = [Run(text, bins[b:c].tolist()) for text, b, c in zip(texts, begin, end, strict=True)]
        return Marked(runs, probabilities, text_at, begin)


class _Decoder:
    """The text decoder in the middle of its answers, with the keys and values of what it has heard and said.

    `openings`: what each answer must start with; after one, only `marks` and the end may follow. With `places`, marks
    are weighed as `_as_one` says.
    """

    def __init__(
        self,
        model: Any,
        states: torch.Tensor,
        real: torch.Tensor,
        openings: Sequence[Sequence[int]],
        marks: range,
        *,
        places: bool,
    ) -> None:
        import torch
        from transformers import DynamicCache, EncoderDecoderCache

        self.device = states.device
        self._model, self._ids = model, model.config.text_config
        self._states, self._real = states, real
        self._cache = EncoderDecoderCache(DynamicCache(config=self._ids), DynamicCache(config=self._ids))
        self._spoken, self._beams = 0, 1
        self._marks = marks if places else None
        self._openings = _padded(openings, _FREE).to(self.device) if any(openings) else None  # (n, longest)
        self._after = torch.full((self._ids.vocab_size,), -torch.inf, device=self.device)
        self._after[[*marks, self._ids.eos_token_id]] = 0

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """The newest tokens (n, w) → logits of the next ones (n, w, vocabulary)."""
        import torch

        n, w = tokens.shape
        ids = tokens.reshape(-1, 1)
        if not self._spoken:
            ids = torch.cat([torch.full_like(ids, self._ids.decoder_start_token_id), ids], dim=1)
        hidden = self._model.model.language_model.decoder(
            input_ids=ids,
            encoder_hidden_states=self._states,
            encoder_attention_mask=self._real,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        logits: torch.Tensor = self._model.lm_head(hidden).float().view(n, w, -1)
        if self._marks is not None:
            logits[..., self._marks.start : self._marks.stop] = _as_one(
                logits[..., self._marks.start : self._marks.stop]
            )
        logits = logits if self._openings is None else logits + self._bias(self._openings)[:, None]
        self._spoken += 1
        return logits

    def _bias(self, openings: torch.Tensor) -> torch.Tensor:
        """What openings leave for the next token: 0, else minus infinity (n, vocabulary)."""
        import torch

        if self._spoken >= openings.shape[1]:
            return self._after.expand(len(openings), -1)
        due = openings[:, self._spoken]
        only = torch.full((len(due), len(self._after)), -torch.inf, device=self.device)
        only.scatter_(1, due.clamp(min=0)[:, None], 0)
        return torch.where((due == _FREE)[:, None], self._after, only)

    def keep(self, sentences: torch.Tensor, beams: torch.Tensor) -> None:
        """Go on with `sentences` (n',) only; beam j of the i-th continues what beam `beams[i, j]` (n', w') said."""
        width = beams.shape[1]
        self._cache.self_attention_cache.reorder_cache((sentences[:, None] * self._beams + beams).flatten())
        # Beams of one answer have heard the same, so that part is only touched when answers leave or fork.
        if width != self._beams or len(sentences) * self._beams != len(self._states):
            heard = (sentences * self._beams).repeat_interleave(width)
            self._cache.cross_attention_cache.reorder_cache(heard)
            self._states, self._real = self._states[heard], self._real[heard]
            self._beams = width
        if self._openings is not None:
            self._openings = self._openings[sentences]


def _near(chances: torch.Tensor) -> torch.Tensor:
    """The probabilities of marks (…, BINS), each with its near neighbours'."""
    import torch

    total = torch.nn.functional.pad(chances.cumsum(-1), (1, 0))
    places = torch.arange(BINS, device=chances.device)
    return total[..., (places + _NEAR + 1).clamp(max=BINS)] - total[..., (places - _NEAR).clamp(min=0)]


def _as_one(logits: torch.Tensor) -> torch.Tensor:
    """The logits of marks (…, BINS) with the middle of the likeliest neighbourhood speaking for all, the rest impossible.

    Whether a place comes next is one question, and which place another. A network that is sure of a place but not of
    the single mark gives each mark little, less than the end of the answer, which has no neighbours to share with.
    """
    import torch

    # The farther away, the less a neighbour counts: where one mark has it all, that mark it is.
    weight = 1 - torch.arange(-_NEAR, _NEAR + 1, device=logits.device).abs() / (_NEAR + 1)
    chances = logits.softmax(-1).reshape(-1, 1, BINS)
    around = torch.nn.functional.conv1d(chances, weight.view(1, 1, -1), padding=_NEAR)
    best = around.view(logits.shape).argmax(-1, keepdim=True)
    return torch.full_like(logits, -torch.inf).scatter(-1, best, logits.logsumexp(-1, keepdim=True))


def _chunks(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of at most `_VALUES_AT_ONCE` in all, where the sizes grow; at least one each."""
    lo = 0
    while lo < len(sizes):
        hi = lo + 1
        while hi < len(sizes) and (hi + 1 - lo) * sizes[hi] <= _VALUES_AT_ONCE:
            hi += 1
        yield lo, hi
        lo = hi


def _padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """Rows of different lengths as one tensor (n, longest), filled up at the right."""
    import torch

    padded = np.full((len(rows), max(map(len, rows), default=0)), fill, np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)


def _read_json(path: Path) -> dict[str, Any]:
    """Raises: ConfigError: the file does not hold a JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}): {HOW}.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no JSON object: {HOW}.")
    return found
