"""Rewrites dependency trees in CLEAR labels (spaCy's English models) as Universal Dependencies v2.

The two schemes disagree about which word is the head. CLEAR lets function words govern ("on" governs "the bench",
"is" governs "red", a conjunct governs the next one); in UD content words govern and function words are leaves.
Renaming labels is therefore not enough: noun phrases and degrees would differ. Steps, in this order, each on whole
columns:

1. prepositions: the complement takes the place of its preposition, which becomes its `case` (`mark` before a clause);
2. copulas: the predicate takes the place of "be", which becomes its `cop`; "there is X" keeps "be", and X is its
subject;
3. coordination: every conjunct hangs on the first; conjunction and comma hang on the conjunct that follows them;
4. labels.

CLEAR: Choi & Palmer, Guidelines for the CLEAR Style Constituent to Dependency Conversion (2012). UD:
https://universaldependencies.org/en/. Not recoverable, and left alone: personal names (CLEAR makes the last word
the head of a `compound`, UD the first of a `flat`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.tokens import Tokens

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

_DEEPEST_CHAIN = 5  # prepositions nested in each other; more is no English
_ADPOSITIONS = ("ADP", "SCONJ", "PART", "ADV")
_OWN_LABELS = ("prep", "agent", "dative", "advmod")  # those that only an adposition has; others pass to its complement
_NOMINAL = ("NOUN", "PROPN", "PRON", "NUM", "SYM")
_CHAINED_ADVERBS = ("next", "out", "along")  # "next to": UD makes both words `case`
_FIXED = (
    "because of",
    "due to",
    "such as",
    "as to",
    "as for",
    "according to",
    "instead of",
    "rather than",
    "depending on",
    "as of",
)
_PLACES = (
    "here",
    "there",
    "where",
    "inside",
    "outside",
    "upstairs",
    "downstairs",
    "nearby",
    "indoors",
    "outdoors",
    "everywhere",
)
_CLAUSES = ("attr", "acomp", "oprd", "ccomp", "xcomp")
_RENAME = {
    "ROOT": "root", "dobj": "obj", "nsubjpass": "nsubj:pass", "csubjpass": "csubj:pass", "auxpass": "aux:pass", "poss": "nmod:poss",
    "prt": "compound:prt", "relcl": "acl:relcl", "rcmod": "acl:relcl", "partmod": "acl", "infmod": "acl", "dative": "iobj", "neg": "advmod",
    "predet": "det:predet", "preconj": "cc:preconj", "intj": "discourse", "meta": "discourse", "oprd": "xcomp", "attr": "xcomp",
    "acomp": "xcomp", "quantmod": "advmod", "nn": "compound", "num": "nummod", "number": "compound", "complm": "mark", "hmod": "compound",
    "hyph": "punct", "possessive": "case", "prep": "advmod", "agent": "advmod", "pobj": "obl", "pcomp": "advcl", "iobj": "iobj",
}  # fmt: skip


def speaks_clear(labels: Iterable[str]) -> bool:
    """Whether a parser with these labels makes CLEAR trees: UD has no label for the object of a preposition."""
    return "pobj" in set(labels)


def clear_to_ud(tokens: Tokens) -> Tokens:
    """The same tokens with `head` and `dep` in UD v2; parts of speech, tags and lemmas are kept. Texts may hold
    several sentences."""
    if not tokens.dep:
        return tokens
    tree = _Tree(
        head=tokens.global_head.copy(),
        dep=np.array(tokens.dep, dtype="<U16"),
        upos=np.array(tokens.upos, dtype="<U8"),
        tag=np.array(tokens.tag, dtype="<U8"),
        lemma=np.char.lower(np.array(tokens.lemma, dtype=np.str_)),
    )
    tree.dep[tree.head == np.arange(len(tree.head))] = "root"
    _prepositions(tree)
    _copulas(tree)
    _coordination(tree)
    _labels(tree)
    local = tree.head - np.repeat(tokens.offsets[:-1], np.diff(tokens.offsets))
    return replace(tokens, head=local.astype(np.int32), dep=tree.dep.tolist())


@dataclass(slots=True)
class _Tree:
    """The columns at work, one entry a token of the batch; `head` counts over the batch. The steps change `head`
    and `dep` in place."""

    head: Places
    dep: NDArray[np.str_]
    upos: NDArray[np.str_]
    tag: NDArray[np.str_]
    lemma: NDArray[np.str_]

    @property
    def place(self) -> Places:
        return np.arange(len(self.head), dtype=np.int64)

    def has(self, *deps: str) -> Flags:
        return np.asarray(np.isin(self.dep, deps) & (self.head != self.place), dtype=np.bool_)

    def first_child(self, of_kind: Flags) -> Places:
        """For each token its first child among those flagged, -1 where there is none."""
        first = np.full(len(self.head), -1, dtype=np.int64)
        children = np.flatnonzero(of_kind & (self.head != self.place))[::-1]
        first[self.head[children]] = children  # the last write, the leftmost child, stays
        return first

    def promote(self, old: Places, new: Places) -> None:
        """Each `new` takes the place of its `old` (head, label and all other children), and `old` hangs on `new`."""
        stands_for = self.place
        stands_for[old] = new
        was_root = self.head[old] == old
        above, label = self.head[old], self.dep[old]
        self.head = stands_for[self.head]
        self.head[new] = np.where(was_root, new, stands_for[above])
        self.dep[new] = label
        self.head[old] = new


def _prepositions(tree: _Tree) -> None:
    """Step 1, innermost prepositions first: in "out of the box" the box replaces "of", then "out"."""
    for _ in range(_DEEPEST_CHAIN):
        complement = tree.first_child(tree.has("pobj", "pcomp"))
        governs = (complement >= 0) & (np.isin(tree.upos, _ADPOSITIONS) | tree.has("prep", "agent", "dative"))
        adposition = np.flatnonzero(governs & ~governs[complement])
        if not len(adposition):
            break
        label, above, noun = tree.dep[adposition], tree.head[adposition], complement[adposition]
        clause = (tree.dep[noun] == "pcomp") & np.isin(tree.upos[noun], ("VERB", "AUX"))
        opens = np.isin(tree.dep[above], ("prep", "agent")) | np.isin(tree.lemma[above], _CHAINED_ADVERBS)
        chained = (label == "prep") & opens & (complement[above] < 0) & (above == adposition - 1)
        tree.promote(adposition, noun)
        nominal = np.isin(tree.upos[tree.head[noun]], _NOMINAL)
        phrase = np.where(label == "agent", "obl:agent", np.where(nominal, "nmod", "obl"))
        role = np.where(clause, np.where(nominal, "acl", "advcl"), phrase)
        tree.dep[noun] = np.where(chained, "pobj", np.where(np.isin(label, _OWN_LABELS), role, label))
        tree.dep[adposition] = np.where(clause, "mark", "case")
    opens = tree.has("case") | (tree.has("amod") & (tree.lemma == "such"))
    first = np.flatnonzero(opens[:-1] & tree.has("case")[1:] & (tree.head[:-1] == tree.head[1:]))
    pair = np.char.add(np.char.add(tree.lemma[first], " "), tree.lemma[first + 1])
    first = first[np.isin(pair, _FIXED)]
    tree.dep[first] = "case"
    tree.head[first + 1] = first
    tree.dep[first + 1] = "fixed"


def _copulas(tree: _Tree) -> None:
    """Step 2. The predicate is the complement of "be"; failing that a phrase or adverb of place after it ("is on
    the table")."""
    be = (tree.lemma == "be") & ~tree.has("aux", "auxpass")
    existential = be & (tree.first_child(tree.has("expl") & (tree.tag == "EX")) >= 0)
    thing = tree.has("attr") & existential[tree.head]
    tree.dep[thing] = "nsubj"
    complement = tree.first_child(tree.has("attr", "acomp"))
    has_clause = tree.first_child(tree.has(*_CLAUSES)) >= 0
    has_subject = tree.first_child(tree.has("nsubj", "csubj")) >= 0
    after = tree.head < tree.place
    located = tree.first_child(tree.has("obl") & after & (tree.first_child(tree.has("case")) >= 0))
    there = tree.first_child(tree.has("advmod") & np.isin(tree.lemma, _PLACES))
    place = np.where(has_clause | ~has_subject, -1, np.where(located >= 0, located, there))
    predicate = np.where(complement >= 0, complement, place)
    copula = np.flatnonzero(be & ~existential & (predicate >= 0))
    copula = copula[~np.isin(predicate[copula], copula)]
    tree.promote(copula, predicate[copula])
    tree.dep[copula] = "cop"


def _coordination(tree: _Tree) -> None:
    """Step 3. A conjunct's children that stand before the next conjunct and join them (cc, comma) move to that
    one."""
    conjunct = tree.has("conj")
    first = np.where(conjunct, tree.head, tree.place)
    for _ in range(int(conjunct.sum()).bit_length() + 1):
        first = first[first]
    joins = np.flatnonzero(tree.has("cc") | (tree.has("punct") & (tree.head < tree.place)))
    conjuncts = np.flatnonzero(conjunct)
    conjuncts = conjuncts[np.lexsort((conjuncts, first[conjuncts]))]
    if len(conjuncts):
        size = len(tree.head)
        keys = first[conjuncts] * size + conjuncts
        found = np.minimum(np.searchsorted(keys, first[tree.head[joins]] * size + joins), len(keys) - 1)
        following = conjuncts[found]
        moves = (first[following] == first[tree.head[joins]]) & (following > joins) & (tree.head[joins] < joins)
        tree.head[joins[moves]] = following[moves]
    tree.head = np.where(conjunct, first, tree.head)


def _labels(tree: _Tree) -> None:
    """Step 4. Labels whose meaning depends on more than themselves, then the rest by name."""
    nominal = np.isin(tree.upos[tree.head], _NOMINAL)
    measure = tree.has("npadvmod")
    tree.dep[measure] = np.where(nominal, "nmod:unmarked", "obl:unmarked")[measure]
    tree.dep[tree.has("aux") & (tree.tag == "TO")] = "mark"
    tree.dep[tree.has("nmod") & (tree.place < tree.head) & (tree.first_child(tree.has("case")) < 0)] = "compound"
    names, inverse = np.unique(tree.dep, return_inverse=True)
    tree.dep = np.array([_RENAME.get(str(name), str(name)) for name in names], dtype="<U16")[inverse]
