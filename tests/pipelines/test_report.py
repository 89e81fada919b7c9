"""`fld report`: everything that was decided is on the page, in its place, and nothing from strangers runs there."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from engine import masks
from engine.errors import OutError, UserError
from pipelines.query import sql
from pipelines.report import report
from pipelines.report.outline import path
from pipelines.report.page import marked
from pipelines.report.picture import MAX_BYTES, SIDE, shrink
from tests.report_out import HOSTILE_LABEL, HOSTILE_NAME, HOSTILE_TEXT, write_out

FLD = [sys.executable, "-m", "pipelines.cli"]


class Page(HTMLParser):
    """The elements of a page, its texts by card, and its marked phrases."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.style = ""
        self.words: list[str] = []
        self.marks: dict[tuple[int, str], str] = {}  # (scene, key) → words
        self._open: list[str] = []
        self._mark = (-1, "")
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "mark":
            self._mark = (len(self.named("article")) - 1, dict(attrs)["data-k"])

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        if inside == "script":
            self.scripts[-1] += data
        elif inside == "style":
            self.style += data
        else:
            self.words.append(data)
            if inside == "mark":
                self.marks[self._mark] = self.marks.get(self._mark, "") + data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return write_out(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def html(built):
    report(str(built), str(built.parent / "page.html"))
    return (built.parent / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def scenes(page):
    return {scene["id"]: scene for scene in json.loads(page.scripts[0])}


def rows(out, query):
    answer = sql(str(out), query)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


# ---- everything is there --------------------------------------------------------------------------------


def test_every_image_is_a_card_in_the_order_of_names(page, scenes, built):
    names = sorted(["0000.jpg", HOSTILE_NAME, "0002.jpg", "0003.jpg", "0004.jpg", "broken.jpg"])
    assert list(scenes) == names
    assert [card["data-scene"] for card in page.named("article")] == [str(n) for n in range(6)]
    assert "FLD-5B annotations; this page shows all 6 images." in page.words


def test_regions_are_those_of_the_table(scenes, built):
    found = rows(built, "SELECT * FROM region_text")
    assert len(found) == sum(len(scene["regions"]) for scene in scenes.values()) > 5
    for row in found:
        (region,) = [
            r for r in scenes[row["image_id"]]["regions"] if r["box"] == pytest.approx([row[c] for c in ("x0", "y0", "x1", "y1")], abs=0.06)
        ]  # fmt: skip
        assert (region["label"], region["text"], region["eligible"]) == (row["label"], row["text"], row["n_eligible"])
        assert region["confidence"] == pytest.approx(row["confidence"], abs=1e-4)
        assert [(who, label) for who, label, _, _ in region["votes"]] == [
            (v["specialist"], v["label"]) for v in row["votes"]
        ]
        assert region["candidates"][0][0] == row["candidates"][0]["text"]


def test_marked_words_are_the_phrases_and_lead_to_their_regions(page, scenes):
    expected = {
        (n, f"p{place}"): phrase["phrase"]
        for n, scene in enumerate(scenes.values())
        for place, phrase in enumerate(scene["phrases"])
    }
    assert page.marks == expected
    assert len(expected) == 5
    (dog,) = [phrase for phrase in scenes["0002.jpg"]["phrases"] if phrase["phrase"] == "a brown dog"]
    assert [scenes["0002.jpg"]["regions"][box["region"]]["label"] for box in dog["boxes"]] == ["dog"]


def test_rejections_keep_reason_value_and_limit(scenes, built):
    found = rows(built, "SELECT * FROM rejected")
    for image_id, scene in scenes.items():
        expected = [(r["stage"], r["reason"], r["value"], r["threshold"]) for r in found if r["image_id"] == image_id]
        numbers = lambda r: tuple(None if r[k] is None else float(r[k]) for k in ("value", "threshold"))  # noqa: E731
        shown = [(r["stage"], r["reason"], *numbers(r)) for r in scene["rejected"]]
        assert sorted(shown, key=repr) == sorted(expected, key=repr)
    missed = [item for scene in scenes.values() for item in scene["rejected"] if item["reason"] == "not found"]
    assert missed and all(item["box"] is None and item["span"] for item in missed)


def test_an_unreadable_image_has_a_card_that_says_why(html, scenes):
    (item,) = scenes["broken.jpg"]["rejected"]
    assert (item["stage"], item["reason"]) == ("ingest", "quarantined")
    assert item["said"]
    assert "No picture: it is in quarantine" in html
    assert "<dd>6<small>1 in quarantine</small></dd>" in html


def test_the_head_says_how_the_run_was_made(page, built):
    words = " ".join(page.words)
    assert "Made by detectors one and two; captioner words; grounder label_match; parser spacy." in words
    assert "path = one.json" in words
    assert str(built.parent) not in words  # of a file the name, not where it lies


# ---- nothing from strangers runs --------------------------------------------------------------------------


def test_hostile_words_are_shown_and_are_not_elements(page, scenes):
    assert len(page.scripts) == 2
    assert not page.named("svg") and len(page.named("img")) == 5
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert HOSTILE_NAME in page.words
    assert HOSTILE_LABEL in {region["label"] for region in scenes[HOSTILE_NAME]["regions"]}
    refused = [item["said"] for item in scenes[HOSTILE_NAME]["rejected"]]
    assert HOSTILE_TEXT in "".join(page.words) or HOSTILE_TEXT in refused


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(page):
    (policy,) = [m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    for rule, content in (("script-src", page.scripts[1]), ("style-src", page.style)):
        checksum = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{checksum}'"


def test_the_page_needs_nothing_from_elsewhere(page):
    links = [a[name] for _, a in page.elements for name in ("src", "href") if name in a]
    assert links and all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.integers(-2, 32), st.integers(-2, 32), st.sampled_from(["p0", "p1", "x0"])), max_size=5),
)
def test_marking_changes_no_character_whatever_the_spans(text, spans):
    html = marked(text, spans)
    keys: list[set[str]] = []
    shown = ""
    for part in re.split(r"(<[^>]*>)", html):
        if part.startswith("<"):
            keys = [set(re.search('data-k="(.*)"', part)[1].split())] if "data-k" in part else []
        else:
            plain = re.sub("&lt;|&gt;|&amp;|&quot;|&#x27;", lambda m: dict(zip(
                ("&lt;", "&gt;", "&amp;", "&quot;", "&#x27;"), "<>&\"'", strict=True))[m[0]], part)  # fmt: skip
            for at, _ in enumerate(plain, len(shown)):
                assert (keys[0] if keys else set()) == {key for start, end, key in spans if start <= at < end}
            shown += plain
    assert shown == text


