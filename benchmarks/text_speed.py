"""What our own work on texts costs beside the parse: sentences a second of both, and of spaCy's `nlp.pipe` alone.

    python -m benchmarks text_speed [--data ../shared/data/captions1000.json] [--repeats 5]

Ours is all that a build does with a caption: mending it, the record of the parser, measures, noun phrases, relations,
the declared filters of the default profile, and the limits. Beside it the same pipeline on the same sentences with
nothing read off. Both run in turns in one process on one core; the least processor time of each counts, since other
programs of the machine only ever add to it.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from filters.enhance import enhanced
from filters.registry import ask, choose
from filters.relations import relations
from filters.syntax import measures, noun_chunks
from filters.texts import TextColumns, TextLimits, limits
from specialists.spacy_parser import SHIPPED, SpacyParser

DATA = Path(__file__).parents[2] / "shared" / "data" / "captions1000.json"


def main(arguments: Sequence[str]) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--data", type=Path, default=DATA)
    options.add_argument("--repeats", type=int, default=5)
    chosen = options.parse_args(arguments)
    said = pa.array([row["caption"] for row in json.loads(chosen.data.read_text())], pa.string())
    import spacy

    parser = SpacyParser(SpacyParser.Config())
    parser.load("cpu")
    plain = spacy.load(SHIPPED)
    sentences = enhanced(said).to_pylist()

    def alone() -> None:
        for _ in plain.pipe(sentences, batch_size=256):
            pass

    ways: dict[str, Callable[[], Any]] = {"nlp.pipe alone": alone, "all of ours": lambda: everything(said, parser)}
    least = dict.fromkeys(ways, np.inf)
    for _ in range(chosen.repeats + 1):  # the first turn fills caches; it is the slowest and never the least
        for name, work in ways.items():
            begin = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - begin)
    print(f"{len(said)} captions, sentences a second of processor time, best of {chosen.repeats}")
    for name, seconds in least.items():
        print(f"  {name:16}{len(said) / seconds:8.0f}")
    print(f"  ratio {least['nlp.pipe alone'] / least['all of ours']:.3f}")


def everything(said: pa.Array, parser: SpacyParser) -> None:
    """All that a build does with brief texts, one an image."""
    texts = enhanced(said)
    plain = texts.to_pylist()
    tokens = parser.parse(plain)
    measured = measures(tokens)
    noun_chunks(tokens, plain)
    relations(tokens, plain)
    n = len(texts)
    columns = TextColumns(
        texts, said, np.arange(n), np.zeros(n, np.int64), tokens, pa.array([], pa.string()), np.zeros(0, np.int64)
    )
    ask("texts", columns, n, choose("texts", {}))
    limits(measured.n_tokens, measured.n_objects, measured.object_complexity, measured.action_complexity, TextLimits())
