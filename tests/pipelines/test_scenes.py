"""The drawn world: the same seed gives the same bytes, and its truth is true of its pixels."""

import contextlib
import hashlib
import io
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine import masks
from engine.errors import ConfigError
from pipelines.cli import app
from pipelines.scenes import Scene, draw, scene
from pipelines.scenes.kinds import ACTIONS, KINDS
from pipelines.scenes.model import MENTION_VISIBILITY
from pipelines.scenes.palette import COLOURS, PATTERNS, SIZES
from pipelines.scenes.relations import PREDICATES
from pipelines.scenes.settings import SETTINGS

SEED = 20


@cache
def some(count: int, difficulty: str) -> tuple[Scene, ...]:
    return tuple(scene(SEED, 256, difficulty, i) for i in range(count))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("difficulty", ["easy", "normal", "hard"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, difficulty: str) -> None:
    for name in ("a", "b"):
        assert draw(tmp_path / name, 4, 5, 128, difficulty) == 4
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    ending = "png" if difficulty == "easy" else "jpg"
    assert {f"scene_{i:06d}.{ending}" for i in range(4)} | {"truth.json", "coco.json", "captions.json"} == set(first)


def test_a_longer_set_begins_with_the_shorter_one(tmp_path: Path) -> None:
    draw(tmp_path / "short", 3, 5)
    draw(tmp_path / "long", 6, 5)
    short, long = digests(tmp_path / "short"), digests(tmp_path / "long")
    images = [name for name in short if name.endswith(".jpg")]
    assert [short[name] for name in images] == [long[name] for name in images]
    assert truth(tmp_path / "short") == truth(tmp_path / "long")[:3]


def truth(folder: Path) -> list[dict]:
    return json.loads((folder / "truth.json").read_text())["scenes"]


def test_seeds_and_scenes_differ() -> None:
    pictures = {scene(seed, 96, "easy", i).pixels.tobytes() for seed in (1, 2) for i in range(5)}
    assert len(pictures) == 10


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_boxes_masks_and_visibility(difficulty: str) -> None:
    for drawn in some(40, difficulty):
        total = np.zeros((256, 256), int)
        for thing in drawn.objects:
            mask = drawn.mask(thing.id)
            total += mask
            rows, columns = np.nonzero(mask)
            x, y, width, height = thing.bbox
            assert (columns.min(), rows.min()) == (x, y)
            assert (columns.max() + 1, rows.max() + 1) == (x + width, y + height)
            assert 0 <= x < x + width <= 256 and 0 <= y < y + height <= 256
            assert thing.area == len(rows)
            assert 0 < thing.visibility <= 1
        assert total.max() <= 1, "visible masks are disjoint"


def test_most_things_can_be_seen() -> None:
    seen = [thing.visibility for drawn in some(300, "easy") for thing in drawn.objects]
    assert np.mean(np.array(seen) > 0.6) > 0.97
    assert np.mean(np.array(seen) < 0.999) > 0.1, "and yet there is occlusion"


def test_visibility_is_the_seen_part_of_the_whole_thing() -> None:
    """A thing painted alone is all visible; the scene's own figure is its visible pixels over that area."""
    from pipelines.scenes.layout import compose
    from pipelines.scenes.raster import SUPERSAMPLE, Canvas, paint

    for index in range(10):
        layout = compose(np.random.default_rng([SEED, index, 0]))
        for thing in some(40, "easy")[index].objects:
            canvas = Canvas.blank(256)
            placed = layout.things[thing.id - 1]
            view = np.diag([256.0 * SUPERSAMPLE, 256.0 * SUPERSAMPLE, 1.0])
            paint(canvas, placed.pen, placed.pattern, view @ placed.matrix(), 1)
            alone = int(canvas.sample()[1].sum())
            assert thing.visibility == pytest.approx(thing.area / alone, abs=1e-3)


def test_pixels_have_the_declared_colours() -> None:
    right = total = 0
    for drawn in some(60, "easy"):
        for thing in drawn.objects:
            if thing.visibility < 0.8 or thing.area < 300:
                continue
            pixels = drawn.pixels[drawn.mask(thing.id)].astype(int)
            away = np.abs(pixels - np.array(COLOURS[thing.colour])).max(axis=1)
            # A shirt is only a part of a person, a scarf of a snowman, a frame of a sign.
            total += 1
            right += np.mean(away < 30) > (0.04 if thing.kind in ("snowman", "person", "sign") else 0.08)
    assert total > 200
    assert right / total > 0.97


@pytest.mark.parametrize("difficulty", ["normal", "hard"])
def test_difficulty_changes_pixels_and_truth_follows(difficulty: str) -> None:
    """The same things; where the perspective moved them, boxes moved with the pixels."""
    right = total = 0
    for easy, worse in zip(some(40, "easy"), some(40, difficulty), strict=False):
        assert [(t.id, t.kind, t.colour) for t in easy.objects] == [(t.id, t.kind, t.colour) for t in worse.objects]
        assert not np.array_equal(easy.pixels, worse.pixels)
        for thing in worse.objects:
            if thing.kind in ("snowman", "person", "bicycle", "boat", "kite") or thing.area < 600:
                continue
            away = np.abs(worse.pixels.astype(int) - np.array(COLOURS[thing.colour])).sum(axis=2)
            x, y, width, height = thing.bbox
            near = np.zeros((256, 256), bool)
            near[
                max(y - height // 3, 0) : y + height + height // 3, max(x - width // 3, 0) : x + width + width // 3
            ] = True
            mask = worse.mask(thing.id)
            if not (near & ~mask).any():
                continue
            total += 1
            right += np.mean(away[mask] < 120) > np.mean(away[near & ~mask] < 120)
    assert right / total > 0.9


def test_captions_claim_only_what_is_there() -> None:
    for drawn in some(300, "normal"):
        things = {thing.id: thing for thing in drawn.objects}
        for caption in drawn.captions.values():
            assert re.fullmatch(r"[A-Z].*[.\"]", caption.text), caption.text
            assert "  " not in caption.text and ".." not in caption.text
            for phrase in caption.phrases:
                kinds = {things[i].kind for i in phrase.objects}
                assert len(kinds) == 1
                kind = KINDS[kinds.pop()]
                noun = kind.name if len(phrase.objects) == 1 else kind.plural
                assert noun in caption.text[phrase.start : phrase.end].lower()
            for i in caption.objects:
                assert things[i].visibility >= MENTION_VISIBILITY
            for i, name, value in caption.attributes:
                assert getattr(things[i], name) == value
                assert i in caption.objects
                assert value in caption.text
            for i, action in caption.actions:
                assert things[i].action == action and action in caption.text
            assert set(caption.relations) <= set(drawn.relations)
            for word in caption.words:
                assert word in [w.text for w in drawn.words]


def test_captions_count_right() -> None:
    for drawn in some(300, "normal"):
        for caption in drawn.captions.values():
            for kind, count in caption.counts.items():
                clear = [t for t in drawn.objects if t.kind == kind and t.visibility >= MENTION_VISIBILITY]
                named = [i for i in caption.objects if drawn.objects and i in {t.id for t in clear}]
                assert count == len(named) == len(clear)


def test_more_detailed_captions_name_more() -> None:
    lengths = np.array([[len(c.text) for c in drawn.captions.values()] for drawn in some(300, "normal")])
    assert (np.diff(lengths.mean(axis=0)) > 20).all()


def test_relations_hold_between_boxes() -> None:
    for drawn in some(300, "normal"):
        boxes = {t.id: t.bbox for t in drawn.objects}
        for relation in drawn.relations:
            (ax, ay, aw, ah), (bx, by, _, _) = boxes[relation.subject], boxes[relation.object]
            if relation.predicate == "left of":
                assert ax + aw <= bx
            elif relation.predicate == "above":
                assert ay + ah <= by
            elif relation.predicate == "on":
                assert ay < by + boxes[relation.object][3]
            else:
                assert ax <= bx + boxes[relation.object][2] and bx <= ax + aw


def test_everything_occurs_in_300_scenes() -> None:
    drawn = some(300, "easy")
    things = [thing for one in drawn for thing in one.objects]
    assert {thing.kind for thing in things} == set(KINDS)
    assert len(KINDS) >= 24
    assert {thing.colour for thing in things} == set(COLOURS) and len(COLOURS) == 10
    assert {thing.pattern for thing in things} == set(PATTERNS)
    assert {thing.size for thing in things} == set(SIZES)
    assert {thing.action for thing in things} - {""} == set(ACTIONS)
    assert {one.setting for one in drawn} == set(SETTINGS) and len(SETTINGS) == 6
    assert {relation.predicate for one in drawn for relation in one.relations} == set(PREDICATES)
    assert len({word.font for one in drawn for word in one.words}) >= 4


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools itself
def test_coco_tools_read_the_set(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    draw(tmp_path, 5, 3)
    with contextlib.redirect_stdout(io.StringIO()):
        coco, captions = COCO(str(tmp_path / "coco.json")), COCO(str(tmp_path / "captions.json"))
    told = truth(tmp_path)
    assert len(coco.imgs) == 5 and len(captions.anns) == 5
    for entry in told:
        assert (tmp_path / entry["file_name"]).is_file()
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[entry["id"]]))
        assert len(annotations) == len(entry["objects"])
        for annotation, thing in zip(annotations, entry["objects"], strict=True):
            mask = coco.annToMask(annotation)
            assert mask.sum() == annotation["area"] == thing["area"]
            assert coco.cats[annotation["category_id"]]["name"] == thing["kind"]
            box = masks.bbox([annotation["segmentation"]["counts"]], 256, 256)[0]
            x, y, width, height = annotation["bbox"]
            assert box.tolist() == [x, y, x + width, y + height]
        phrases = entry["captions"]["detailed"]["phrases"]
        text = entry["captions"]["detailed"]["text"]
        assert all(text[p["start"] : p["end"]] == p["phrase"] for p in phrases)


def test_printed_words_can_be_read() -> None:
    from rapidocr import RapidOCR

    reader = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "error"})
    read, wanted = [], 0
    pictures = (one for i in range(400) if (one := scene(SEED, 256, "easy", i)).words)
    for drawn in (next(pictures) for _ in range(12)):
        answer = reader(np.ascontiguousarray(drawn.pixels[..., ::-1]))
        seen = " ".join(answer.txts or ()).lower()
        for word in drawn.words:
            if word.height >= 12 and word.visibility > 0.95:
                wanted += 1
                read.append(word.text.lower() in seen)
    assert wanted >= 10
    assert np.mean(read) >= 0.8


