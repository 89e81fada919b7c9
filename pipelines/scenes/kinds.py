"""The catalogue: every kind of thing, how tall it is, what it does, and how it is coloured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipelines.scenes import animals, indoors, outdoors, people, sea_animals, sky, vehicles
from pipelines.scenes.palette import COLOURS
from pipelines.scenes.pen import Pen

ALL: Final = tuple(COLOURS)
_FUR: Final = ("brown", "gray", "white", "orange", "yellow", "red", "blue", "pink", "purple", "green")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    `height` is that of a medium one, as a fraction of the image's. `poses` pairs each pose that `draw` knows with the
    action it shows, "" for none. `colours` lists what it may be painted (twice for twice as often); `patterned` says
    whether its body is large enough for stripes and dots.
    """

    name: str
    plural: str
    draw: Callable[[Pen, str], None]
    height: float
    poses: tuple[tuple[str, str], ...] = (("", ""),)
    colours: tuple[str, ...] = ALL
    patterned: bool = True


def _acts(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("house", "houses", outdoors.house, 0.42),
        Kind(
            "tree",
            "trees",
            outdoors.tree,
            0.43,
            colours=("green", "green", "orange", "yellow", "red", "pink", "purple"),
        ),
        Kind("flower", "flowers", outdoors.flower, 0.17, patterned=False),
        Kind("mushroom", "mushrooms", outdoors.mushroom, 0.13, patterned=False),
        Kind("bench", "benches", outdoors.bench, 0.16, patterned=False),
        Kind("sign", "signs", outdoors.sign, 0.27, patterned=False),
        Kind("ball", "balls", outdoors.ball, 0.1, (("rolling", "rolling"), ("bouncing", "bouncing"), ("", ""))),
        Kind("umbrella", "umbrellas", outdoors.umbrella, 0.26),
        Kind(
            "lamppost",
            "lampposts",
            outdoors.lamppost,
            0.42,
            colours=("gray", "green", "blue", "brown"),
            patterned=False,
        ),
        Kind("snowman", "snowmen", people.snowman, 0.32),
        Kind(
            "person",
            "people",
            people.person,
            0.38,
            _acts("standing", "running", "walking", "waving", "jumping", "sitting"),
        ),
        Kind("dog", "dogs", animals.dog, 0.175, _acts("standing", "sitting", "running"), _FUR),
        Kind("cat", "cats", animals.cat, 0.155, _acts("standing", "sitting", "sleeping"), _FUR),
        Kind("horse", "horses", animals.horse, 0.32, _acts("standing", "running"), _FUR),
        Kind("rabbit", "rabbits", animals.rabbit, 0.145, _acts("sitting", "jumping"), _FUR),
        Kind("bird", "birds", animals.bird, 0.12, _acts("flying", "standing")),
        Kind("duck", "ducks", animals.duck, 0.13, _acts("swimming", "standing")),
        Kind("fish", "fish", sea_animals.fish, 0.13, _acts("swimming", "jumping")),
        Kind("butterfly", "butterflies", animals.butterfly, 0.12, _acts("flying")),
        Kind("crab", "crabs", sea_animals.crab, 0.11, _acts("walking")),
        Kind("whale", "whales", sea_animals.whale, 0.2, _acts("swimming", "spouting")),
        Kind("car", "cars", vehicles.car, 0.15, (("driving", "driving"), ("", "parked"))),
        Kind("bus", "buses", vehicles.bus, 0.24, (("driving", "driving"), ("", "parked"))),
        Kind("bicycle", "bicycles", vehicles.bicycle, 0.19, (("", "parked"),), patterned=False),
        Kind("boat", "boats", vehicles.boat, 0.28, _acts("sailing")),
        Kind("airplane", "airplanes", vehicles.airplane, 0.14, _acts("flying")),
        Kind("chair", "chairs", indoors.chair, 0.28),
        Kind("table", "tables", indoors.table, 0.24),
        Kind("lamp", "lamps", indoors.lamp, 0.18),
        Kind("cup", "cups", indoors.cup, 0.085),
        Kind("clock", "clocks", indoors.clock, 0.17),
        Kind("book", "books", indoors.book, 0.12),
        Kind("apple", "apples", indoors.apple, 0.1, colours=("red", "green", "yellow"), patterned=False),
        Kind("gift", "gifts", indoors.gift, 0.13),
        Kind("sun", "suns", sky.sun, 0.18, (("", "shining"),), ("yellow",), False),
        Kind("moon", "moons", sky.moon, 0.16, (("", "shining"),), ("yellow",), False),
        Kind("star", "stars", sky.star, 0.08, (("", "shining"),), ("yellow", "white"), False),
        Kind("cloud", "clouds", sky.cloud, 0.11, (("", "floating"),), ("white", "gray"), False),
        Kind("kite", "kites", sky.kite, 0.26, _acts("flying")),
        Kind("balloon", "balloons", sky.balloon, 0.22, _acts("floating")),
    )
}
CATEGORIES: Final[dict[str, int]] = {name: i + 1 for i, name in enumerate(KINDS)}
ACTIONS: Final = tuple(sorted({action for kind in KINDS.values() for _, action in kind.poses if action}))
