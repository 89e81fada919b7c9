"""Varies the sentences of a treebank towards captions: no capitals, no full stop, noun phrases, "a man riding a
horse".

Web text has few such sentences, so a parser trained on it takes the verb of "a bicycle sits on a kerb" for a noun.
Every variation is made from a sentence of the treebank by rule, and keeps its annotation; nothing else is read.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from specialists.models.parser.treebank import ROOT, Sentence

Forms = dict[tuple[str, str], str]
_NOUNS = frozenset({"NOUN", "PROPN"})
_NOT_IN_FRAGMENT = frozenset(
    {"case", "punct", "mark", "cc", "cc:preconj", "cop", "nsubj", "conj", "parataxis", "expl", "advmod", "aux"}
)
_AFTER_VERB = frozenset({"obj", "iobj", "obl", "obl:unmarked", "obl:agent", "compound:prt", "advmod", "xcomp"})
_LENGTHS = range(3, 21)
_FINITE = frozenset({"VBD", "VBZ", "VBP"})
_PLURAL = frozenset({"NNS", "NNPS"})


@dataclass(frozen=True, slots=True)
class Variation:
    """How often a training sentence is shown otherwise than it was written (probabilities, drawn anew each epoch).

    `lower` writes the whole sentence in lower case, `lower_first` its first word only, `no_stop` drops final
    punctuation; `fragment` adds a noun phrase of the sentence as a sentence of its own, `caption` a clause of it in
    the present tense or as a participle; `group` joins a sentence to the one before it (it teaches boundaries).
    """

    lower: float = 0.04
    lower_first: float = 0.1
    no_stop: float = 0.15
    fragment: float = 0.15
    caption: float = 0.25
    group: float = 0.3

    def scaled(self, strength: float) -> Variation:
        """Nearer to the text as written: all but `caption` and `group` as often as `strength` says (0 to 1)."""
        return Variation(
            lower=self.lower * strength,
            lower_first=self.lower_first * strength,
            no_stop=self.no_stop * strength,
            fragment=self.fragment * strength,
            caption=self.caption,
            group=self.group,
        )


def lower_case(sentence: Sentence, first_only: bool = False) -> Sentence:
    """The sentence without capitals; the pronoun ``I`` stays when only the first word changes."""
    if first_only:
        if sentence.words[0] == "I":
            return sentence
        words = (sentence.words[0].lower(), *sentence.words[1:])
    else:
        words = tuple(word.lower() for word in sentence.words)
    lemmas = tuple(
        lemma.lower() if new != old and pos == "PROPN" else lemma
        for lemma, pos, old, new in zip(sentence.lemmas, sentence.pos, sentence.words, words, strict=True)
    )
    return replace(sentence, words=words, lemmas=lemmas)


def take(sentence: Sentence, keep: list[int], root: int) -> Sentence:
    """The sentence of the words ``keep`` (ascending); ``root`` becomes the root, every other head must be among
    them."""
    place = {old: new for new, old in enumerate(keep)}
    return Sentence(
        document=sentence.document,
        words=tuple(sentence.words[i] for i in keep),
        spaces=tuple(sentence.spaces[i] for i in keep),
        lemmas=tuple(sentence.lemmas[i] for i in keep),
        pos=tuple(sentence.pos[i] for i in keep),
        tags=tuple(sentence.tags[i] for i in keep),
        heads=tuple(place[i] if i == root else place[sentence.heads[i]] for i in keep),
        deps=tuple(ROOT if i == root else sentence.deps[i] for i in keep),
    )


def without_stop(sentence: Sentence) -> Sentence:
    """The sentence without its final punctuation, where nothing hangs on it and something is left."""
    last = len(sentence.words) - 1
    if last < 1 or sentence.pos[last] != "PUNCT" or last in sentence.heads[:last]:
        return sentence
    root = next(at for at, head in enumerate(sentence.heads) if head == at)
    return sentence if root == last else take(sentence, list(range(last)), root)


def fragment(sentence: Sentence, rng: random.Random, lengths: range = _LENGTHS) -> Sentence | None:
    """One noun phrase of the sentence with all that hangs on it, as a sentence; None when there is none of a useful
    length."""
    below = _children(sentence)
    nouns = [
        at for at, pos in enumerate(sentence.pos) if pos in _NOUNS and sentence.deps[at] not in ("compound", "flat")
    ]
    rng.shuffle(nouns)
    for noun in nouns[:3]:
        inside = [child for child in below[noun] if sentence.deps[child] not in _NOT_IN_FRAGMENT]
        keep = sorted([noun, *_under(inside, below)])
        if len(keep) in lengths and keep[-1] - keep[0] + 1 == len(keep):
            return take(sentence, keep, noun)
    return None


def word_forms(sentences: Iterable[Sentence]) -> Forms:
    """(lemma, Penn tag) -> the form of that verb in the treebank, in lower case."""
    return {
        (lemma, tag): word.lower()
        for sentence in sentences
        for word, lemma, tag in zip(sentence.words, sentence.lemmas, sentence.tags, strict=True)
        if tag in ("VBG", "VBZ")
    }


def caption(sentence: Sentence, forms: Forms, subjects_for: list[Sentence], rng: random.Random) -> Sentence | None:
    """One clause of the sentence as a caption would say it: "A man rides a horse" or "A man riding a horse"; None
    without such a clause."""
    below = _children(sentence)
    verbs = [at for at, tag in enumerate(sentence.tags) if tag in _FINITE and sentence.pos[at] == "VERB"]
    rng.shuffle(verbs)
    for verb in verbs[:3]:
        subjects = [
            child
            for child in below[verb]
            if sentence.deps[child] == "nsubj" and child < verb and sentence.tags[child] != "WDT"
        ]
        if len(subjects) != 1:
            continue
        after = [child for child in below[verb] if child > verb and sentence.deps[child] in _AFTER_VERB]
        keep = sorted([*_under(subjects, below), verb, *_under(after, below)])
        if len(keep) not in _LENGTHS:
            continue
        if sentence.pos[subjects[0]] in _NOUNS:
            return _as_caption(sentence, keep, subjects[0], verb, forms, rng)
        if sentence.tags[subjects[0]] == "PRP" and not below[subjects[0]]:
            clause = take(sentence, keep, verb)
            clause, subject, at = _with_subject(
                clause, keep.index(subjects[0]), rng.choice(subjects_for), keep.index(verb)
            )
            return _as_caption(clause, list(range(len(clause.words))), subject, at, forms, rng)
    return None


def _with_subject(clause: Sentence, pronoun: int, thing: Sentence, verb: int) -> tuple[Sentence, int, int]:
    """(the clause with a noun phrase for its pronoun, place of the phrase's noun, place of the verb)."""
    more = len(thing.words) - 1
    noun = next(at for at, head in enumerate(thing.heads) if head == at) + pronoun
    moved = [noun if head == pronoun else head + more if head > pronoun else head for head in clause.heads]
    heads = [
        moved[pronoun] if head + pronoun == noun and at + pronoun == noun else head + pronoun
        for at, head in enumerate(thing.heads)
    ]
    deps = [clause.deps[pronoun] if dep == ROOT else dep for dep in thing.deps]

    def spliced(name: str, middle: tuple[Any, ...]) -> tuple[Any, ...]:
        column: tuple[Any, ...] = getattr(clause, name)
        return (*column[:pronoun], *middle, *column[pronoun + 1 :])

    columns: dict[str, Any] = {name: spliced(name, getattr(thing, name)) for name in ("words", "lemmas", "pos", "tags")}
    columns["spaces"] = spliced("spaces", (*thing.spaces[:-1], True))
    columns["heads"] = (*moved[:pronoun], *heads, *moved[pronoun + 1 :])
    columns["deps"] = spliced("deps", tuple(deps))
    return replace(clause, **columns), noun, verb + more if verb > pronoun else verb


def things(sentences: Iterable[Sentence]) -> list[Sentence]:
    """The short noun phrases of the treebank that begin with a determiner or a number ("an old man", "two dogs")."""
    rng, found = random.Random(0), []  # noqa: S311
    for sentence in sentences:
        part = fragment(sentence, rng, range(2, 5))
        if (
            part is not None
            and part.tags[0] in ("DT", "CD")
            and part.tags[-1] in ("NN", "NNS")
            and part.deps[-1] == ROOT
        ):
            found.append(lower_case(part, first_only=True))
    return found


def _as_caption(
    sentence: Sentence, keep: list[int], subject: int, verb: int, forms: Forms, rng: random.Random
) -> Sentence:
    """The clause of the words `keep`, its verb in the present tense, or as a participle that hangs on the subject."""
    words, tags, heads, deps = list(sentence.words), list(sentence.tags), list(sentence.heads), list(sentence.deps)
    lemma, root = sentence.lemmas[verb], verb
    if rng.random() < 0.5:
        root, heads[verb], deps[verb], tags[verb] = subject, subject, "acl", "VBG"
        words[verb] = forms.get((lemma, "VBG")) or participle(lemma)
    elif sentence.tags[subject] in _PLURAL or "conj" in {deps[at] for at in keep if heads[at] == subject}:
        words[verb], tags[verb] = lemma, "VBP"
    else:
        words[verb], tags[verb] = forms.get((lemma, "VBZ")) or third_person(lemma), "VBZ"
    if rng.random() < 0.7:
        words[keep[0]] = words[keep[0]][:1].upper() + words[keep[0]][1:]
    return take(
        replace(sentence, words=tuple(words), tags=tuple(tags), heads=tuple(heads), deps=tuple(deps)), keep, root
    )


def participle(lemma: str) -> str:
    """The -ing form of a regular English verb: ride, riding; sit, sitting; lie, lying."""
    if lemma.endswith("ie"):
        return lemma[:-2] + "ying"
    if lemma.endswith("e") and not lemma.endswith(("ee", "oe", "ye")):
        return lemma[:-1] + "ing"
    short = (
        len(lemma) > 2
        and lemma[-1] not in "aeiouwxy"
        and lemma[-2] in "aeiou"
        and not any(c in "aeiou" for c in lemma[:-2])
    )
    return lemma + (lemma[-1] if short else "") + "ing"


def third_person(lemma: str) -> str:
    """The third person singular of a regular English verb: sit, sits; catch, catches; carry, carries."""
    if lemma.endswith(("s", "x", "z", "ch", "sh", "o")):
        return lemma + "es"
    return lemma[:-1] + "ies" if lemma.endswith("y") and lemma[-2:-1] not in "aeiou" else lemma + "s"


def _children(sentence: Sentence) -> list[list[int]]:
    below: list[list[int]] = [[] for _ in sentence.words]
    for at, head in enumerate(sentence.heads):
        if head != at:
            below[head].append(at)
    return below


def _under(tops: list[int], below: list[list[int]]) -> list[int]:
    """The words `tops` and all that hang on them, in no order."""
    stack, found = list(tops), []
    while stack:
        at = stack.pop()
        found.append(at)
        stack.extend(below[at])
    return found


def varied(sentences: list[Sentence], how: Variation, rng: random.Random) -> Iterator[list[Sentence]]:
    """Groups of sentences, each to be shown as one text: every sentence once, and what is added, in random order."""
    groups: list[list[Sentence]] = []
    forms, subjects = word_forms(sentences), things(sentences)
    for sentence in sentences:
        extra = [fragment(sentence, rng) if rng.random() < how.fragment else None]
        extra.append(caption(sentence, forms, subjects, rng) if rng.random() < how.caption else None)
        groups += [[_written(part, how, rng)] for part in extra if part is not None]
        shown = _written(sentence, how, rng)
        if groups and rng.random() < how.group and groups[-1][-1].document == sentence.document and len(groups[-1]) < 4:
            groups[-1].append(shown)
        else:
            groups.append([shown])
    rng.shuffle(groups)
    yield from groups


def _written(sentence: Sentence, how: Variation, rng: random.Random) -> Sentence:
    """The sentence as this draw writes it."""
    if rng.random() < how.no_stop:
        sentence = without_stop(sentence)
    draw = rng.random()
    if draw < how.lower:
        return lower_case(sentence)
    return lower_case(sentence, first_only=True) if draw < how.lower + how.lower_first else sentence
