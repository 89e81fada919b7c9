"""A Writer by templates: detailed texts composed from what is accepted about an image, and from nothing else.

A detailed text is about two sentences, a more detailed one several; FLD-5B's have 31.65 and 70.53 tokens on average
(reference: Florence-2, table 2). Which things come first, and from where on they are "on the left", are our choices.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import Field

from engine.records import Captions, Composition, Granularity, Scene
from specialists import nouns
from specialists.base import SpecialistConfig, specialist
from specialists.template_things import FILLING, Kind, centre, kinds_of, largest, place, relation, spot
from specialists.template_trees import (
    COMMA,
    IMAGE,
    THE,
    Passage,
    Tree,
    adjective,
    clauses,
    listing,
    mentions_of,
    noun,
    of,
    predicate,
    preposition,
    quoted,
    tokens_of,
)

_SHORTEST_QUOTE: Final = 2  # letters and digits; a single one is mostly a misreading
_LONGEST_QUOTE: Final = 80  # characters; a paragraph is no quotation
_JUNK: Final = " ,;:-"  # at the ends of a caption; no part of its sentence

Quote = tuple[str, float, float]  # what is read, and the centre of its quad as shares of the image


class TemplateConfig(SpecialistConfig):
    """How much a text may list."""

    min_confidence: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="things of less confidence are not spoken of (our choice: likelier there than not)",
    )
    kinds_detailed: int = Field(4, ge=1, description="kinds of things listed in a detailed text")
    kinds_more_detailed: int = Field(8, ge=1, description="kinds of things listed in a more detailed text")
    places: int = Field(6, ge=0, description="kinds whose place is told in a more detailed text")
    quotes: int = Field(5, ge=0, description="readings quoted in a text")


@specialist("template", "writer", pixels=False, licence="AGPL-3.0-or-later", revision=3)
class Template:
    """Composes detailed texts from accepted regions, their places, readings and the brief caption."""

    Config = TemplateConfig

    def __init__(self, config: TemplateConfig) -> None:
        self.config = config

    def load(self, device: str) -> None:
        """Nothing to load."""

    def compose(self, scenes: Sequence[Scene]) -> list[Composition]:
        """At most a detailed and a more detailed text for each scene; none where nothing but captions is accepted.

        The score is the mean score of the things spoken of.
        """
        return [self._compose(scene) for scene in scenes]

    def _compose(self, scene: Scene) -> Composition:
        kinds, quotes = kinds_of(scene, self.config.min_confidence), quotes_of(scene)[: self.config.quotes]
        told: list[tuple[Granularity, list[Tree]]] = []
        if kinds or quotes:
            short, long = _detailed(kinds, quotes, self.config), _more_detailed(kinds, quotes, self.config)
            told.append(("detailed", short))
            if len(long) > len(short):
                told.append(("more_detailed", long))
        passages = [_passage(scene, sentences) for _, sentences in told]
        spoken = [kind.score for kind in kinds] + [float(v) for v in scene.readings.scores]
        score = np.full(len(told), float(np.mean(spoken)) if spoken else math.nan, np.float32)
        return Composition(
            Captions([passage.text for passage in passages], [granularity for granularity, _ in told], score),
            tokens_of(passages),
            mentions_of(passages),
            quoted=np.array([passage.quoted for passage in passages], np.int32),
            shift=np.array([passage.shift for passage in passages], np.int32),
        )


def quotes_of(scene: Scene) -> list[Quote]:
    """Readings worth quoting, largest first."""
    found = []
    for text, quad in zip(scene.readings.texts, scene.readings.quads, strict=True):
        clean = " ".join(text.replace('"', "'").split())
        if len(clean) <= _LONGEST_QUOTE and sum(c.isalnum() for c in clean) >= _SHORTEST_QUOTE:
            xs, ys = quad[::2] / scene.width, quad[1::2] / scene.height
            size = float((xs.max() - xs.min()) * (ys.max() - ys.min()))
            found.append((-size, float(ys.mean()), clean, float(xs.mean())))
    first: dict[str, Quote] = {}
    for _, y, clean, x in sorted(found):
        first.setdefault(clean, (clean, x, y))
    return list(first.values())


def opening_of(scene: Scene) -> int:
    """The row of the best brief caption; -1 where there is none."""
    captions = scene.captions
    brief = [
        i for i, said in enumerate(captions.granularities) if said == "brief" and re.search(r"\w", captions.texts[i])
    ]
    return max(brief, key=lambda i: (np.nan_to_num(captions.scores[i], nan=-1.0), -i), default=-1)


def _passage(scene: Scene, sentences: Sequence[Tree]) -> Passage:
    """The sentences after the best brief caption."""
    passage, row = Passage(), opening_of(scene)
    if row >= 0:
        text = scene.captions.texts[row]
        tokens = None if scene.tokens is None else scene.tokens.slice(row, row + 1)
        passage.quote(row, text, tokens, len(text) - len(text.lstrip(_JUNK)), len(text.rstrip(_JUNK)))
    for sentence in sentences:
        passage.say(sentence)
    return passage


def _detailed(kinds: list[Kind], quotes: list[Quote], config: TemplateConfig) -> list[Tree]:
    listed = kinds[: config.kinds_detailed]
    sentences = [_shows([_placed(kind) for kind in listed], len(kinds) > len(listed))] if listed else []
    return [*sentences, *_reading(quotes[:2])]


def _more_detailed(kinds: list[Kind], quotes: list[Quote], config: TemplateConfig) -> list[Tree]:
    listed = kinds[: config.kinds_more_detailed]
    sentences = [_shows([kind.phrase() for kind in listed], len(kinds) > len(listed))] if listed else []
    placed = listed[: config.places]
    return [*sentences, *_places(placed), *_relations(placed), *_reading(quotes)]


def _shows(things: Sequence[Tree], more: bool) -> Tree:
    others = noun("things", "thing", COMMA, preposition("among"), adjective("other"), plural=True)
    after = (listing(things).having("obj"), *((others,) if more else ()))
    return Tree("shows", "VERB", "VBZ", "root", "show", before=(IMAGE.having("nsubj"),), after=after)


def _placed(kind: Kind) -> Tree:
    """The things, and where they are if they are in one box."""
    where = place(kind) if len(kind.boxes) == 1 else None
    return kind.phrase() if where is None else kind.phrase().having("obj", after=(where,))


def _places(kinds: Sequence[Kind]) -> list[Tree]:
    """Where the main things are: those in one place together, two places to a sentence; then those in several."""
    together: dict[Tree, list[Kind]] = {}
    apart: list[Tree] = []
    for kind in kinds:
        where = place(kind)
        if where:
            together.setdefault(where, []).append(kind)
        elif not (kind.crowd or nouns.is_pair(kind.name) or nouns.is_mass(kind.name)):
            apart.append(_apart(kind))
    told = [_together(where, members) for where, members in together.items()]
    return [clauses(told[i : i + 2]) for i in range(0, len(told), 2)] + apart


def _together(where: Tree, kinds: Sequence[Kind]) -> Tree:
    names = listing([kind.definite() for kind in kinds])
    plural = len(kinds) > 1 or kinds[0].many
    if where != FILLING:
        return predicate(names, plural, where)
    form, tag = ("fill", "VBP") if plural else ("fills", "VBZ")
    return Tree(form, "VERB", tag, "root", "fill", before=(names.having("nsubj"),), after=FILLING.after)


def _apart(kind: Kind) -> Tree:
    """Things all over the image: where one is and the other, or where the largest is."""
    spots = [spot(*centre(box)) for box in kind.boxes]
    if kind.count == 2:
        one = Tree("one", "NUM", "CD", "nsubj", "one", after=(of(kind.definite()),))
        other = adjective("other", dep="nsubj").having("nsubj", before=(THE,))
        return clauses([predicate(one, False, spots[0]), predicate(other, False, spots[1])])
    chief = adjective("largest", "large", "JJS").having("nsubj", before=(THE,), after=(of(kind.definite()),))
    return predicate(chief, False, spots[largest(kind.boxes)])


def _relations(kinds: Sequence[Kind]) -> list[Tree]:
    """How two single things in one place stand to each other; only what their boxes show."""
    single = [kind for kind in kinds if kind.count == 1 and not kind.crowd and place(kind) != FILLING]
    for i, a in enumerate(single):
        for b in single[i + 1 :]:
            side = relation(a.boxes[0], b.boxes[0]) if place(a) == place(b) else ""
            if side in ("left", "right"):
                beside = noun(side, "", preposition("to"), THE).having("root", after=(of(a.definite()),))
                return [predicate(b.definite(), b.many, beside)]
            if side:
                return [predicate(b.definite(), b.many, of(a.definite(), side))]
    return []


def _reading(quotes: Sequence[Quote]) -> list[Tree]:
    """What can be read, and where; no sentence where nothing can."""
    if not quotes:
        return []
    texts = listing([quoted(text) for text, _, _ in quotes])
    alone = len(quotes) == 1
    subject = noun("text", "", THE) if alone else noun("texts", "text", THE, plural=True)
    where = spot(*quotes[0][1:]) if alone else of(IMAGE, "in")
    can, be = Tree("can", "AUX", "MD", "aux", "can"), Tree("be", "AUX", "VB", "aux:pass", "be")
    told = subject.having("nsubj:pass", after=(texts,))
    return [Tree("read", "VERB", "VBN", "root", "read", before=(told, can, be), after=(where.having("obl"),))]
