"""The three captions of a scene, each with the list of everything it claims.

A caption names a kind wholly or not at all: two dogs are "two dogs", so its counts can be held against the scene.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.scenes.model import BRIEF, DETAILED, MORE_DETAILED, Caption, Relation, SceneObject, Word
from pipelines.scenes.phrasing import Group, Teller, groups
from pipelines.scenes.relations import ABOVE, BEHIND, HOLDING, LEFT_OF, ON
from pipelines.scenes.settings import Setting

_ALOFT: Final = ("sky", "wall")
_VERB: Final = {HOLDING: "holding", ON: "on", BEHIND: "behind", ABOVE: "above", LEFT_OF: "to the left of"}
_OPENINGS: Final = ("This picture shows {}.", "The scene is {}.", "This is a drawing of {}.")
_SCENES: Final = {
    "meadow": "a green meadow", "sea": "the open sea", "street": "a quiet street", "room": "the inside of a room",
    "night sky": "a dark night", "snow": "a snowy landscape",
}  # fmt: skip


def describe(
    setting: Setting,
    objects: Sequence[SceneObject],
    relations: Sequence[Relation],
    words: Sequence[Word],
    size: int,
    rng: np.random.Generator,
) -> dict[str, Caption]:
    """One caption a granularity; only things that can be recognised are named."""
    found = groups(objects, size)
    return {
        BRIEF: _brief(setting, found, relations, rng),
        DETAILED: _detailed(setting, found, relations, rng),
        MORE_DETAILED: _more_detailed(setting, found, relations, words, size, rng),
    }


def _brief(setting: Setting, found: list[Group], relations: Sequence[Relation], rng: np.random.Generator) -> Caption:
    """One sentence naming the main things. The scene alone says which; chance says only how they are told.

    The most salient thing, and what it holds, stands on or stands behind; else the next one in the same place. With
    the place these are about three objects, as in the paper's brief texts (3.23).
    """
    say = Teller(("colour",) if rng.random() < 0.75 else ())
    form = int(rng.integers(3))
    if not found:
        say.text(f"an empty view of {_SCENES[setting.name]}")
        return say.stop()
    first = found[0]
    pair = _told(found, relations, found[:1], (HOLDING, ON, BEHIND))
    beside = [first, *(group for group in found[1:] if _aloft(group) == _aloft(first))]  # all in one place
    place = _place(setting, pair[0] if pair else first, rng)
    if pair:
        one, predicate, two, relation = pair
        say.name(one).text(f" {_VERB[predicate]} ").name(two).relate(relation)
    elif form == 0 or not first.action:
        say.text("" if form else "there is " if first.single else "there are ").series(beside[:2])
    else:
        say.series([*beside[1:2], first]).text(" ").act(first)
    return say.text(f" {place}").stop()


def _detailed(setting: Setting, found: list[Group], relations: Sequence[Relation], rng: np.random.Generator) -> Caption:
    """Two or three sentences."""
    say = Teller(("pattern", "colour"))
    if not found:
        say.text(f"{_SCENES[setting.name]} with nothing in it")
        return say.stop()
    first, rest = found[0], found[1:]
    place = _place(setting, first, rng)
    if first.action and rng.random() < 0.6:
        say.name(first).text(" is " if first.single else " are ").act(first).text(f" {place}").full_stop()
    else:
        say.text("there is " if first.single else "there are ").name(first).text(f" {place}").full_stop()
    pair = _told(found, relations, found[:4], (HOLDING, ON, BEHIND, ABOVE, LEFT_OF))
    told = {first.kind}
    if pair:
        one, predicate, two, relation = pair
        for group in (one, two):
            told.add(group.kind)
        say.name(one).text(f" is {_VERB[predicate]} ").name(two).relate(relation).full_stop()
    rest = [group for group in rest if group.kind not in told][:2]
    if len(rest) == 1 and rest[0].action:
        say.name(rest[0]).text(" is " if rest[0].single else " are ").act(rest[0]).full_stop()
    elif rest:
        how = int(rng.integers(2))
        if how == 0:
            say.text("there is also " if rest[0].single else "there are also ").series(rest).full_stop()
        else:
            say.text("we can also see ").series(rest).full_stop()
    return say.stop()


def _more_detailed(
    setting: Setting,
    found: list[Group],
    relations: Sequence[Relation],
    words: Sequence[Word],
    size: int,
    rng: np.random.Generator,
) -> Caption:
    """A paragraph that names everything."""
    say = Teller(("size", "pattern", "colour"))
    say.text(_OPENINGS[int(rng.integers(len(_OPENINGS)))].format(_SCENES[setting.name])).next_sentence()
    for group in found:
        where = _side(group, size) if group.single else ""
        form = int(rng.integers(3))
        if group.action and form < 2:
            say.name(group).text(" is " if group.single else " are ").act(group)
            say.text(f" {where}" if where else "").full_stop()
        elif where and form == 2:
            say.text(f"{where} there is ").name(group).full_stop()
        else:
            say.text("there is " if group.single else "there are ").name(group).text(f" {where}" if where else "")
            say.full_stop()
        for word in _words_on(group, words):
            say.text("the ").again(group).text(" says ").quote(word).full_stop()
    told = 0
    for predicate in (HOLDING, ON, BEHIND, ABOVE, LEFT_OF):
        for relation in relations:
            pair = _pair(found, relation)
            if (
                relation.predicate != predicate
                or pair is None
                or told >= 5
                or (told >= 3 and predicate in (ABOVE, LEFT_OF))
            ):
                continue
            told += 1
            say.text("the ").again(pair[0]).text(f" is {_VERB[predicate]} the ").again(pair[1]).relate(
                relation
            ).full_stop()
    return say.stop()


def _told(
    found: list[Group], relations: Sequence[Relation], among: Sequence[Group], predicates: Sequence[str]
) -> tuple[Group, str, Group, Relation] | None:
    """The most telling relation that involves one of the main groups, in the order of `predicates`."""
    kinds = {group.kind for group in among}
    for predicate in predicates:
        for relation in relations:
            pair = _pair(found, relation)
            if relation.predicate == predicate and pair and {pair[0].kind, pair[1].kind} & kinds:
                return pair[0], predicate, pair[1], relation
    return None


def _pair(found: list[Group], relation: Relation) -> tuple[Group, Group] | None:
    """The two groups of a relation, where both are single things, so that the sentence is not ambiguous."""
    owner = {thing.id: group for group in found if group.single for thing in group.things}
    if relation.subject not in owner or relation.object not in owner:
        return None
    return owner[relation.subject], owner[relation.object]


def _words_on(group: Group, words: Sequence[Word]) -> list[str]:
    """What a single sign or bus says, its lines joined, if all of it can be read."""
    if not group.single:
        return []
    lines = [word for word in words if word.object == group.things[0].id]
    if not lines or any(word.visibility < 0.95 for word in lines):
        return []
    return [" ".join(word.text for word in lines)]


def _place(setting: Setting, group: Group | None, rng: np.random.Generator) -> str:
    if group is not None and _aloft(group):
        return setting.over
    return setting.inside[int(rng.integers(len(setting.inside)))]


def _aloft(group: Group) -> bool:
    return any(thing.zone in _ALOFT for thing in group.things)


def _side(group: Group, size: int) -> str:
    x, _, width, _ = group.things[0].bbox
    centre = (x + width / 2) / size
    if centre < 0.36:
        return "on the left"
    return "on the right" if centre > 0.64 else "in the middle" if 0.42 < centre < 0.58 else ""
