"""The spaCy parser: its record, the shipped model and its recipe."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from engine.errors import ConfigError, WeightsMissing
from engine.tokens import Tokens, check
from filters.syntax import noun_chunks
from specialists.models.parser.recipe import score
from specialists.models.parser.treebank import Sentence, read_conllu, split_by_document
from specialists.models.parser.variation import (
    Variation,
    caption,
    fragment,
    lower_case,
    participle,
    third_person,
    varied,
    without_stop,
)
from specialists.spacy_parser import SHIPPED, SpacyParser

TREEBANK = Path(__file__).parents[3] / "shared" / "data" / "ud_ewt"


@pytest.fixture(scope="module")
def parser() -> SpacyParser:
    shipped = SpacyParser(SpacyParser.Config())
    shipped.load("cpu")
    return shipped


def words(tokens: Tokens, texts: list[str]) -> list[str]:
    return [
        texts[t][a:b] for t, a, b in zip(tokens.text.tolist(), tokens.start.tolist(), tokens.end.tolist(), strict=True)
    ]


def test_a_caption_from_the_issue(parser: SpacyParser) -> None:
    texts = ["A man with a red helmet on a small moped on a dirt road."]
    tokens = check(parser.parse(texts), texts)
    assert words(tokens, texts) == [*texts[0].removesuffix(".").split(), "."]
    assert noun_chunks(tokens, texts).phrase == ["A man", "a red helmet", "a small moped", "a dirt road"]
    assert tokens.dep.count("root") == 1


@pytest.mark.parametrize(
    ("text", "word", "lemma", "upos"),
    [
        ("Two dogs on a beach.", "dogs", "dog", "NOUN"),
        ("Three men riding horses on the beach", "men", "man", "NOUN"),
        ("Three men riding horses on the beach", "riding", "ride", "VERB"),
        ("Three men riding horses on the beach", "horses", "horse", "NOUN"),
        ("A woman is holding two knives.", "holding", "hold", "VERB"),
        ("Several people sitting at tables", "people", "people", "NOUN"),
        ("Some children are playing with a ball", "children", "child", "NOUN"),
        ("The women were talking", "women", "woman", "NOUN"),
    ],
)
def test_lemmas_of_captions(parser: SpacyParser, text: str, word: str, lemma: str, upos: str) -> None:
    tokens = parser.parse([text])
    at = words(tokens, [text]).index(word)
    expected = {"people": ("people", "person")}.get(word, (lemma,))
    assert tokens.lemma[at] in expected
    assert tokens.upos[at] == upos


def test_texts_without_words_give_no_tokens(parser: SpacyParser) -> None:
    texts = ["", "   ", "A dog.", "\n\t", ""]
    tokens = check(parser.parse(texts), texts)
    assert tokens.offsets.tolist() == [0, 0, 0, 3, 3, 3]
    assert len(parser.parse([])) == 0


def test_white_space_is_no_token_and_spans_point_into_the_text_as_it_is(parser: SpacyParser) -> None:
    texts = ["  A  man\n\nriding\u00a0 a\tbike . ", "A man riding a bike ."]
    tokens = check(parser.parse(texts), texts)
    assert words(tokens, texts) == ["A", "man", "riding", "a", "bike", "."] * 2
    half = len(tokens.dep) // 2
    assert tokens.dep[:half] == tokens.dep[half:]
    assert tokens.head[:half].tolist() == tokens.head[half:].tolist()


def test_a_text_is_parsed_the_same_in_any_company(parser: SpacyParser) -> None:
    texts = ["A cat and two dogs.", "a long train on a steel track near some trees", "Two people. They sit."]
    batch = parser.parse(texts)
    for at, text in enumerate(texts):
        alone = parser.parse([text])
        here = slice(int(batch.offsets[at]), int(batch.offsets[at + 1]))
        assert batch.dep[here] == alone.dep
        assert batch.head[here].tolist() == alone.head.tolist()


def test_a_long_text_is_cut_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    short = SpacyParser(SpacyParser.Config(max_chars=5))
    tokens = short.parse(["A dog runs."])
    assert tokens.end.tolist() == [1, 5]
    assert "max_chars=5" in caplog.text


def test_several_sentences_have_a_root_each(parser: SpacyParser) -> None:
    assert parser.parse(["A dog runs on the beach. The beach is empty."]).dep.count("root") == 2


def test_a_model_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(WeightsMissing, match="spacy download en_core_web_nowhere"):
        SpacyParser(SpacyParser.Config(model="en_core_web_nowhere")).load("cpu")


def test_a_pipeline_without_a_parser_is_refused(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ConfigError, match="no parser"):
        SpacyParser(SpacyParser.Config(model=str(tmp_path / "blank"))).load("cpu")


class ClearStub:
    """A parser component that knows one sentence, in CLEAR labels."""

    labels = ("ROOT", "det", "pobj", "prep")

    def __call__(self, doc: Doc) -> Doc:
        columns: list[list[Any]] = [
            [1, 1, 1, 4, 2],
            ["det", "ROOT", "prep", "det", "pobj"],
            ["DET", "NOUN", "ADP", "DET", "NOUN"],
        ]
        for token, head, dep, pos in zip(doc, *columns, strict=True):
            token.head, token.dep_, token.pos_, token.lemma_, token.tag_ = doc[head], dep, pos, token.lower_, "NN"
        return doc

    def to_disk(self, _path: Path, exclude: Any = ()) -> None:
        pass

    def from_disk(self, _path: Path, exclude: Any = ()) -> "ClearStub":
        return self


def test_a_model_with_clear_labels_answers_in_ud(tmp_path: Path) -> None:
    Language.factory("fld_clear_stub", func=lambda nlp, name: ClearStub())
    nlp = spacy.blank("en")
    nlp.add_pipe("fld_clear_stub", name="parser")
    nlp.to_disk(tmp_path / "clear")
    tokens = SpacyParser(SpacyParser.Config(model=str(tmp_path / "clear"))).parse(["a dog on a bench"])
    assert tokens.dep == ["det", "root", "case", "det", "nmod"]
    assert tokens.head.tolist() == [1, 1, 4, 4, 1]


def test_naming_the_parser_does_not_import_spacy() -> None:
    code = "import sys, specialists.spacy_parser; sys.exit('spacy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_the_shipped_model_is_small_and_names_no_place(parser: SpacyParser) -> None:
    files = parser.weights()
    assert sum(path.stat().st_size for path in files) <= 10_000_000
    assert files == sorted(files)
    meta = json.loads((SHIPPED / "meta.json").read_text(encoding="utf-8"))
    assert meta["license"] == "CC BY-SA 4.0"
    assert not [
        line
        for line in (SHIPPED / "config.cfg").read_text(encoding="utf-8").splitlines()
        if line.startswith('path = "/')
    ]


def test_the_shipped_model_scores_what_its_card_says() -> None:
    if not TREEBANK.is_dir():
        pytest.skip("the treebank is not here: ../shared/data/ud_ewt")
    said = json.loads((SHIPPED.parent / "scores.json").read_text(encoding="utf-8"))
    found = score(spacy.load(SHIPPED), read_conllu(TREEBANK / "dev.conllu.gz"))
    for way, scores in said.items():
        for name, value in scores.items():
            assert found[way][name] >= value - 0.05, f"{way} {name}: {found[way][name]}, the card says {value}"
    assert said["gold_tokens"]["tag"] >= 94
    assert said["gold_tokens"]["uas"] >= 85
    assert said["gold_tokens"]["las"] >= 81


HORSE = Sentence(
    document="d",
    words=("He", "rode", "a", "brown", "horse", "on", "Sunday", "."),
    spaces=(True, True, True, True, True, True, False, True),
    lemmas=("he", "ride", "a", "brown", "horse", "on", "Sunday", "."),
    pos=("PRON", "VERB", "DET", "ADJ", "NOUN", "ADP", "PROPN", "PUNCT"),
    tags=("PRP", "VBD", "DT", "JJ", "NN", "IN", "NNP", "."),
    heads=(1, 1, 4, 4, 1, 6, 1, 1),
    deps=("nsubj", "ROOT", "det", "amod", "obj", "case", "obl", "punct"),
)


def test_a_noun_phrase_becomes_a_sentence() -> None:
    found = fragment(HORSE, random.Random(0))
    assert found is not None
    assert found.words == ("a", "brown", "horse")
    assert found.heads == (2, 2, 2)
    assert found.deps == ("det", "amod", "ROOT")


def test_a_clause_becomes_a_caption() -> None:
    man = Sentence(
        "d", ("a", "man"), (True, True), ("a", "man"), ("DET", "NOUN"), ("DT", "NN"), (1, 1), ("det", "ROOT")
    )
    rng = random.Random(0)
    found = {" ".join(one.words).lower(): one for _ in range(20) if (one := caption(HORSE, {}, [man], rng))}
    assert set(found) == {"a man riding a brown horse on sunday", "a man rides a brown horse on sunday"}
    participle_one = found["a man riding a brown horse on sunday"]
    assert participle_one.heads == (1, 1, 1, 5, 5, 2, 7, 2)
    assert participle_one.deps == ("det", "ROOT", "acl", "det", "amod", "obj", "case", "obl")
    assert participle_one.tags[2] == "VBG"
    finite = found["a man rides a brown horse on sunday"]
    assert finite.heads == (1, 2, 2, 5, 5, 2, 7, 2)
    assert finite.tags[2] == "VBZ"


def test_capitals_and_the_full_stop_can_go() -> None:
    assert lower_case(HORSE).words == ("he", "rode", "a", "brown", "horse", "on", "sunday", ".")
    assert lower_case(HORSE).lemmas[6] == "sunday"
    assert lower_case(HORSE, first_only=True).words[:2] == ("he", "rode")
    assert without_stop(HORSE).words == HORSE.words[:-1]
    assert without_stop(without_stop(HORSE)) == without_stop(HORSE)


@pytest.mark.parametrize(
    ("lemma", "ing", "s"),
    [
        ("ride", "riding", "rides"),
        ("sit", "sitting", "sits"),
        ("lie", "lying", "lies"),
        ("carry", "carrying", "carries"),
        ("catch", "catching", "catches"),
        ("play", "playing", "plays"),
    ],
)
def test_regular_forms(lemma: str, ing: str, s: str) -> None:
    assert (participle(lemma), third_person(lemma)) == (ing, s)


def test_variation_is_repeatable_and_always_makes_trees() -> None:
    sentences = [HORSE] * 40
    once, again = (list(varied(sentences, Variation(), random.Random(3))) for _ in range(2))
    assert once == again
    for sentence in (one for group in once for one in group):
        size = len(sentence.words)
        assert {
            len(column) for column in (sentence.spaces, sentence.lemmas, sentence.pos, sentence.tags, sentence.deps)
        } == {size}
        assert [dep == "ROOT" for dep in sentence.deps] == [head == at for at, head in enumerate(sentence.heads)]
        assert sentence.deps.count("ROOT") == 1


def test_held_out_documents_are_whole_and_do_not_depend_on_order() -> None:
    sentences = [Sentence(f"doc{n % 50}", *HORSE.__getstate__()[1:]) for n in range(200)]  # type: ignore[index]
    kept, out = split_by_document(sentences, 0.3)
    assert len(kept) + len(out) == 200
    assert not {one.document for one in kept} & {one.document for one in out}
    assert {one.document for one in out} == {one.document for one in split_by_document(sentences[::-1], 0.3)[1]}


def test_conllu_ranges_and_empty_nodes_are_skipped(tmp_path: Path) -> None:
    import gzip

    rows = [
        "# newdoc id = one",
        "# text = I don't.",
        "1\tI\tI\tPRON\tPRP\t_\t3\tnsubj\t_\t_",
        "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No",
        "2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_",
        "3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_",
        "3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t2:dep\t_",
        "4\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_",
        "",
    ]
    path = tmp_path / "small.conllu.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    (sentence,) = read_conllu(path)
    assert sentence.document == "one"
    assert (
        "".join(word + " " * space for word, space in zip(sentence.words, sentence.spaces, strict=True)) == "I don't. "
    )
    assert sentence.heads == (2, 1, 1, 1)
    assert sentence.deps == ("nsubj", "ROOT", "advmod", "punct")
