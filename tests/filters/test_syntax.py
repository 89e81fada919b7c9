"""Noun phrases and measures, on trees written by hand as a parser would give them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RecordError
from engine.tokens import Tokens, check
from filters.syntax import PLURAL, UNKNOWN, Chunks, degrees, measures, noun_chunks

TAGS = {"DET": "DT", "NOUN": "NN", "ADJ": "JJ", "ADP": "IN", "VERB": "VBG", "NUM": "CD", "CCONJ": "CC", "PUNCT": ",",
        "PROPN": "NNP", "ADV": "RB", "PRON": "PRP", "AUX": "VBZ", "PART": "POS"}  # fmt: skip


def record(*sentences: str) -> tuple[Tokens, list[str]]:
    """Tokens of texts written as "word/UPOS[/TAG]/head/dep" with heads from 1 (0: root); "=" before a word glues it
    to the last."""
    offsets, starts, ends, heads = [0], [], [], []
    lemma: list[str] = []
    upos: list[str] = []
    tag: list[str] = []
    dep: list[str] = []
    texts = []
    for sentence in sentences:
        text = ""
        for at, part in enumerate(sentence.split()):
            word, kind, *middle, head, label = part.split("/")
            glued = word.startswith("=")
            word = word.removeprefix("=")
            text += "" if glued or not text else " "
            starts.append(len(text))
            text += word
            ends.append(len(text))
            upos.append(kind)
            tag.append(middle[0] if middle else TAGS[kind])
            lemma.append(word.lower().removesuffix("s") if tag[-1] == "NNS" else word.lower())
            heads.append(int(head) - 1 if head != "0" else at)
            dep.append(label)
        offsets.append(len(starts))
        texts.append(text)
    int32 = np.int32
    tokens = Tokens(
        np.array(offsets, np.int64),
        np.array(starts, int32),
        np.array(ends, int32),
        lemma,
        upos,
        tag,
        np.array(heads, int32),
        dep,
    )
    return check(tokens, texts), texts


def phrases(sentence: str) -> list[str]:
    return chunks(sentence).phrase


def chunks(*sentences: str) -> Chunks:
    return noun_chunks(*record(*sentences))


MOPED = (
    "A/DET/2/det man/NOUN/0/root with/ADP/6/case a/DET/6/det red/ADJ/6/amod helmet/NOUN/2/nmod on/ADP/10/case a/DET/10/det "
    "small/ADJ/10/amod moped/NOUN/2/nmod on/ADP/14/case a/DET/14/det dirt/NOUN/14/compound road/NOUN/2/nmod =./PUNCT/2/punct"
)
PETS = "a/DET/2/det cat/NOUN/0/root and/CCONJ/5/cc two/NUM/5/nummod dogs/NOUN/NNS/2/conj"


def test_prepositional_phrases_are_phrases_of_their_own() -> None:
    found = chunks(MOPED)
    assert found.phrase == ["A man", "a red helmet", "a small moped", "a dirt road"]
    assert found.lemma == ["man", "helmet", "moped", "road"]
    assert found.modifiers.tolist() == [0, 1, 1, 1]
    assert found.head.tolist() == [1, 5, 9, 13]
    assert found.number.tolist() == [1, 1, 1, 1]


def test_conjuncts_are_split_and_counted() -> None:
    found = chunks(PETS)
    assert found.phrase == ["a cat", "two dogs"]
    assert found.number.tolist() == [1, 2]
    assert found.lemma == ["cat", "dog"]


def test_clauses_are_outside() -> None:
    sentence = "A/DET/2/det man/NOUN/0/root who/PRON/WP/4/nsubj rides/VERB/2/acl:relcl a/DET/7/det big/ADJ/7/amod horse/NOUN/4/obj"
    assert phrases(sentence) == ["A man", "who", "a big horse"]


def test_a_possessor_stays_inside_and_is_no_phrase_of_its_own() -> None:
    sentence = "the/DET/2/det man/NOUN/4/nmod:poss ='s/PART/2/case dog/NOUN/5/nsubj barks/VERB/0/root"
    found = chunks(sentence)
    assert found.phrase == ["the man's dog"]
    assert found.lemma == ["dog"]
    assert found.modifiers.tolist() == [1]


def test_names_stay_whole_with_their_first_word_as_head() -> None:
    found = chunks("near/ADP/2/case Mount/PROPN/4/obl Everest/PROPN/2/flat climbing/VERB/0/root")
    assert found.phrase == ["Mount Everest"]
    assert found.head.tolist() == [1]


def test_coordinated_adjectives_and_commas_stay_inside() -> None:
    flag = (
        "a/DET/7/det red/ADJ/7/amod =,/PUNCT/4/punct white/ADJ/2/conj and/CCONJ/6/cc blue/ADJ/2/conj flag/NOUN/0/root"
    )
    assert phrases(flag) == ["a red, white and blue flag"]
    assert phrases("a/DET/5/det big/ADJ/5/amod =,/PUNCT/5/punct old/ADJ/5/amod bus/NOUN/0/root") == ["a big, old bus"]


def test_punctuation_and_adverbs_are_cut_off_the_edges() -> None:
    only = "Only/ADV/3/advmod a/DET/3/det cat/NOUN/0/root =,/PUNCT/6/punct a/DET/6/det dog/NOUN/3/conj"
    assert phrases(only) == ["a cat", "a dog"]


def test_a_predicate_noun_leaves_its_copula_and_subject_outside() -> None:
    assert phrases("This/PRON/DT/4/nsubj is/AUX/4/cop a/DET/4/det picture/NOUN/0/root") == ["This", "a picture"]


def test_hyphenated_age_is_one_phrase() -> None:
    boy = "a/DET/7/det two/NUM/4/nummod =-/PUNCT/2/punct =year/NOUN/6/obl:unmarked =-/PUNCT/6/punct =old/ADJ/7/amod boy/NOUN/0/root"
    found = chunks(boy)
    assert found.phrase == ["a two-year-old boy"]
    assert found.number.tolist() == [1]


def test_a_noun_that_the_tagger_mistook_is_still_a_phrase() -> None:
    moped = "a/DET/2/det man/NOUN/0/root on/ADP/6/case a/DET/6/det small/ADJ/6/amod moped/VERB/VBN/2/nmod"
    found = chunks(moped)
    assert found.phrase == ["a man", "a small moped"]
    assert found.upos == ["NOUN", "NOUN"]
    sink = "a/DET/2/det shower/NOUN/0/root and/CCONJ/4/cc sink/VERB/VB/2/conj"
    assert phrases(sink) == ["a shower", "sink"]
    assert measures(record(moped, sink)[0]).n_actions.tolist() == [0, 0]
    sign = "A/DET/2/det street/NOUN/3/nsubj sign/VERB/NN/0/root on/ADP/6/case a/DET/6/det pole/NOUN/3/obl"
    assert phrases(sign) == ["A street sign", "a pole"]
    reading = "a/DET/2/det man/NOUN/0/root sitting/VERB/2/acl and/CCONJ/5/cc read/VERB/VB/2/conj books/NOUN/NNS/5/obj"
    assert phrases(reading) == ["a man", "books"]


def test_a_prepositional_phrase_below_a_modifier_is_not_inside() -> None:
    walk = "a/DET/2/det walk/NOUN/6/compound in/ADP/4/case shower/NOUN/2/nmod big/ADJ/6/amod head/NOUN/0/root"
    assert phrases(walk) == ["a walk", "shower", "big head"]


def test_an_expletive_is_no_phrase_and_pronouns_are_told_apart() -> None:
    found = chunks("There/PRON/EX/2/expl is/VERB/VBZ/0/root it/PRON/2/nsubj")
    assert found.phrase == ["it"]
    assert found.upos == ["PRON"]


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        ("dogs/NOUN/NNS/0/root", PLURAL),
        ("grass/NOUN/0/root", UNKNOWN),
        ("some/DET/2/det grass/NOUN/0/root", UNKNOWN),
        ("another/DET/2/det dog/NOUN/0/root", 1),
        ("his/PRON/PRP$/2/nmod:poss dog/NOUN/0/root", 1),
        ("Paris/PROPN/0/root", 1),
        ("12/NUM/2/nummod dogs/NOUN/NNS/0/root", 12),
        ("1,200/NUM/2/nummod dogs/NOUN/NNS/0/root", 1200),
        ("two/NUM/2/compound hundred/NUM/3/nummod dogs/NOUN/NNS/0/root", 200),
        ("twenty-one/NUM/2/nummod dogs/NOUN/NNS/0/root", 21),
        ("a/DET/3/det dozen/NUM/3/nummod eggs/NOUN/NNS/0/root", 12),
        ("two/NUM/4/nummod or/CCONJ/3/cc three/NUM/1/conj dogs/NOUN/NNS/0/root", PLURAL),
        ("both/DET/2/det dogs/NOUN/NNS/0/root", 2),
        ("2-3/NUM/2/nummod dogs/NOUN/NNS/0/root", PLURAL),
        ("five/NUM/4/nummod to/ADP/3/case six/NUM/1/nmod dogs/NOUN/NNS/0/root", PLURAL),
        ("5/NUM/4/nummod =-/SYM/SYM/3/case =6/NUM/1/nmod dogs/NOUN/NNS/0/root", PLURAL),
        ("she/PRON/0/root", 1),
        ("they/PRON/0/root", PLURAL),
        ("who/PRON/WP/0/root", UNKNOWN),
    ],
)
def test_the_number_a_phrase_asks_for(sentence: str, number: int) -> None:
    assert chunks(sentence).number.tolist() == [number]


def test_a_couple_and_a_pair_are_two() -> None:
    assert chunks("a/DET/2/det couple/NOUN/0/root of/ADP/4/case sheep/NOUN/2/nmod").number.tolist() == [1, 2]
    for word, number in (("couple/NOUN", 2), ("pair/NOUN", 2), ("pairs/NOUN/NNS", PLURAL), ("photo/NOUN", PLURAL)):
        found = chunks(f"a/DET/2/det {word}/0/root of/ADP/4/case dogs/NOUN/NNS/2/nmod")
        assert found.phrase[1] == "dogs"
        assert found.number[1] == number
    assert chunks("a/DET/2/det couple/NOUN/0/root on/ADP/4/case skis/NOUN/NNS/2/nmod").number.tolist() == [1, PLURAL]


A_DOG_OR_A_CAT = "a/DET/3/det dog/NOUN/{0} {1}/CCONJ/6/cc a/DET/6/det cat/NOUN/3/conj"


@pytest.mark.parametrize(
    ("sentence", "denied"),
    [
        ("a/DET/2/det place/NOUN/0/root with/ADP/5/case no/DET/5/det people/NOUN/NNS/2/nmod", ["no people"]),
        ("0/NUM/2/nummod dogs/NOUN/NNS/0/root", ["0 dogs"]),
        ("zero/NUM/2/nummod dogs/NOUN/NNS/0/root", ["zero dogs"]),
        ("10/NUM/2/nummod dogs/NOUN/NNS/0/root", []),
        ("a/DET/2/det street/NOUN/0/root without/ADP/5/case a/DET/5/det person/NOUN/2/nmod", ["a person"]),
        (
            "a/DET/2/det man/NOUN/0/root without/ADP/5/case a/DET/5/det hat/NOUN/2/nmod on/ADP/7/case grass/NOUN/5/nmod",
            ["a hat"],
        ),
        ("not/PART/RB/3/advmod a/DET/3/det dog/NOUN/0/root", ["a dog"]),
        ("not/PART/RB/4/advmod only/ADV/4/advmod a/DET/4/det dog/NOUN/0/root", []),
        ("it/PRON/6/nsubj is/AUX/6/cop not/PART/RB/6/advmod on/ADP/6/case a/DET/6/det sofa/NOUN/0/root", []),
        ("with/ADP/5/case not/PART/RB/5/advmod a/DET/5/det single/ADJ/5/amod car/NOUN/0/root", ["a single car"]),
        (
            "There/PRON/EX/2/expl is/VERB/0/root not/PART/RB/2/advmod a/DET/5/det dog/NOUN/2/nsubj "
            "on/ADP/7/case sofas/NOUN/NNS/2/obl",
            ["a dog"],
        ),
        ("There/PRON/EX/2/expl are/VERB/0/root dogs/NOUN/NNS/2/nsubj", []),
        ("There/PRON/EX/2/expl are/VERB/0/root not/PART/RB/2/advmod many/ADJ/5/amod dogs/NOUN/NNS/2/nsubj", []),
        (f"neither/CCONJ/3/cc:preconj {A_DOG_OR_A_CAT.format('0/root', 'nor')}", ["a dog", "a cat"]),
        (f"without/ADP/3/case {A_DOG_OR_A_CAT.format('0/root', 'or')}", ["a dog", "a cat"]),
        (f"without/ADP/3/case {A_DOG_OR_A_CAT.format('0/root', 'and')}", ["a dog"]),
        ("no/DET/2/det dogs/NOUN/NNS/0/root and/CCONJ/4/cc cats/NOUN/NNS/2/conj", ["no dogs", "cats"]),
        ("no/DET/2/det dogs/NOUN/NNS/0/root but/CCONJ/4/cc cats/NOUN/NNS/2/conj", ["no dogs"]),
        ("a/DET/4/det no/DET/3/det parking/NOUN/4/compound sign/NOUN/0/root", []),
        ("a/DET/3/det no/DET/3/det sign/NOUN/0/root", []),
        ("neither/DET/2/det dog/NOUN/3/nsubj sleeps/VERB/0/root", []),
    ],
)
def test_phrases_that_say_what_is_not_there(sentence: str, denied: list[str]) -> None:
    found = chunks(sentence)
    assert [phrase for phrase, none in zip(found.phrase, found.denied.tolist(), strict=True) if none] == denied


def test_texts_do_not_touch_each_other_and_may_be_empty() -> None:
    found = chunks("", PETS, "", MOPED)
    assert found.text.tolist() == [1, 1, 3, 3, 3, 3]
    assert found.phrase == chunks(PETS).phrase + chunks(MOPED).phrase
    assert found.start.tolist() == [0, 3, 0, 3, 7, 11]
    absent = "There/PRON/EX/2/expl are/VERB/0/root dogs/NOUN/NNS/2/nsubj not/PART/RB/2/advmod"
    assert chunks(absent, "only/ADV/2/advmod dogs/NOUN/NNS/0/root").denied.tolist() == [True, False]
    assert len(chunks("")) == 0
    assert len(chunks()) == 0


def test_measures_of_one_caption() -> None:
    """A(1) man(2+: A, helmet, moped, road, full stop = 5) … helmet(with, a, red, man = 4), moped 4, dirt 1, road
    4."""
    found = measures(
        record(
            MOPED, "", "a/DET/2/det man/NOUN/0/root riding/VERB/2/acl a/DET/6/det smiling/VERB/6/amod horse/NOUN/3/obj"
        )[0]
    )
    assert found.n_tokens.tolist() == [15, 0, 6]
    assert found.n_objects.tolist() == [5, 0, 2]
    assert found.n_attributes.tolist() == [3, 0, 1]
    assert found.n_actions.tolist() == [0, 0, 1]
    assert found.n_proper_nouns.tolist() == [0, 0, 0]
    assert found.object_complexity.tolist() == pytest.approx([(5 + 4 + 4 + 1 + 4) / 5, 0, (2 + 3) / 2])
    assert found.action_complexity.tolist() == pytest.approx([0, 0, 2])


def test_being_is_no_action() -> None:
    assert measures(record("there/PRON/EX/2/expl be/VERB/0/root dogs/NOUN/NNS/2/nsubj")[0]).n_actions.tolist() == [0]


LABELS = [
    "det",
    "amod",
    "nummod",
    "compound",
    "nmod",
    "nmod:poss",
    "flat",
    "conj",
    "cc",
    "case",
    "punct",
    "nsubj",
    "obj",
    "obl",
    "acl",
    "advmod",
]


@st.composite
def forests(draw: st.DrawFn) -> tuple[Tokens, list[str]]:
    """Any trees over any words, projective or not: what a parser could answer at its worst."""
    sentences = []
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(0, 9))
        order = draw(st.permutations(range(size)))
        parts = [""] * size
        for rank, at in enumerate(order):
            head = 0 if rank == 0 else order[draw(st.integers(0, rank - 1))] + 1
            label = "root" if head == 0 else draw(st.sampled_from(LABELS))
            glue = "=" if draw(st.booleans()) else ""
            word = draw(st.sampled_from(["dog", "two", "a", "Über", "-", "10"]))
            parts[at] = f"{glue}{word}/{draw(st.sampled_from(list(TAGS)))}/{head}/{label}"
        sentences.append(" ".join(parts))
    return record(*sentences)


@settings(max_examples=150, deadline=None)
@given(forests())
def test_whatever_the_tree(case: tuple[Tokens, list[str]]) -> None:
    tokens, texts = case
    found = noun_chunks(tokens, texts)
    assert np.all(found.start <= found.head)
    assert np.all(found.head < found.end)
    for at, text in enumerate(found.text.tolist()):
        assert 0 <= found.char_start[at] < found.char_end[at] <= len(texts[text])
        assert found.phrase[at] == texts[text][found.char_start[at] : found.char_end[at]]
    first = tokens.offsets[found.text] + found.start
    last = tokens.offsets[found.text] + found.end
    assert np.all(first[1:] >= last[:-1])
    sizes = np.diff(tokens.offsets)
    per_text = np.bincount(tokens.text, weights=degrees(tokens), minlength=len(texts))
    assert per_text.tolist() == [2 * max(0, size - 1) for size in sizes.tolist()]
    assert len(measures(tokens).n_tokens) == len(texts)


def test_a_record_that_is_not_whole_is_refused() -> None:
    tokens, texts = record(PETS)
    with pytest.raises(RecordError, match="beyond the end"):
        check(tokens, ["a cat"])
    tokens.head[0] = 9
    with pytest.raises(RecordError, match="not one of its tokens"):
        check(tokens, texts)
    tokens.head[:2] = [1, 0]
    with pytest.raises(RecordError, match="cycle"):
        check(tokens, texts)
