"""How visible things stand to each other, read off their boxes and off what covers what."""

from collections.abc import Sequence
from typing import Final

from pipelines.scenes.model import MENTION_AREA, MENTION_VISIBILITY, Relation, SceneObject

HOLDING: Final = "holding"
ON: Final = "on"
BEHIND: Final = "behind"
ABOVE: Final = "above"
LEFT_OF: Final = "left of"
PREDICATES: Final = (HOLDING, ON, BEHIND, ABOVE, LEFT_OF)
# How high each zone lies; in a picture everything far off is higher up, yet "above" takes more than that.
_LEVELS: Final = {"sky": 0, "wall": 0, "surface": 1, "water": 2}
_COVERED: Final = 0.04  # a thing is behind another that covers at least this part of it


def mentionable(thing: SceneObject, size: int) -> bool:
    """Whether a caption may name it: enough of it is seen to recognise it."""
    return thing.visibility >= MENTION_VISIBILITY and thing.area >= MENTION_AREA * size * size


def relate(
    objects: Sequence[SceneObject],
    joined: Sequence[Relation],
    covered: dict[tuple[int, int], float],
    size: int,
) -> list[Relation]:
    """All relations: the given joins (holding, on), then behind, above and left of between mentionable things.

    `covered[front, back]` is the part of `back` that `front` hides, 0..1.
    """
    clear = [thing for thing in objects if mentionable(thing, size)]
    ids = {thing.id for thing in clear}
    found = [r for r in joined if r.subject in ids and r.object in ids]
    close = {frozenset((r.subject, r.object)) for r in found}
    for a in clear:
        for b in clear:
            if a.id != b.id and frozenset((a.id, b.id)) not in close:
                found += _between(a, b, covered.get((b.id, a.id), 0.0))
    return found


def _between(a: SceneObject, b: SceneObject, hidden: float) -> list[Relation]:
    """What `a` is to `b`; `hidden` is the part of `a` that `b` covers."""
    ax0, ay0, ax1, ay1 = _corners(a)
    bx0, by0, bx1, by1 = _corners(b)
    if hidden >= _COVERED:
        return [Relation(a.id, BEHIND, b.id)]
    across = min(ax1, bx1) - max(ax0, bx0)
    down = min(ay1, by1) - max(ay0, by0)
    # Side by side: nothing shared across, and at least half of the lower one's height shared down. Likewise above.
    if ax1 <= bx0 and down >= 0.5 * min(a.bbox[3], b.bbox[3]):
        return [Relation(a.id, LEFT_OF, b.id)]
    rank = _LEVELS.get(a.zone, 3), _LEVELS.get(b.zone, 3)
    higher = rank[0] < rank[1] or rank == (0, 0)
    if higher and ay1 <= by0 and across >= 0.5 * min(a.bbox[2], b.bbox[2]):
        return [Relation(a.id, ABOVE, b.id)]
    return []


def _corners(thing: SceneObject) -> tuple[int, int, int, int]:
    x, y, width, height = thing.bbox
    return x, y, x + width, y + height
