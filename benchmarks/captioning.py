"""CoCa's captions: our decode loop with a cache, against the same loop that runs the whole model for each word.

    python -m benchmarks captioning [--images 8] [--tokens 30] [--device cpu]

A random model of about half the width and depth of coca_ViT-B-32 that never ends a sentence early, so both do the same
work. Prints captions/s (without encoding the images), their ratio, and how many captions have the same words: all of
the greedy ones; a random model's beams are now and then so close that rounding decides between them.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from specialists.decoding import Rules, Sentence, decode
from specialists.open_clip_coca import CocaDecoder

VISION = {
    "image_size": 224,
    "patch_size": 32,
    "width": 384,
    "layers": 2,
    "attentional_pool": True,
    "output_tokens": True,
}
TEXT = {"context_length": 76, "vocab_size": 8192, "width": 256, "heads": 4, "layers": 6}
COCA = {"embed_dim": 256, "vision_cfg": VISION, "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True}}


class Uncached:
    """A `Decoder` that reads the whole text again at each step, image tokens copied for each beam."""

    def __init__(self, model: Any, seen: torch.Tensor) -> None:
        self.device = seen.device
        self.model, self.seen = model, seen
        self.words = torch.zeros((len(seen), 1, 0), dtype=torch.long, device=seen.device)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.words = torch.cat([self.words, tokens[..., None]], dim=2)
        beams = tokens.shape[1]
        seen = self.seen.repeat_interleave(beams, 0)
        answer = self.model(None, self.words.flatten(0, 1), image_latent=seen, image_embs=seen, output_labels=False)
        logits: torch.Tensor = answer["logits"][:, -1].unflatten(0, tokens.shape)
        return logits

    def keep(self, sentences: torch.Tensor, beams: torch.Tensor) -> None:
        self.seen, self.words = self.seen[sentences], self.words[sentences[:, None], beams]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    model = _model(chosen.device)
    with torch.inference_mode():
        seen = model(torch.randn(chosen.images, 3, 224, 224, device=chosen.device))["image_embs"]
        print(f"{'beams':>5} {'whole model/s':>14} {'cache/s':>8} {'ratio':>6}  same words")
        for beams in (1, 4):
            rules = Rules(1, 2, (0, 1), chosen.tokens, min_tokens=chosen.tokens, beams=beams)
            slow, expected = _timed(partial(_whole, model, seen, rules), seen.device)
            fast, found = _timed(partial(_cached, model, seen, rules), seen.device)
            same = sum(a.tokens == b.tokens for a, b in zip(expected, found, strict=True))
            print(f"{beams:5} {len(seen) / slow:14.1f} {len(seen) / fast:8.1f} {slow / fast:6.1f}  {same}/{len(seen)}")


def _whole(model: Any, seen: torch.Tensor, rules: Rules) -> list[Sentence]:
    return decode(Uncached(model, seen), len(seen), rules)


def _cached(model: Any, seen: torch.Tensor, rules: Rules) -> list[Sentence]:
    return decode(CocaDecoder(model, seen, rules.max_tokens), len(seen), rules)


def _model(device: str) -> Any:
    from open_clip.coca_model import CoCa

    torch.manual_seed(0)
    decoder = {name: TEXT[name] for name in ("context_length", "width", "heads", "layers")}
    model = CoCa(**COCA, multimodal_cfg=decoder)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, weight.shape[-1] ** -0.5)
    return model.to(device).eval()


def _timed(run: Callable[[], list[Sentence]], device: torch.device) -> tuple[float, list[Sentence]]:
    """Seconds of the better of two runs."""
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        said = run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), said