# ---- pictures and outlines ----------------------------------------------------------------------------------


def test_pictures_are_bounded_and_keep_their_shape():
    noise = np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), np.uint8)
    data = shrink(noise)
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    assert len(data) <= MAX_BYTES and width <= SIDE
    assert width / height == pytest.approx(2.0, abs=0.02)
    assert simplejpeg.decode_jpeg_header(shrink(noise[:60, :80]))[:2] == (60, 80)
    red = np.zeros((900, 900, 3), np.uint8)
    red[..., 0] = 255
    assert simplejpeg.decode_jpeg(shrink(red))[450, 450].tolist() == pytest.approx([255, 0, 0], abs=4)


def filled(outline: str, height: int, width: int) -> np.ndarray:
    """Fill SVG path data by the even-odd rule, four times as fine, with Pillow."""
    whole = Image.new("1", (width * 4, height * 4))
    for ring in filter(None, outline.split("M")):
        points = [tuple(4 * float(v) for v in point.split(",")) for point in ring.rstrip("Z").split("L")]
        one = Image.new("1", whole.size)
        ImageDraw.Draw(one).polygon(points, fill=1)
        whole = ImageChops.logical_xor(whole, one)
    return np.asarray(whole).reshape(height, 4, width, 4).mean(axis=(1, 3)) > 0.5


def disc(size, radius, hole=0.0, parts=1):
    y, x = np.mgrid[:size, : size * parts]
    r = np.hypot(y - size / 2, x % size - size / 2)
    return (r < radius) & (r >= hole)


