"""Trains the shipped parser on UD_English-EWT with spaCy's own trainer, and scores it.

Run `python -m specialists.models.parser.recipe --data FOLDER` (`make parser`). The folder holds
`train.conllu.gz` and `dev.conllu.gz`. The best checkpoint is chosen on whole documents held out of the training file;
the dev file is read once, at the end, for `scores.json`. One thread; about 45 minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.loop import train
from spacy.util import fix_random_seed, load_config, load_model_from_config, registry
from spacy.vocab import Vocab
from thinc.api import Config

from specialists.models.parser.treebank import Sentence, read_conllu, split_by_document
from specialists.models.parser.variation import Variation, varied

HERE = Path(__file__).parent
_COLUMNS = ("words", "spaces", "tags", "pos", "lemmas", "heads", "deps")
_FINISH = {
    "corpora.train.strength": 0.2,
    "corpora.train.seed": 8,
    "training.max_steps": 1200,
    "training.dropout": 0.3,
    "training.batcher.size.start": 1000,
    "training.optimizer.learn_rate.warmup_steps": 100,
    "training.optimizer.learn_rate.initial_rate": 0.001,
}  # the second pass, over config.cfg
_PASSAGE = 5  # sentences
_SCORES = {
    "tag": "tag_acc",
    "upos": "pos_acc",
    "lemma": "lemma_acc",
    "uas": "dep_uas",
    "las": "dep_las",
    "sentences_f": "sents_f",
    "tokens_f": "token_f",
}


def gold_doc(vocab: Vocab, sentences: list[Sentence]) -> Doc:
    """One ``Doc`` of consecutive sentences with everything the treebank says about them (features excepted)."""
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for sentence in sentences:
        first = len(columns["words"])
        for name, column in columns.items():
            column.extend(getattr(sentence, name))
        columns["heads"][first:] = [head + first for head in sentence.heads]
        columns["spaces"][-1] = True
    return Doc(vocab, **columns)


def example(vocab: Vocab, sentences: list[Sentence]) -> Example:
    """The sentences as spaCy trains on them: gold tokens to annotate, beside the annotated ones."""
    gold = gold_doc(vocab, sentences)
    bare = Doc(vocab, words=[token.text for token in gold], spaces=[bool(token.whitespace_) for token in gold])
    return Example(bare, gold)


@registry.readers("fld.treebank.v1")  # type: ignore[untyped-decorator]
def treebank_reader(
    path: str, held_out: float, part: str, strength: float, seed: int
) -> Callable[[Language], Iterator[Example]]:
    """A spaCy corpus: ``part`` "train" varies the sentences anew each time it is read, "held_out" gives them as
    written."""
    kept, out = split_by_document(read_conllu(Path(path)), held_out)
    rng = random.Random(seed)  # noqa: S311

    def read(nlp: Language) -> Iterator[Example]:
        groups = (
            varied(kept, Variation().scaled(strength), rng) if part == "train" else ([sentence] for sentence in out)
        )
        for group in groups:
            yield example(nlp.vocab, group)

    return read


def fit(data: Path, work: Path, steps: int | None = None) -> Path:
    """Train as `config.cfg` says, then once more with `_FINISH`; the folder of the finished pipeline.

    The second pass ends on text nearly as it was written, at a small learning rate, so that names are told from nouns
    by their capitals again. The pipeline is the mean of the best and the last checkpoint of both passes. `steps` cuts
    both passes short, for a trial.
    """
    source = str(data / "train.conllu.gz")
    paths = {"corpora.train.path": source, "corpora.dev.path": source}
    first = _config({**paths, **({"training.max_steps": steps} if steps else {})})
    fix_random_seed(first["system"]["seed"])
    nlp = load_model_from_config(first, auto_fill=True)
    kept, _ = split_by_document(read_conllu(Path(source)), first["corpora"]["train"]["held_out"])
    nlp.initialize(lambda: (example(nlp.vocab, [sentence]) for sentence in kept))
    best = _train(nlp, work / "first")
    finish(best, work / "second", {**paths, **({"training.max_steps": steps} if steps else {})})
    checkpoints = [work / name / which for name in ("first", "second") for which in ("model-best", "model-last")]
    return average(checkpoints, work / "average")


def average(checkpoints: Sequence[Path], target: Path) -> Path:
    """The mean of the parameters of checkpoints of one training: nearer the middle of what they all fit.

    Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization.
    """
    pipelines = [spacy.load(path) for path in checkpoints]
    for name, pipe in pipelines[0].pipeline:
        networks = [pipeline.get_pipe(name).model for pipeline in pipelines] if hasattr(pipe, "model") else []
        for layers in zip(*(network.walk() for network in networks), strict=True):
            for parameter in layers[0].param_names:
                if layers[0].has_param(parameter):
                    mean = sum(layer.get_param(parameter) for layer in layers) / len(layers)
                    layers[0].set_param(parameter, mean)
    pipelines[0].to_disk(target)
    return target


def finish(best: Path, work: Path, overrides: Mapping[str, Any]) -> Path:
    """The second pass, from the checkpoint `best`."""
    config = _config({**_FINISH, **overrides})
    fix_random_seed(config["system"]["seed"])
    nlp = spacy.load(best)
    lemmatizer = nlp.get_pipe("trainable_lemmatizer")
    lemmatizer.tree2label = {
        tree: label for label, tree in enumerate(lemmatizer.cfg["labels"])
    }  # spaCy does not read it back
    config = load_model_from_config(config, auto_fill=True).config  # defaults filled in
    merged = nlp.config
    merged.update(training=config["training"], corpora=config["corpora"])
    nlp.config = merged
    return _train(nlp, work)


def _config(overrides: Mapping[str, Any]) -> Config:
    config: Config = load_config(HERE / "config.cfg", overrides=dict(overrides), interpolate=True)
    return config


def _train(nlp: Language, work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    train(nlp, work, stdout=sys.stdout, stderr=sys.stderr)
    return work / "model-best"


def score(nlp: Language, sentences: list[Sentence]) -> dict[str, dict[str, float]]:
    """Scores in per cent, by spaCy's own `Scorer`.

    `gold_tokens`: the treebank's words, one sentence a text; spaCy leaves punctuation out of UAS and LAS, and
    `uas_with_punctuation`, `las_with_punctuation` count it. `raw_text`: the same sentences as strings, through
    spaCy's tokenizer (UAS and LAS are then F-scores). `raw_passages`: up to five sentences a text, so that
    boundaries are found too.
    """
    single = [[sentence] for sentence in sentences]
    passages = [list(group) for _, group in itertools.groupby(sentences, key=lambda one: one.document)]
    passages = [group[at : at + _PASSAGE] for group in passages for at in range(0, len(group), _PASSAGE)]
    gold = [example(nlp.vocab, group) for group in single]
    found = {"gold_tokens": _scores(nlp, gold)}
    every = Scorer.score_deps(gold, "dep", getter=_label, head_getter=lambda token, _: token.head, ignore_labels=())
    found["gold_tokens"] |= {f"{name}_with_punctuation": _per_cent(every[f"dep_{name}"]) for name in ("uas", "las")}
    for name, groups in (("raw_text", single), ("raw_passages", passages)):
        docs = [gold_doc(nlp.vocab, group) for group in groups]
        found[name] = _scores(nlp, [Example(nlp.make_doc(doc.text), doc) for doc in docs])
    return found


def _scores(nlp: Language, examples: list[Example]) -> dict[str, float]:
    """Parse the examples (they keep the parse) and score them."""
    parsed = nlp.pipe([one.predicted for one in examples])
    for one, doc in zip(examples, parsed, strict=True):
        one.predicted = doc
    result = Scorer(nlp).score(examples)
    return {ours: _per_cent(result[theirs]) for ours, theirs in _SCORES.items() if result.get(theirs) is not None}


def _per_cent(share: float) -> float:
    return round(100 * share, 2)


def _label(token: Any, attribute: str) -> str:
    return str(token.vocab.strings[getattr(token, attribute)]).lower()


def ship(best: Path, model: Path, scores: dict[str, dict[str, float]]) -> None:
    """Write the checkpoint to `model`, without the places it was trained in and with what its licence asks to
    name."""
    nlp = spacy.load(best)
    config = nlp.config
    for corpus in ("train", "dev"):
        config["corpora"][corpus]["path"] = "train.conllu.gz"
    nlp.config = config
    nlp.meta.update(
        name="ewt",
        version="1.0.0",
        description="English tagger, lemmatizer and dependency parser (Universal Dependencies), for captions",
        license="CC BY-SA 4.0",
        sources=[{"name": "UD_English-EWT", "url": "https://universaldependencies.org", "license": "CC BY-SA 4.0"}],
        performance=scores["gold_tokens"],
    )
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir(parents=True)
    nlp.to_disk(model)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: train, ship, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.conllu.gz and dev.conllu.gz")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="gets en_ewt/ and scores.json (default: the shipped ones)"
    )
    parser.add_argument("--checkpoint", type=Path, help="ship and score this trained pipeline instead of training")
    parser.add_argument("--max-steps", type=int, help="instead of the steps of config.cfg, for a trial")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        best = given.checkpoint or fit(given.data, Path(folder), given.max_steps)
        scores = score(spacy.load(best), read_conllu(given.data / "dev.conllu.gz"))
        ship(best, given.out / "en_ewt", scores)
    (given.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
