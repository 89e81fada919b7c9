"""The decode loop finds what exhaustive search and a plain loop over lists find, and never mixes up its sentences."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch

from specialists.decoding import Rules, Sentence, decode
from tests.specialists.plain_decoding import plain_decode

PAD, BOS, EOS, UNK = range(4)


class Chain:
    """A model whose next word depends on the sentence's number and the two words before: a table of logits."""

    device = torch.device("cpu")

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table  # (sentences, vocabulary, vocabulary, vocabulary)
        self.sentences = torch.arange(len(table))[:, None]
        self.last = torch.full((len(table), 1), BOS)
        self.before = self.last
        self.steps: list[tuple[int, ...]] = []

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.steps.append(tuple(tokens.shape))
        self.before, self.last = self.last, tokens
        return self.table[self.sentences, self.before, self.last]

    def keep(self, sentences: torch.Tensor, beams: torch.Tensor) -> None:
        rows = sentences[:, None]
        self.last, self.before, self.sentences = (
            self.last[rows, beams],
            self.before[rows, beams],
            self.sentences[sentences],
        )


def table(sentences: int, vocabulary: int, seed: int, ends: float = 0.0) -> torch.Tensor:
    """Random logits; `ends` raises or lowers those of the end."""
    made = 2 * torch.randn(sentences, *[vocabulary] * 3, generator=torch.Generator().manual_seed(seed))
    made[..., EOS] += ends
    return made


def logits_after(row: torch.Tensor) -> Callable[[list[int]], list[float]]:
    """What one sentence of a Chain says after the words so far."""
    return lambda words: row[([BOS, *words][-2:-1] or [BOS])[0], words[-1]].tolist()


def rules(**given: object) -> Rules:
    return Rules(**{"bos": BOS, "eos": EOS, "silent": (PAD, BOS, UNK), "max_tokens": 6, **given})  # type: ignore[arg-type]


def same(found: list[Sentence], expected: list[tuple[list[int], float]]) -> None:
    assert [s.tokens for s in found] == [tokens for tokens, _ in expected]
    assert [s.score for s in found] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_wide_enough_finds_the_likeliest_of_all_sentences(seed: int) -> None:
    chances, said = table(3, 6, seed), rules(max_tokens=4, min_tokens=4, beams=16)
    likely = chances[..., [4, 5]].log_softmax(3)  # the two words that may be said
    expected = []
    for row in likely:
        found = []
        for words in product((4, 5), repeat=4):
            path = [BOS, BOS, *words]
            total = sum(row[path[i], path[i + 1], path[i + 2] - 4].item() for i in range(4))
            found.append((total / 4, list(words)))
        mean, best = max(found)
        expected.append((best, math.exp(mean)))
    same(decode(Chain(chances), 3, said), expected)


def test_an_unlikely_end_on_the_way_does_not_stop_a_likelier_sentence() -> None:
    chances = torch.full((1, 7, 7, 7), -100.0)
    for last, word in ((BOS, 4), (4, 5), (5, 6)):
        chances[..., last, word] = 2.0
        chances[..., last, EOS] = 1.0
    chances[..., 6, EOS] = 5.0
    [said] = decode(Chain(chances), 1, rules(beams=2))
    assert said.tokens == [4, 5, 6]


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("given", [{}, {"min_tokens": 4}, {"repetition": 1.5}, {"max_tokens": 1}])
def test_equals_a_plain_loop(beams: int, given: dict[str, float]) -> None:
    chances, said = table(20, 12, seed=3, ends=1.0), rules(beams=beams, **given)
    expected = [plain_decode(logits_after(row), said) for row in chances]
    lengths = {len(tokens) for tokens, _ in expected}
    assert len(lengths) > 1 or said.max_tokens == 1  # some leave the batch before others
    same(decode(Chain(chances), 20, said), expected)


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_does_not_depend_on_the_batch(beams: int) -> None:
    chances, said = table(9, 12, seed=1, ends=1.0), rules(beams=beams)
    whole = decode(Chain(chances), 9, said)
    parts = [sentence for part in chances.split([1, 3, 5]) for sentence in decode(Chain(part), len(part), said)]
    same(parts, [(s.tokens, s.score) for s in whole])


def test_complete_sentences_leave_the_batch_and_cost_nothing_more() -> None:
    chances = table(4, 8, seed=0, ends=-100.0)
    chances[:3, :, :, EOS] = 100.0  # these say the one word that they must, and end
    model = Chain(chances)
    said = decode(model, 4, rules())
    assert [len(s.tokens) for s in said] == [1, 1, 1, 6]
    assert model.steps == [(4, 1), (4, 1), (1, 1), (1, 1), (1, 1), (1, 1)]


def test_the_score_is_the_mean_probability() -> None:
    half = torch.full((1, 6, 6, 6), -100.0)
    half[..., [4, 5]] = 0.0
    [said] = decode(Chain(half), 1, rules())
    assert len(said.tokens) == 6
    assert said.score == pytest.approx(0.5)


def test_what_is_silent_is_never_said_and_no_images_cost_no_step() -> None:
    loud = table(5, 8, seed=2)
    loud[..., [PAD, BOS, UNK]] = 50.0
    for sentence in decode(Chain(loud), 5, rules(beams=3)):
        assert not {PAD, BOS, UNK, EOS} & set(sentence.tokens)
    model = Chain(loud[:0])
    assert decode(model, 0, rules()) == []
    assert model.steps == []
