"""What can be said of the things of a drawn scene, beyond its three captions: descriptions and phrases to find."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipelines.scenes.kinds import KINDS
from pipelines.scenes.model import MENTION_AREA, MENTION_VISIBILITY, SceneObject
from pipelines.scenes.palette import COLOURS
from pipelines.scenes.phrasing import Group, Teller
from pipelines.starter.scenes import SIZE, Example

Thing = dict[str, Any]  # an entry of "objects" in truth.json
_ALL: Final = ("size", "pattern", "colour")
# "a boat" matches whatever it looks like; the more is said, the fewer things match.
ATTRIBUTES: Final[tuple[tuple[str, ...], ...]] = ((), ("colour",), ("pattern", "colour"), _ALL)
_AMONG: Final = (0.3, 0.35, 0.2, 0.15)


def describe(things: Sequence[Thing], attributes: Sequence[str] = _ALL) -> str:
    """A noun phrase for things of one kind: "a small red car", "two dogs"."""
    told = Teller(attributes).text("of ").name(_group(things)).stop().text  # "of ", so that no capital begins it
    return told.removeprefix("Of ").removesuffix(".")


def sentence(things: Sequence[Thing], attributes: Sequence[str] = _ALL) -> str:
    """The same as a caption: "A small red car."."""
    return Teller(attributes).name(_group(things)).stop().text


def mentionable(thing: Thing) -> bool:
    """Whether a caption may name it: enough of it can be seen."""
    return bool(thing["visibility"] >= MENTION_VISIBILITY and thing["area"] >= MENTION_AREA * SIZE * SIZE)


def any_thing(example: Example, rng: np.random.Generator) -> int | None:
    """The index of an object that a caption may name; None where there is none."""
    things = [i for i, thing in enumerate(example.truth["objects"]) if mentionable(thing)]
    return things[int(rng.integers(len(things)))] if things else None


def phrase(truth: dict[str, Any], rng: np.random.Generator) -> tuple[str, list[int]]:
    """A phrase to find in a scene, and the indices of the objects that it names; none for one that is not there.

    Half are phrases of the scene's captions, a sixth names something absent, the rest are made for one thing.
    """
    things, chance = truth["objects"], rng.random()
    index = {thing["id"]: i for i, thing in enumerate(things)}
    if chance < 0.5:
        caption = truth["captions"][str(rng.choice(("brief", "detailed", "more_detailed")))]
        if caption["phrases"]:
            chosen = caption["phrases"][int(rng.integers(len(caption["phrases"])))]
            text = chosen["phrase"].partition(" (")[0]  # a parser ends the phrase before the bracket
            lowered = text[0].lower() + text[1:] if rng.random() < 0.5 else text
            return lowered, [index[i] for i in chosen["objects"]]
    if chance < 0.83 and things:
        return _made(things, rng)
    return _absent(things, rng), []


def _made(things: list[Thing], rng: np.random.Generator) -> tuple[str, list[int]]:
    """Something true of one thing, and all things of which it is true."""
    thing = things[int(rng.integers(len(things)))]
    said = ATTRIBUTES[int(rng.choice(len(ATTRIBUTES), p=_AMONG))]
    same = [i for i, other in enumerate(things) if other["kind"] == thing["kind"]]
    alike = [i for i in same if all(things[i][name] == thing[name] for name in said)]
    if len(same) > 1 and rng.random() < 0.5:
        return describe([things[i] for i in same], ()), same
    if not said and rng.random() < 0.3:
        return f"the {thing['kind'] if len(same) == 1 else KINDS[thing['kind']].plural}", same
    return describe([thing], said), alike


def _absent(things: list[Thing], rng: np.random.Generator) -> str:
    """Something that is not there: another kind, or a thing of the scene in a colour that it does not have."""
    if things and rng.random() < 0.4:
        thing = dict(things[int(rng.integers(len(things)))])
        of_kind = {other["colour"] for other in things if other["kind"] == thing["kind"]}
        free = [colour for colour in KINDS[thing["kind"]].colours if colour not in of_kind]
        if free and thing["kind"] not in ("sun", "moon"):
            thing["colour"] = free[int(rng.integers(len(free)))]
            return describe([thing], ("colour",))
    present = {thing["kind"] for thing in things}
    kinds = [kind for kind in KINDS if kind not in present]
    kind = KINDS[kinds[int(rng.integers(len(kinds)))]]
    thing = {"kind": kind.name, "colour": kind.colours[int(rng.integers(len(kind.colours)))], "id": 0}
    return describe([thing], ("colour",) if rng.random() < 0.5 else ())


def _group(things: Sequence[Thing]) -> Group:
    return Group(
        things[0]["kind"],
        tuple(
            SceneObject(
                thing["id"], thing["kind"], thing["colour"], thing.get("pattern", "plain"), thing.get("size", "medium"),
                thing.get("action", ""), "", (0, 0, 0, 0), 0, 1.0,
            )
            for thing in things
        ),
    )  # fmt: skip


def words() -> list[str]:
    """Phrases with every word that `describe` and `phrase` can say, for tokenizers."""
    found = []
    for kind in KINDS.values():
        for colour in COLOURS:
            thing = {"id": 0, "kind": kind.name, "colour": colour, "pattern": "striped", "size": "small"}
            found += [describe([thing]), describe([thing | {"pattern": "dotted", "size": "large"}])]
            found += [describe([thing] * number, said) for number in (2, 3) for said in ((), ("colour",))]
        found += [f"the {kind.name}", f"the {kind.plural}"]
    return found
