"""Makes the counts of `filters.word_order` of a treebank: `python -m pipelines.word_order --data FOLDER`.

FOLDER holds `train.conllu.gz` of UD_English-EWT. Counted are its sentences as written and the same put into the form of
captions, as the shipped parser is trained (`specialists.models.parser.variation`).
"""

import argparse
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import filters
from filters.word_order import BEGIN, END, RARE, symbols
from specialists.models.parser.treebank import Sentence, read_conllu
from specialists.models.parser.variation import Variation, varied

OUT = Path(filters.__path__[0]) / "data" / "word_order.tsv"
_LEAST = 100  # a symbol seen less often is rare; our choice
_SEED = 3
_ABOUT = """\
# How often one symbol follows another in UD_English-EWT (train), as written and in the form of captions. Derived from
# the English Web Treebank in Universal Dependencies (Silveira et al., 2014), licence CC BY-SA 4.0; so is this file.
# A symbol is a lemma (words of closed classes) or a Penn tag (all others); see filters/word_order.py. Made by
# `python -m pipelines.word_order`. Raise the version in filters/word_order.py when it changes.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args(arguments)
    sentences = read_conllu(chosen.data / "train.conllu.gz")
    groups = varied(sentences, Variation(fragment=1.0, caption=1.0, group=0.0), random.Random(_SEED))  # noqa: S311
    counts = counted([*sentences, *(sentence for group in groups for sentence in group)])
    lines = [f"{a}\t{b}\t{count}" for (a, b), count in sorted(counts.items())]
    chosen.out.write_text(_ABOUT + "\n".join(lines) + "\n", encoding="utf-8")


def counted(sentences: Iterable[Sentence]) -> Counter[tuple[str, str]]:
    """How often one symbol follows another, marks at both ends of a sentence included."""
    lines = [[name for name in symbols(s.lemmas, s.pos, s.tags) if name is not None] for s in sentences]
    often = {name for name, count in Counter(name for line in lines for name in line).items() if count >= _LEAST}
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        marked = [BEGIN, *(name if name in often else RARE for name in line), END]
        found.update(itertools.pairwise(marked))
    return found


if __name__ == "__main__":
    main()
