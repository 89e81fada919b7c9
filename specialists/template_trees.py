"""Sentences as trees of words. A word is told once: text, tokens and the phrases that speak of regions follow from it.

Parts of speech and relations are those of Universal Dependencies v2 (https://universaldependencies.org/u/dep/), tags
those of the Penn treebank, used as in the English Web Treebank, on which the shipped parser was trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engine.records import Mentions
from engine.tokens import Tokens

# What stands before a noun in its own phrase; a subject, a preposition or a comma that hangs on it does not.
_IN_PHRASE: Final = ("det", "nummod", "amod", "compound")


@dataclass(frozen=True, slots=True)
class Tree:
    """A word, and what hangs on it `before` and `after` in the order of the sentence.

    `left`, `right`: no space on that side. A noun with `regions` (rows of the scene) is the head of a phrase that speaks
    of them, and asks for `number` of them (0: several, or unknown).
    """

    word: str
    upos: str
    tag: str
    dep: str
    lemma: str
    before: tuple["Tree", ...] = ()
    after: tuple["Tree", ...] = ()
    left: bool = False
    right: bool = False
    regions: tuple[int, ...] = ()
    number: int = 0

    def having(self, dep: str, before: tuple["Tree", ...] = (), after: tuple["Tree", ...] = ()) -> "Tree":
        """The same with another relation, and more hanging on its outer ends."""
        return Tree(  # not by `replace`, which is slow: this is asked for every word
            self.word,
            self.upos,
            self.tag,
            dep,
            self.lemma,
            (*before, *self.before),
            (*self.after, *after),
            self.left,
            self.right,
            self.regions,
            self.number,
        )


def noun(word: str, lemma: str = "", *before: Tree, dep: str = "obl", plural: bool = False) -> Tree:
    """A noun with what stands before it."""
    return Tree(word, "NOUN", "NNS" if plural else "NN", dep, lemma or word, before)


def adjective(word: str, lemma: str = "", tag: str = "JJ", dep: str = "amod") -> Tree:
    return Tree(word, "ADJ", tag, dep, lemma or word)


def determiner(word: str) -> Tree:
    return Tree(word, "DET", "DT", "det", "a" if word == "an" else word)


def preposition(word: str) -> Tree:
    return Tree(word, "ADP", "IN", "case", word)


THE: Final = determiner("the")
AND: Final = Tree("and", "CCONJ", "CC", "cc", "and")
COMMA: Final = Tree(",", "PUNCT", ",", "punct", ",", left=True)
STOP: Final = Tree(".", "PUNCT", ".", "punct", ".", left=True)
IMAGE: Final = noun("image", "", THE)


def of(thing: Tree, word: str = "of") -> Tree:
    """What a noun is of: "(most) of the image"."""
    return thing.having("nmod", before=(preposition(word),))


def listing(items: Sequence[Tree]) -> Tree:
    """ "a", "a and b", "a, b, and c" as one tree with the relation of the first; items must not be empty."""
    first, others = items[0], items[1:]
    commas = (COMMA,) if len(others) > 1 else ()
    marks = [(*commas, AND) if i == len(others) - 1 else commas for i in range(len(others))]
    joined = tuple(item.having("conj", before=mark) for item, mark in zip(others, marks, strict=True))
    return first.having(first.dep, after=joined)


def clauses(items: Sequence[Tree]) -> Tree:
    """ "a is here, and b is there"; items must not be empty."""
    return items[0].having("root", after=tuple(item.having("conj", before=(COMMA, AND)) for item in items[1:]))


def predicate(subject: Tree, many: bool, where: Tree) -> Tree:
    """That something is somewhere: "the dogs are on the left"."""
    be = Tree("are", "AUX", "VBP", "cop", "be") if many else Tree("is", "AUX", "VBZ", "cop", "be")
    return where.having("root", before=(subject.having("nsubj"), be))


def quoted(text: str) -> Tree:
    """A quotation; its first word stands for it, the others are parts of a name. `text` has at least one word."""
    head, *others = (_of_quotation(word) for word in text.split(" "))
    opened = Tree('"', "PUNCT", "``", "punct", '"', right=True)
    closed = Tree('"', "PUNCT", "''", "punct", '"', left=True)
    return head.having("appos", before=(opened,), after=(*others, closed))


def _of_quotation(word: str) -> Tree:
    if any(c.isalpha() for c in word):
        return Tree(word, "PROPN", "NNP", "flat", word)
    return Tree(word, *(("NUM", "CD") if any(c.isdecimal() for c in word) else ("SYM", "SYM")), "flat", word)


@dataclass(slots=True)
class Passage:
    """A text that grows by a quotation of a caption and by sentences: its characters, tokens and mentions.

    `quoted` is the row of the caption that it begins with (-1: none), `shift` what places in that move by.
    """

    text: str = ""
    quoted: int = -1
    shift: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    words: list[Tree] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    mentions: list[tuple[int, int, Tree]] = field(default_factory=list)

    def say(self, sentence: Tree) -> None:
        """Add a sentence, with a capital and a full stop."""
        words: list[Tree] = []
        heads: list[int] = []
        begins: list[int] = []
        _spread(sentence.having("root", after=(STOP,)), words, heads, begins)
        before, close = len(self.words), not self.text
        for i, word in enumerate(words):
            self.text += "" if close or word.left else " "
            start = len(self.text)
            self.text += capital(word.word) if i == 0 else word.word
            self.spans.append((start, len(self.text)))
            close = word.right
        self.words += words
        self.heads += [before + head for head in heads]
        for i, word in enumerate(words):
            if word.regions:
                self.mentions.append((self.spans[before + begins[i]][0], self.spans[before + i][1], word))

    def quote(self, row: int, caption: str, tokens: Tokens | None, lo: int, hi: int) -> None:
        """Begin with characters lo..hi of a caption as a sentence. `tokens` are those of that caption alone."""
        self.quoted, self.shift = row, -lo
        self.text = capital(caption[lo:hi])
        if tokens is not None:
            self._take_over(tokens, lo, hi)
        if not self.text.endswith((".", "!", "?", '."', '!"', '?"')):
            self.text += STOP.word
            roots = [i for i, word in enumerate(self.words) if word.dep == "root"]
            if roots:
                self.words.append(STOP)
                self.heads.append(roots[-1])
                self.spans.append((hi - lo, hi - lo + 1))

    def _take_over(self, tokens: Tokens, lo: int, hi: int) -> None:
        """The tokens within lo..hi; what hung on punctuation outside now hangs on what that hung on."""
        inside = (tokens.start >= lo) & (tokens.end <= hi)
        place = np.cumsum(inside) - 1
        for i in np.flatnonzero(inside).tolist():
            head = int(tokens.head[i])
            while not inside[head] and tokens.head[head] != head:
                head = int(tokens.head[head])
            top = head == i or not inside[head]
            dep = "root" if top else tokens.dep[i]
            self.spans.append((int(tokens.start[i]) - lo, int(tokens.end[i]) - lo))
            self.words.append(
                Tree(self.text[slice(*self.spans[-1])], tokens.upos[i], tokens.tag[i], dep, tokens.lemma[i])
            )
            self.heads.append(int(place[i if top else head]))


def _spread(tree: Tree, words: list[Tree], heads: list[int], begins: list[int]) -> int:
    """Append the words of a tree in their order, with the places of their heads and of where their noun phrases begin;
    the place of its top."""
    children, begin = [], -1
    for child in tree.before:
        if begin < 0 and child.dep in _IN_PHRASE:
            begin = len(words)
        children.append(_spread(child, words, heads, begins))
    at = len(words)
    words.append(tree)
    heads.append(at)
    begins.append(at if begin < 0 else begin)
    children += [_spread(child, words, heads, begins) for child in tree.after]
    for child_at in children:
        heads[child_at] = at
    return at


def capital(text: str) -> str:
    """With a capital at the beginning; places of characters stay as they are."""
    first = text[:1].upper()
    return first + text[1:] if len(first) == 1 else text


def tokens_of(passages: Sequence[Passage]) -> Tokens:
    """The tokens of several texts."""
    words = [word for passage in passages for word in passage.words]
    spans = np.array([span for passage in passages for span in passage.spans], np.int32).reshape(-1, 2)
    return Tokens(
        offsets=np.cumsum([0, *(len(passage.words) for passage in passages)]).astype(np.int64),
        start=spans[:, 0],
        end=spans[:, 1],
        lemma=[word.lemma for word in words],
        upos=[word.upos for word in words],
        tag=[word.tag for word in words],
        head=np.array([head for passage in passages for head in passage.heads], np.int32),
        dep=[word.dep for word in words],
    )


def mentions_of(passages: Sequence[Passage]) -> Mentions:
    """What several texts say of regions."""
    found = [(i, *mention) for i, passage in enumerate(passages) for mention in passage.mentions]
    numbers = np.array([(i, start, end, word.number) for i, start, end, word in found], np.int32).reshape(-1, 4)
    return Mentions(
        text=numbers[:, 0],
        start=numbers[:, 1],
        end=numbers[:, 2],
        heads=[word.lemma for *_, word in found],
        numbers=numbers[:, 3],
        regions=[word.regions for *_, word in found],
    )