@pytest.mark.parametrize(
    "mask",
    [disc(200, 80), disc(200, 80, hole=40), disc(120, 30, parts=3), np.ones((40, 60), bool), disc(2000, 700, hole=300)],
    ids=["disc", "hole", "three parts", "whole image", "large"],
)
def test_an_outline_encloses_its_mask(mask):
    outline = path(masks.encode(mask), *mask.shape)
    shown = filled(outline, *mask.shape)
    assert (shown & mask).sum() / (shown | mask).sum() > 0.97
    assert len(outline) < 6000  # twenty of them are less than a picture


def test_thin_and_empty_masks():
    line = np.zeros((50, 50), bool)
    line[10, 5:45] = True
    numbers = [float(v) for v in re.findall(r"[\d.]+", path(masks.encode(line), 50, 50))]
    assert (min(numbers[::2]), max(numbers[::2])) == pytest.approx((5, 45), abs=0.5)
    assert all(10 <= y <= 11 for y in numbers[1::2])
    assert path(masks.encode(np.zeros((5, 5), bool)), 5, 5) == ""


# ---- the file -------------------------------------------------------------------------------------------


def test_the_same_out_gives_the_same_bytes(built, html, tmp_path):
    again = report(str(built), str(tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html
    assert (again.images, again.shown, again.missing) == (6, 6, 1)
    assert again.bytes == (tmp_path / "again.html").stat().st_size
    assert [entry.name for entry in tmp_path.iterdir()] == ["again.html"]


def test_a_limit_takes_the_first_by_name(built, tmp_path):
    done = report(str(built), str(tmp_path / "two.html"), limit=2)
    page = Page((tmp_path / "two.html").read_text(encoding="utf-8"))
    assert [scene["id"] for scene in json.loads(page.scripts[0])] == sorted([HOSTILE_NAME, "0000.jpg"])
    assert (done.images, done.shown) == (6, 2)
    assert "FLD-5B annotations; this page shows 2 of 6 images, the first by name." in page.words
    with pytest.raises(UserError, match="limit of at least 1"):
        report(str(built), str(tmp_path / "none.html"), limit=0)


def test_pictures_that_moved_or_changed_are_missed_and_the_rest_is_shown(built, scenes, tmp_path):
    images = built.parent / "images"
    kept = {name: (images / name).read_bytes() for name in ("0000.jpg", "0002.jpg")}
    try:
        (images / "0000.jpg").unlink()
        shutil.copy(images / "0003.jpg", images / "0002.jpg")
        done = report(str(built), str(tmp_path / "moved.html"))
    finally:
        for name, data in kept.items():
            (images / name).write_bytes(data)
    html = (tmp_path / "moved.html").read_text(encoding="utf-8")
    assert done.missing == 3
    assert f"No picture: cannot read {images}/0000.jpg" in html
    assert "No picture: the file at its place is another than the one that was annotated." in html
    assert {scene["id"]: scene for scene in json.loads(Page(html).scripts[0])} == scenes


def test_mistakes_are_one_sentence_and_leave_the_old_page(built, tmp_path):
    with pytest.raises(OutError, match="holds no build"):
        report(str(tmp_path), str(tmp_path / "page.html"))
    for place in (tmp_path / "no" / "page.html", tmp_path, Path(".")):
        with pytest.raises(UserError, match=f"cannot write {re.escape(str(place))}"):
            report(str(built), str(place))
    done = subprocess.run([*FLD, "report", tmp_path, tmp_path / "page.html"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("fld: ") and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_page(built, tmp_path):
    old = tmp_path / "page.html"
    old.write_text("old")
    command = f"ulimit -f 20; exec {sys.executable} -B -m pipelines.cli report {built} {old}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"cannot write {old}" in done.stderr
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_the_command_says_what_it_wrote(built, tmp_path):
    done = subprocess.run(
        [*FLD, "report", built, tmp_path / "page.html", "--limit", "3"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"{tmp_path}/page.html: 3 of 6 images, 0\.\d MB\n", done.stdout)
