"""Sentences from a model that predicts the next token: greedy and beam search for a whole batch at once.

The model keeps what it computed for earlier tokens (`Decoder`), so a step costs one token a beam; images whose sentence
is complete leave the batch. All bookkeeping is tensors on the model's device, with one look at them each step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Decoder(Protocol):
    """A model in the middle of `n` sentences, each with `w` beams; it has seen the same number of tokens of all."""

    device: torch.device

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """The newest tokens (n, w) → logits of the next ones (n, w, vocabulary)."""

    def keep(self, sentences: torch.Tensor, beams: torch.Tensor) -> None:
        """Go on with `sentences` (n',) only; beam j of the i-th continues what beam `beams[i, j]` (n', w') said."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to speak. `bos` opens a sentence and `eos` ends it; `silent` tokens are never said.

    `repetition` above 1 makes tokens that were said less likely (CTRL, Keskar et al. 2019, section 4.1). `beams` 1 is
    greedy.
    """

    bos: int
    eos: int
    silent: Sequence[int]
    max_tokens: int
    min_tokens: int = 1
    beams: int = 1
    repetition: float = 1.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens between `bos` and `eos`, and the geometric mean of their probabilities and that of `eos`, in 0..1."""

    tokens: list[int]
    score: float


def decode(decoder: Decoder, count: int, rules: Rules) -> list[Sentence]:
    """One sentence for each of `count` images, the likeliest by mean log probability.

    Each step looks at the `2 * beams` best continuations of an image. Those among the first `beams` that end are
    candidates, and the first `beams` that do not end go on. The image is done when its best candidate is at least as
    likely as every beam so far, by the mean; or when all tokens are used up, and then unfinished beams are candidates
    too. With one beam this is greedy decoding.
    """
    import torch

    if not count:
        return []
    with torch.inference_mode():
        search = _Search(decoder, count, rules)
        while search.going():
            search.advance()
        return search.sentences()


class _Search:
    """The state of `decode`: live images with their beams, and the best complete sentence of every image."""

    def __init__(self, decoder: Decoder, count: int, rules: Rules) -> None:
        import torch

        device = decoder.device
        self.decoder, self.rules = decoder, rules
        self.live = torch.arange(count, device=device)  # (n,): which images still speak
        self.silent = torch.tensor(list(rules.silent), dtype=torch.long, device=device)
        self.newest = torch.full((count, 1), rules.bos, device=device)  # (n, w): one beam until it forks
        self.said = torch.empty((count, 1, 0), dtype=torch.long, device=device)  # (n, w, t)
        self.total = torch.zeros((count, 1), device=device)  # (n, w): sum of log probabilities
        self.best = torch.full((count,), -math.inf, device=device)  # (count,): mean log probability
        self.tokens = torch.zeros((count, rules.max_tokens), dtype=torch.long, device=device)
        self.lengths = torch.zeros(count, dtype=torch.long, device=device)

    def going(self) -> bool:
        return len(self.live) > 0

    def advance(self) -> None:
        """One token more for every live beam."""
        import torch

        likely = self._allowed(self.decoder.step(self.newest).float()).log_softmax(-1)
        spoken, vocabulary = self.said.shape[2], likely.shape[2]
        ranked = (self.total[..., None] + likely).flatten(1)
        total, place = ranked.topk(min(2 * self.rules.beams, ranked.shape[1]))
        parent, token = place // vocabulary, place % vocabulary
        ends = (token == self.rules.eos) & total.isfinite()  # in a tiny vocabulary even forbidden tokens are ranked
        self._complete(total, parent, ends)
        # Stable: continuations stay in the order of their probability, behind them those that end.
        onward = ends.sort(dim=1, stable=True).indices[:, : self.rules.beams]
        total = total.masked_fill(ends, -math.inf)  # where too few go on, those that ended fill up, and never win
        self.total, parent, self.newest = (x.gather(1, onward) for x in (total, parent, token))
        self.said = torch.cat([self._said_by(parent), self.newest[..., None]], dim=2)
        mean = self.total / (spoken + 1)
        if spoken + 1 == self.rules.max_tokens:
            self._record(mean, self.said)
            self.live = self.live[:0]
        else:
            self._leave(parent, (mean.amax(1) > self.best[self.live]).nonzero()[:, 0])

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (n, w, vocabulary) under the rules."""
        import torch

        rules = self.rules
        if rules.repetition > 1:
            again = logits.gather(2, self.said)
            less = torch.where(again > 0, again / rules.repetition, again * rules.repetition)
            logits = logits.scatter(2, self.said, less)
        logits = logits.index_fill(2, self.silent, -math.inf)
        if self.said.shape[2] < rules.min_tokens:
            logits[..., rules.eos] = -math.inf
        return logits

    def _complete(self, total: torch.Tensor, parent: torch.Tensor, ends: torch.Tensor) -> None:
        """Note continuations that end: `total`, `parent` and `ends` are (n, 2 * beams), best first."""
        total, parent, ends = (x[:, : self.rules.beams] for x in (total, parent, ends))
        mean = (total / (self.said.shape[2] + 1)).where(ends, -math.inf)
        self._record(mean, self._said_by(parent))

    def _record(self, mean: torch.Tensor, said: torch.Tensor) -> None:
        """Candidates of live images: mean log probability (n, k) and tokens (n, k, t); the best yet is kept."""
        mean, at = mean.max(1)
        better = (mean > self.best[self.live]).nonzero()[:, 0]
        where, length = self.live[better], said.shape[2]
        self.best[where], self.lengths[where] = mean[better], length
        self.tokens[where, :length] = said[better, at[better]]

    def _said_by(self, beams: torch.Tensor) -> torch.Tensor:
        """What the beams (n, k) of each live image said: (n, k, t)."""
        return self.said.gather(1, beams[..., None].expand(-1, -1, self.said.shape[2]))

    def _leave(self, parent: torch.Tensor, going: torch.Tensor) -> None:
        """Only the images `going` stay; the model follows the beams that go on."""
        if len(going) < len(self.live):
            self.live, self.total = self.live[going], self.total[going]
            self.newest, self.said = self.newest[going], self.said[going]
        elif self.rules.beams == 1:
            return  # nobody left and nothing forked: the model's cache stays as it is
        self.decoder.keep(going, parent[going])

    def sentences(self) -> list[Sentence]:
        scores = self.best.exp().clamp(0, 1).tolist()
        rows = zip(self.tokens.tolist(), self.lengths.tolist(), scores, strict=True)
        return [Sentence(tokens[:length], score) for tokens, length, score in rows]
