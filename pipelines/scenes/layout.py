"""What a scene holds and where: a setting, its things, and how they relate."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipelines.scenes.kinds import KINDS
from pipelines.scenes.lettering import BUS_WORDS, FONTS, WORDS
from pipelines.scenes.palette import COLOURS, PATTERNS, SIZES
from pipelines.scenes.pen import Pen
from pipelines.scenes.settings import SETTINGS, Setting, Zone

Box = tuple[float, float, float, float]
_HELD: Final = ("umbrella", "balloon", "flower", "book", "cup")
# support -> what may lie, stand or sit on it, in which poses
_ON: Final[dict[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "table": (("cup", ()), ("book", ()), ("lamp", ()), ("apple", ()), ("gift", ()), ("cat", ("sitting", "sleeping"))),
    "chair": (("cat", ("sitting", "sleeping")), ("person", ("sitting",)), ("gift", ()), ("book", ()), ("ball", ("",))),
    "bench": (("person", ("sitting",)), ("cat", ("sitting", "sleeping")), ("bird", ("standing",)), ("apple", ())),
    "house": (("bird", ("standing",)),),
}
_BEHIND: Final = ("house", "tree", "car", "bench", "table", "snowman", "horse", "chair", "lamppost", "boat")
_COVER: Final = 0.22  # how much of a thing's box others may cover, unless it is placed behind on purpose
_TRIES: Final = 14
_MARGIN: Final = 0.015


@dataclass(slots=True)
class Thing:
    """One thing of a scene, placed: `x`, `y` are where its units' origin stands, as fractions of the image."""

    kind: str
    colour: str
    pattern: str
    size: str
    action: str
    pen: Pen
    zone: str
    scale: float
    flip: bool
    x: float = 0.0
    y: float = 0.0
    depth: float = 0.0  # painted in rising order

    def matrix(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Units of the thing to fractions of the image (3, 3)."""
        sx = -self.scale if self.flip else self.scale
        return np.array([[sx, 0, self.x], [0, self.scale, self.y], [0, 0, 1]], np.float64)

    def box(self) -> Box:
        """x0, y0, x1, y1 of all of it, as fractions of the image."""
        x0, y0, x1, y1 = self.pen.extent()
        if self.flip:
            x0, x1 = -x1, -x0
        return self.x + self.scale * x0, self.y + self.scale * y0, self.x + self.scale * x1, self.y + self.scale * y1

    def place(self, name: str) -> tuple[float, float]:
        """Where an anchor stands, as fractions of the image."""
        x, y = self.pen.anchors[name]
        return self.x + self.scale * (-x if self.flip else x), self.y + self.scale * y


@dataclass(slots=True)
class Layout:
    """A scene before it is painted; `relations` are (subject, predicate, object) by the things themselves.

    Things are painted in `colours` alone; a kind that has none of them keeps its own.
    """

    setting: Setting
    colours: frozenset[str] = frozenset(COLOURS)
    things: list[Thing] = field(default_factory=list)
    relations: list[tuple[Thing, str, Thing]] = field(default_factory=list)


def compose(rng: np.random.Generator, colours: Collection[str] = COLOURS) -> Layout:
    """Choose and place everything of one scene, in painting order."""
    setting = SETTINGS[_pick(rng, tuple(SETTINGS))]
    layout = Layout(setting, frozenset(colours))
    wanted = int(rng.integers(5, 10))
    for _ in range(3 * wanted):
        if len(layout.things) >= wanted:
            break
        zone = _zone(rng, setting)
        kind, poses = _member(rng, zone)
        copies = (
            int(rng.choice((1, 1, 1, 2, 2, 3) if kind == "fish" else (1, 1, 1, 1, 1, 2, 2, 3)))
            if kind not in ("sun", "moon", "bus", "house", "whale")
            else 1
        )
        if any(t.kind == kind for t in layout.things):
            continue  # another time would make counts that no caption can group
        for _ in range(copies):
            _add(rng, layout, zone, kind, poses)
    layout.things.sort(key=lambda thing: thing.depth)
    return layout


def _zone(rng: np.random.Generator, setting: Setting) -> Zone:
    weights = np.array([zone.share for zone in setting.zones], np.float64)
    return setting.zones[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _member(rng: np.random.Generator, zone: Zone) -> tuple[str, tuple[str, ...]]:
    weights = np.array([weight for _, _, weight in zone.members], np.float64)
    kind, poses, _ = zone.members[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return kind, poses


def _add(rng: np.random.Generator, layout: Layout, zone: Zone, kind: str, poses: tuple[str, ...]) -> None:
    """Place one thing of the kind, and perhaps what it holds, what is on it, or what is behind it."""
    holds = kind == "person" and zone.name != "road" and rng.random() < 0.4
    thing = _thing(rng, layout, kind, ("holding",) if holds else poses, zone.name)
    if not _place(rng, layout, thing, zone):
        return
    if holds:
        _hold(rng, layout, thing)
    elif kind in _ON and rng.random() < 0.6:
        _put_on(rng, layout, thing)
    elif kind in _BEHIND and rng.random() < 0.45:
        _put_before(rng, layout, thing, zone)


def _thing(
    rng: np.random.Generator,
    layout: Layout,
    kind_name: str,
    poses: tuple[str, ...],
    zone: str,
    sizes: tuple[str, ...] = (),
) -> Thing:
    kind = KINDS[kind_name]
    known = dict(kind.poses) | ({"holding": "standing"} if kind_name == "person" else {})
    pose = _pick(rng, poses or tuple(known if kind_name != "person" else dict(kind.poses)))
    colour = _pick(rng, tuple(c for c in kind.colours if c in layout.colours) or kind.colours)
    pattern = _pick(rng, ("plain", "plain", *PATTERNS[1:])) if kind.patterned else "plain"
    size = _pick(rng, sizes or tuple(SIZES))
    pen = Pen(COLOURS[colour], variety=int(rng.integers(16)), patterned=pattern != "plain", font=_pick(rng, FONTS))
    if kind_name == "sign":
        pen.words = tuple(str(w) for w in rng.choice(WORDS, int(rng.choice((1, 1, 2))), replace=False))
    elif kind_name == "bus":
        pen.words = (_pick(rng, BUS_WORDS),)
    kind.draw(pen, pose)
    return Thing(
        kind_name, colour, pattern, size, known[pose], pen, zone, kind.height * SIZES[size], bool(rng.random() < 0.5)
    )


def _place(rng: np.random.Generator, layout: Layout, thing: Thing, zone: Zone) -> bool:
    """Find it a free spot in its zone; false where there is none."""
    x0, y0, x1, y1 = thing.box()  # about the origin
    width, height = x1 - x0, y1 - y0
    if width > 1 - 2 * _MARGIN:
        return False
    tall = height > 0.24 and zone.bottom - zone.top > 0.15
    for _ in range(_TRIES):
        # Tall things stand at the back of their band, small ones anywhere in it.
        far = zone.top + (zone.bottom - zone.top) * (0.4 if tall else 1.0)
        foot = rng.uniform(max(zone.top, height + _MARGIN), max(far, height + _MARGIN + 0.005))
        if foot > 1 - _MARGIN:
            return False
        thing.x = rng.uniform(_MARGIN, 1 - _MARGIN - width) - x0
        thing.y = foot - (y1 if zone.name in ("sky", "wall", "water") else 0.0)
        thing.depth = (0.0 if zone.name in ("sky", "wall") else 1.0) + foot
        if _fits(layout, thing, ()):
            layout.things.append(thing)
            return True
    return False


def _hold(rng: np.random.Generator, layout: Layout, holder: Thing) -> None:
    # Nobody holds a flower as tall as himself: what is held is scaled to the hand, and called medium.
    free = tuple(kind for kind in _HELD if _absent(layout, kind))
    if not free:
        return
    held = _thing(rng, layout, _pick(rng, free), (), holder.zone, ("medium",))
    held.scale *= SIZES[holder.size]
    held.flip = holder.flip
    _attach(layout, held, "grip", holder, "hand", "holding")


def _put_on(rng: np.random.Generator, layout: Layout, support: Thing) -> None:
    choices = [(kind, poses) for kind, poses in _ON[support.kind] if _absent(layout, kind)]
    if not choices:
        return
    kind, poses = choices[int(rng.integers(len(choices)))]
    sizes: tuple[str, ...] = (
        ("medium", "large") if support.size == "large" else ("small", "medium") if support.size == "small" else ()
    )
    if kind in ("cat", "person", "gift", "lamp") and support.kind in ("chair", "table"):
        sizes = (support.size,)
    thing = _thing(rng, layout, kind, poses, support.zone, sizes)
    if support.kind == "chair" and kind == "person":
        thing.flip = support.flip
    shift = rng.uniform(-0.5, 0.5) * support.scale if support.kind in ("table", "bench") else 0.0
    _attach(layout, thing, "seat" if kind == "person" else "", support, "top", "on", shift)


def _attach(
    layout: Layout, thing: Thing, own: str, other: Thing, anchor: str, predicate: str, shift: float = 0.0
) -> None:
    """Join an anchor of `thing` (its foot when "") to one of `other`, painted just in front of it; or drop it."""
    x, y = other.place(anchor)
    thing.x = thing.y = 0.0
    ox, oy = thing.place(own) if own else (0.0, 0.0)
    thing.x, thing.y = x - ox + shift, y - oy
    thing.depth = other.depth + 1e-4
    x0, y0, x1, y1 = thing.box()
    inside = x0 >= _MARGIN and y0 >= _MARGIN and x1 <= 1 - _MARGIN and y1 <= 1 - _MARGIN / 2
    if not inside or not _fits(layout, thing, (other,)):
        return
    layout.things.append(thing)
    layout.relations.append((other, predicate, thing) if predicate == "holding" else (thing, predicate, other))


def _put_before(rng: np.random.Generator, layout: Layout, back: Thing, zone: Zone) -> None:
    """Place something smaller in front of `back`, covering a part of it."""
    options = [m for m in zone.members if _absent(layout, m[0]) and KINDS[m[0]].height < 0.75 * KINDS[back.kind].height]
    if not options:
        return
    kind, poses, _ = options[int(rng.integers(len(options)))]
    thing = _thing(rng, layout, kind, poses, zone.name)
    x0, _, x1, y1 = back.box()
    a0, _, a1, _ = thing.box()
    side = -1 if rng.random() < 0.5 else 1
    centre = (x0 + x1) / 2 + side * rng.uniform(0.15, 0.45) * (x1 - x0)
    thing.x = centre - (a0 + a1) / 2
    thing.y = y1 + rng.uniform(0.015, 0.05)
    thing.depth = back.depth + 0.05
    b = thing.box()
    inside = b[0] >= _MARGIN and b[1] >= _MARGIN and b[2] <= 1 - _MARGIN and b[3] <= 1 - _MARGIN / 2
    overlap = _overlap(b, back.box())
    if not inside or not 0.02 < overlap / _area(back.box()) < 0.42 or not _fits(layout, thing, (back,)):
        return
    layout.things.append(thing)  # that `back` is behind it is read off the painted pixels


def _absent(layout: Layout, kind: str) -> bool:
    return all(thing.kind != kind for thing in layout.things)


def _fits(layout: Layout, thing: Thing, apart_from: tuple[Thing, ...]) -> bool:
    """Whether neither the new thing nor any other ends up covered by more than a little."""
    box = thing.box()
    for other in layout.things:
        if any(other is friend for friend in apart_from):
            continue
        shared = _overlap(box, other.box())
        if shared > _COVER * min(_area(box), _area(other.box())):
            return False
        if shared > 0 and (thing.pen.words or other.pen.words):
            return False  # words stay readable
    return True


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