def test_quads_hold_the_ink() -> None:
    """Inside a word's quad there is dark ink on light paper; its corners go clockwise from the top left."""
    for drawn in some(300, "hard"):
        for word in drawn.words:
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = word.quad
            assert ax < bx and dx < cx and ay < dy and by < cy
            assert word.height == pytest.approx((np.hypot(dx - ax, dy - ay) + np.hypot(cx - bx, cy - by)) / 2, abs=0.1)
            if word.visibility == 1 and word.height >= 10:
                x0, x1, y0, y1 = (round(v) for v in (max(ax, dx), min(bx, cx), max(ay, by), min(cy, dy)))
                inside = drawn.pixels[y0:y1, x0:x1].mean(axis=2)
                assert np.percentile(inside, 95) - np.percentile(inside, 5) > 60


@pytest.mark.parametrize(
    ("count", "seed", "size", "difficulty"),
    [(0, 1, 256, "easy"), (1, -1, 256, "easy"), (1, 1, 8, "easy"), (1, 1, 256, "cruel")],
)
def test_impossible_sets_are_refused(tmp_path: Path, count: int, seed: int, size: int, difficulty: str) -> None:
    with pytest.raises(ConfigError):
        draw(tmp_path / "set", count, seed, size, difficulty)
    assert not (tmp_path / "set").exists()


def test_the_command(tmp_path: Path) -> None:
    args = ["scenes", str(tmp_path), "--count", "2", "--seed", "1", "--size", "96", "--difficulty", "hard"]
    answer = CliRunner().invoke(app, args)
    assert answer.exit_code == 0, answer.output
    assert "2 scenes" in answer.output
    assert len(truth(tmp_path)) == 2
