"""The page of `fld report` in a real browser: what is pointed at lights up, filters filter, and nothing hostile runs.

Chromium prints the document after running it. A second script, put in for the test, plays the reader; the page's own
policy would refuse it, so it is taken out there, and one test leaves it in and sees the refusal.
"""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

from pipelines.report import report
from tests.report_out import HOSTILE_NAME, write_out

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium")

READER = """
<script>
(async () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const visible = (element) => getComputedStyle(element).display !== "none";
  const soon = () => new Promise((done) => setTimeout(done, 60));
  const over = (element) => element.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" }));
  const key = (element, key) => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const type = (id, value) => {
    const field = document.getElementById(id);
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return all(".card").filter((card) => !card.hidden).map((card) => card.querySelector("h2").textContent);
  };
  const lit = (card) => ({
    marks: all("mark.lit", card).map((mark) => mark.textContent),
    rows: all("tr.lit", card).map((row) => row.dataset.k),
    boxes: all("g.region.lit", card).map((box) => box.dataset.k),
    drawn: all(".tag.temporary", card).map((tag) => tag.textContent),
    words: card.querySelector("figcaption").textContent,
  });
  const seen = {};
  await soon();
  dispatchEvent(new Event("beforeprint"));
  await soon();
  const card = all(".card").find((one) => one.querySelector("h2").textContent === "0002.jpg");
  const dog = all("mark", card).find((mark) => mark.textContent === "a brown dog");
  over(dog);
  seen.phrase = lit(card);
  card.dispatchEvent(new PointerEvent("pointerleave"));
  seen.away = lit(card);
  over(card.querySelector("g.region[data-k=r0] .hit"));
  seen.region = lit(card);
  key(dog, "Enter");
  card.dispatchEvent(new PointerEvent("pointerleave"));
  seen.pinned = lit(card);
  key(document.body, "Escape");
  seen.unpinned = lit(card);
  card.querySelector("tr[data-k=r0] button").click();
  seen.candidates = card.querySelector(".more").textContent;
  card.querySelector(".rejections summary").click();
  await soon();
  seen.rejections = all(".rejections tbody tr", card).length;
  const shapes = () => all("g.region .edge", card).filter(visible).length;
  key(document.body, "Escape");
  seen.boxes = [shapes()];
  document.querySelector("input[value=boxes]").click();
  seen.boxes.push(shapes());
  seen.word = type("words", "BROWN 🐕");
  seen.two = type("words", "dog nothing-of-the-kind");
  type("words", "");
  seen.reason = type("reason", "=ingest: quarantined");
  seen.found = document.getElementById("found").textContent;
  type("reason", "");
  seen.label = type("label", "dog").length;
  seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const note = document.createElement("pre");
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
  document.body.append(note);
})();
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = write_out(tmp_path_factory.mktemp("browser"))
    report(str(out), str(out.parent / "page.html"))
    return out.parent / "page.html"


def opened(page, html, width=1280):
    """The document as the browser has it after running `html`."""
    place = page.parent / "opened.html"
    place.write_text(html, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    command += [f"--user-data-dir={page.parent}/profile", f"--window-size={width},900", "--virtual-time-budget=20000"]
    done = subprocess.run([*command, "--dump-dom", f"file://{place}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=[1280, 500], ids=["wide", "narrow"])
def seen(page, request):
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    document = opened(page, html.replace("</body>", READER + "</body>"), request.param)
    return json.loads(unescape(re.search('<pre id="seen">(.*)</pre>', document)[1]))


def test_a_phrase_lights_its_boxes_and_the_rows_of_its_regions(seen):
    assert seen["phrase"]["marks"] == ["a brown dog"]
    assert len(seen["phrase"]["rows"]) == len(seen["phrase"]["drawn"]) == 1
    assert seen["phrase"]["drawn"][0].startswith("a brown dog ")
    assert "1 box" in seen["phrase"]["words"] and "linked to dog" in seen["phrase"]["words"]
    assert seen["away"] == {"marks": [], "rows": [], "boxes": [], "drawn": [], "words": ""}


def test_a_box_lights_its_row_its_phrases_and_the_boxes_of_its_votes(seen):
    assert seen["region"]["boxes"] == seen["region"]["rows"] == ["r0"]
    assert sorted(tag.split(":")[0] for tag in seen["region"]["drawn"]) == ["one", "two"]
    assert "2 of 2 votes" in seen["region"]["words"]


def test_the_keyboard_pins_and_lets_go(seen):
    assert seen["pinned"]["marks"] == ["a brown dog"]
    assert seen["unpinned"]["marks"] == []


def test_details_open(seen):
    assert "Candidates for its text" in seen["candidates"]
    assert seen["rejections"] > 0


def test_toggles_and_filters(seen):
    assert seen["boxes"][0] > 0 and seen["boxes"][1] == 0
    assert seen["word"] == [HOSTILE_NAME]
    assert seen["two"] == []
    assert (seen["reason"], seen["found"]) == (["broken.jpg"], "1 of 6")
    assert seen["label"] == 5


def test_nothing_is_wider_than_the_window(seen):
    assert seen["wide"] <= 0


def test_nothing_hostile_runs_and_the_policy_refuses_what_gets_in(page):
    html = page.read_text(encoding="utf-8")
    title = re.search("<title>.*</title>", html)[0]
    intruder = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
    document = opened(page, html.replace("</body>", intruder + "</body>"))
    assert title in document
    assert re.search(r"<output[^>]*>\d+ shown</output>", document)  # the page's own program ran to its end
