"""What texts say of two things at once: (dog, on, sofa), (man, riding, horse)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tokens import Tokens
from filters.syntax import Coded, Flags, Places, nominals

_SUBJECTS = ("nsubj", "nsubj:pass")
_OBJECTS = ("obj", "obl", "obl:agent", "obl:unmarked")
_OF_A_NOUN = ("acl", "acl:relcl", "amod")  # verbs and adjectives that say something of the noun they hang on
_SAME_SUBJECT = ("conj", "xcomp", "advcl", "parataxis")
_RELATIVE = ("that", "which", "who", "whom")
# Nouns of place that are part of a preposition: "in front of", "on top of".
_PLACES = ("front", "top", "back", "side", "middle", "center", "centre", "edge", "end", "bottom", "inside", "corner",
           "foot", "left", "right", "rear", "midst", "background", "foreground")  # fmt: skip
_CLOSE = ("of", "with")  # say something of the noun next to them alone
_DEPTH = 8  # clauses in each other through which a subject is handed on


@dataclass(frozen=True, slots=True)
class Relations:
    """Relations of a batch of texts, in the order of the texts, then by subject and object.

    `text` (n,); `subject`, `object` (n,): tokens, nouns or pronouns, counted in their text; `verb` (n,): the token
    that relates them, -1 for a preposition alone; `words`: the relating words as written ("on", "riding", "sits in
    front of").
    """

    text: Places
    subject: NDArray[np.int32]
    object: NDArray[np.int32]
    verb: NDArray[np.int32]
    words: list[str]

    def __len__(self) -> int:
        return len(self.text)


def relations(tokens: Tokens, texts: Sequence[str]) -> Relations:
    """The relations between nouns that the dependency trees of `texts` state (Universal Dependencies v2).

    - a noun and one below it with a preposition: "a dog on a sofa";
    - a noun that is said to be somewhere: "a dog is on a sofa";
    - the subject of a verb (or adjective) and its object or a noun with a preposition: "a man rides a horse", "a dog
      sits on a sofa". A participle or relative clause has the noun it hangs on as its subject; a verb without one takes
      that of the verb it is joined to or depends on ("a man sits and reads a book").

    Conjuncts each have a relation of their own where what is said follows them all ("a dog and a cat on a sofa", not
    "a dog on a sofa and a cat"), also where the parser hangs it on the last of a group that is the root of its sentence:
    so all six captions of 1,000 from COCO mean it in which that happens with other words than "of". What follows by "of"
    or "with" stays with the last ("a man and a cup of tea"). Nouns of place join their preposition ("in front of"). Which
    relations count is our choice.
    """
    head, dep, nominal = tokens.global_head, Coded.of(tokens.dep), nominals(tokens)
    first, last = _prepositions(tokens, head, dep)
    through, antecedent = _through(tokens, head, dep, first), _antecedents(tokens, head, dep)
    joined = dep.among(("conj",)) & nominal
    about, thing, verb = _stated(head, dep, nominal, first >= 0, _subjects(head, dep, nominal, antecedent))
    kept = (through[about] < 0) | (verb >= 0)  # "front" is part of a preposition, not a thing
    about, thing, verb = about[kept], thing[kept], verb[kept]
    close = (verb < 0) & Coded.of(tokens.lemma).among(_CLOSE)[first[thing]]
    said = np.where(close, -1, np.where(verb >= 0, verb, thing))
    about, group = _together(about, said, head, dep, joined)
    about, thing, verb = _shared(about, thing, verb, group, joined)
    row, real = _with_conjuncts(np.where(through[thing] >= 0, through[thing], antecedent[thing]), head, joined)
    about, thing, verb = about[row], thing[row], verb[row]
    order = np.lexsort((verb, real, about))
    order = order[(about != real)[order] & nominal[about[order]]]
    about, thing, real, verb = about[order], thing[order], real[order], verb[order]
    end = np.where(through[thing] >= 0, last[through[thing]], last[thing])
    base = tokens.offsets[tokens.text[about]]
    return Relations(
        text=tokens.text[about],
        subject=(about - base).astype(np.int32),
        object=(real - base).astype(np.int32),
        verb=np.where(verb >= 0, verb - base, -1).astype(np.int32),
        words=_words(tokens, texts, tokens.text[about], verb, first[thing], end),
    )


def _stated(head: Places, dep: Coded, nominal: Flags, led: Flags, subject: Places) -> tuple[Places, Places, Places]:
    """(rows,) who, what, and by which verb (-1: none), as the tree has it, of nouns `led` by a preposition and objects."""
    place = np.arange(len(head), dtype=np.int64)
    below = nominal & nominal[head] & dep.among(("nmod",)) & led
    somewhere = nominal & led & (subject >= 0)
    argument = nominal & ~nominal[head] & dep.among(_OBJECTS) & (led | dep.among(("obj",))) & (subject[head] >= 0)
    kinds = [
        (head[below], place[below], np.full(int(below.sum()), -1)),
        (subject[somewhere], place[somewhere], np.full(int(somewhere.sum()), -1)),
        (subject[head[argument]], place[argument], head[argument]),
    ]
    about, thing, verb = (np.concatenate(column) for column in zip(*kinds, strict=True))
    return about, thing, verb


def _shared(about: Places, thing: Places, verb: Places, head: Places, joined: Flags) -> tuple[Places, Places, Places]:
    """The same for what is joined to `about`, where it stands on the same side of what is said: in "a dog on a sofa and
    a cat" the cat is somewhere else."""
    row, member = _with_conjuncts(about, head, joined)
    about, thing, verb = about[row], thing[row], verb[row]
    said = np.where(verb >= 0, verb, thing)
    same = (member < said) == (about < said)
    return member[same], thing[same], verb[same]


def _together(about: Places, said: Places, head: Places, dep: Coded, joined: Flags) -> tuple[Places, Places]:
    """(about, head): what is `said` (rows,) after all of a group of conjuncts that is the root of its sentence is about
    its first word, and all its words hang on that one; where nothing is said of one before the last is named."""
    place = np.arange(len(head), dtype=np.int64)
    top, last = np.where(joined, head, place), place.copy()
    for _ in range(_DEPTH.bit_length()):
        top = top[top]
    np.maximum.at(last, top, place)
    last = last[top]
    alone = dep.among((*_OF_A_NOUN, "nmod")) & ~joined & (place > head) & (place < last[head])
    whole = dep.among(("root",))
    whole[top[head[alone]]] = False
    whole = whole[top]
    return np.where(whole[about] & (said > last[about]), top[about], about), np.where(joined & whole, top, head)


def _prepositions(tokens: Tokens, head: Places, dep: Coded) -> tuple[Places, Places]:
    """(tokens,) the first and last preposition of each token, -1 where it has none."""
    words = np.flatnonzero(dep.among(("case",)) & Coded.of(tokens.upos).among(("ADP", "SCONJ", "ADV")))
    first, last = np.full(len(head), len(head)), np.full(len(head), -1)
    np.minimum.at(first, head[words], words)
    np.maximum.at(last, head[words], words)
    return np.where(last < 0, -1, first), last


def _through(tokens: Tokens, head: Places, dep: Coded, first: Places) -> Places:
    """(tokens,) for nouns of place the noun that follows by "of": what "in front of" leads to; -1 for all others."""
    lemma = Coded.of(tokens.lemma)
    of = np.zeros(len(head), np.bool_)
    of[first >= 0] = lemma.among(("of",))[first[first >= 0]]
    led = np.flatnonzero(dep.among(("nmod",)) & of & lemma.among(_PLACES)[head] & (first[head] >= 0))
    found = np.full(len(head), -1)
    found[head[led]] = led
    return found


def _antecedents(tokens: Tokens, head: Places, dep: Coded) -> Places:
    """(tokens,) the noun that a relative pronoun stands for; all others themselves."""
    pronoun = Coded.of(tokens.upos).among(("PRON",)) & Coded.of(tokens.lemma).among(_RELATIVE)
    relative = pronoun & dep.among(("acl:relcl",))[head]
    return np.where(relative, head[head], np.arange(len(head)))


def _subjects(head: Places, dep: Coded, nominal: Flags, antecedent: Places) -> Places:
    """(tokens,) the subject of each verb, adjective or predicate, -1 where it has none."""
    place = np.arange(len(head), dtype=np.int64)
    said = np.flatnonzero(dep.among(_SUBJECTS))[::-1]  # of several the first
    found = np.full(len(head), -1)
    found[head[said]] = antecedent[said]
    purpose = np.zeros(len(head), np.bool_)  # "a place to sleep": nobody sleeps yet
    purpose[head[dep.among(("mark",))]] = True
    own = (found < 0) & dep.among(_OF_A_NOUN) & ~nominal & nominal[head] & ~purpose & (head != place)
    found[own] = head[own]
    handed = dep.among(_SAME_SUBJECT) & ~nominal
    for _ in range(_DEPTH):
        new = (found < 0) & handed & (found[head] >= 0)
        if not np.any(new):
            break
        found[new] = found[head[new]]
    return found


def _with_conjuncts(heads: Places, head: Places, joined: Flags) -> tuple[Places, Places]:
    """(row, word): for each row of `heads` the word itself and all that are joined to it."""
    members = np.flatnonzero(joined)
    members = members[np.argsort(head[members], kind="stable")]
    owner = head[members]
    low, high = np.searchsorted(owner, heads), np.searchsorted(owner, heads, side="right")
    count = high - low
    row = np.repeat(np.arange(len(heads)), count)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    rows = np.concatenate([np.arange(len(heads)), row])
    return rows, np.concatenate([heads, members[low[row] + step]])


def _words(tokens: Tokens, texts: Sequence[str], text: Places, verb: Places, first: Places, last: Places) -> list[str]:
    """The verb as written and the words from the first to the last preposition, where there are such."""
    found = []
    for t, v, a, b in zip(text.tolist(), verb.tolist(), first.tolist(), last.tolist(), strict=True):
        said = [] if v < 0 else [texts[t][tokens.start[v] : tokens.end[v]]]
        if a >= 0:
            said.append(texts[t][tokens.start[a] : tokens.end[b]])
        found.append(" ".join(said))
    return found
