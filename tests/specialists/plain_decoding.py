"""Decoding as one would write it on paper: one sentence, lists, and the whole prefix again for each word."""

import math
from collections.abc import Callable

import torch

from specialists.decoding import Rules


def plain_decode(logits_after: Callable[[list[int]], list[float]], rules: Rules) -> tuple[list[int], float]:
    """The sentence and its score; `logits_after` gives the logits of the next word after `bos` and the words so far."""
    going: list[tuple[float, list[int]]] = [(0.0, [])]
    complete: list[tuple[float, list[int]]] = []
    for spoken in range(rules.max_tokens):
        options = []
        for total, words in going:
            chances = _chances(logits_after([rules.bos, *words]), words, rules)
            options += [(total + chance, words, word) for word, chance in enumerate(chances) if chance > -math.inf]
        options.sort(key=lambda option: -option[0])
        options = options[: 2 * rules.beams]
        complete += [
            (total / (spoken + 1), words) for total, words, word in options[: rules.beams] if word == rules.eos
        ]
        going = [(total, [*words, word]) for total, words, word in options if word != rules.eos][: rules.beams]
        if complete and max(complete)[0] >= going[0][0] / (spoken + 1):
            break
    else:
        complete += [(total / rules.max_tokens, words) for total, words in going]
    mean, words = max(complete, key=lambda sentence: sentence[0])
    return words, math.exp(mean)


def _chances(logits: list[float], words: list[int], rules: Rules) -> list[float]:
    logits = list(logits)
    for word in set(words):
        logits[word] = logits[word] / rules.repetition if logits[word] > 0 else logits[word] * rules.repetition
    for word in rules.silent:
        logits[word] = -math.inf
    if len(words) < rules.min_tokens:
        logits[rules.eos] = -math.inf
    found: list[float] = torch.tensor(logits, dtype=torch.float64).log_softmax(0).tolist()
    return found
