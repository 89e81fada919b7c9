"""The page's HTML. Whatever came from an image, a model or a file name is escaped here, and runs nowhere.

Pictures and texts stand in the HTML, so that the browser's own search finds them and they show without a program;
boxes, tables and rejections are drawn by `page.js` from one block of JSON when a card comes near the window. The
page's policy allows its own style and script by their checksums and nothing else, whatever else might get in.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template
from typing import Any, Final

from engine import schema as s
from pipelines.report.picture import Picture
from pipelines.report.rows import Row, Scene
from pipelines.report.summary import Summary

_KINDS: Final = {"brief": "Brief", "detailed": "Detailed", "more_detailed": "More detailed"}
_MEASURES: Final = (
    (s.N_TOKENS, "token"), (s.N_OBJECTS, "object"), (s.N_ATTRIBUTES, "attribute"), (s.N_ACTIONS, "action"),
)  # fmt: skip
Span = tuple[int, int, str]


def head(name: str, summary: Summary, shown: int, total: int) -> str:
    """Everything before the first card."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_checksum(style)}'; script-src '{_checksum(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_part("page.html")).substitute(
        policy=policy,
        style=style,
        title=escape(f"{name} · FLD-5B report"),
        name=escape(name),
        lead=_lead(summary, shown, total),
        counts=_counts(summary, total),
        made=_made(summary),
        specialists=_specialists(summary),
        rejected=_rejected(summary),
        settings=_table(("setting", "value"), summary.settings),
    )


def card(number: int, scene: Scene, drawn: dict[str, Any], picture: Picture) -> str:
    """One image: its picture, its texts with the phrases marked, and what is in it."""
    name = escape(scene.image_id)
    return f"""<article class="card" id="scene-{number}" data-scene="{number}" aria-labelledby="name-{number}">
<header><h2 id="name-{number}"><a href="#scene-{number}">{name}</a></h2><p class="facts">{_facts(scene)}</p></header>
<div class="sides">
<figure>{_picture(scene, drawn, picture)}<figcaption aria-live="polite"></figcaption></figure>
<div class="said">
<section class="texts"><h3>Texts</h3>{_texts(scene, drawn)}</section>
<section class="regions"><h3>Regions</h3><p class="chips">{_contents(drawn)}</p></section>
<section class="rejections"></section>
</div>
</div>
</article>
"""


def tail(data: str) -> str:
    """Everything after the last card; `data` is the JSON of all scenes."""
    # In a script block only "<" can end it or begin a comment; JSON has it in strings alone.
    block = data.replace("<", "\\u003c")
    return f"""</main>
<script type="application/json" id="data">{block}</script>
<script>{_part("page.js")}</script>
</body>
</html>
"""


def marked(text: str, spans: Iterable[Span]) -> str:
    """The text as HTML, each span (start, end, key) of characters as `mark` with its keys; spans may overlap."""
    inside = [(max(start, 0), min(end, len(text)), key) for start, end, key in spans]
    cuts = sorted({0, len(text), *(at for start, end, _ in inside if start < end for at in (start, end))})
    return "".join(
        _piece(text[low:high], [k for a, b, k in inside if a <= low and high <= b]) for low, high in pairwise(cuts)
    )


def _piece(text: str, keys: list[str]) -> str:
    if not keys:
        return escape(text)
    kind = "mark" if any(key.startswith("p") for key in keys) else "span"
    return f'<{kind} data-k="{" ".join(keys)}">{escape(text)}</{kind}>'


# ---- the head -----------------------------------------------------------------------------------------


def _lead(summary: Summary, shown: int, total: int) -> str:
    whole = f"all {_many(total, 'image')}" if shown == total > 1 else f"{shown:,} of {_many(total, 'image')}"
    text = f"FLD-5B annotations; this page shows {whole}" + (", the first by name." if shown < total else ".")
    if summary.shards < summary.planned:
        text += f" The build is not finished: {summary.shards:,} of {summary.planned:,} shards are published."
    return escape(text)


def _counts(summary: Summary, total: int) -> str:
    found = summary.found
    boxes = {row[s.KIND]: row["boxes"] for row in found["shapes"]}
    texts = {row["type"]: row["ours"]["annotations"] for row in found["table2"] if row["family"] == "text"}
    quarantined = sum(row["images"] for row in found["quarantine"])
    lines = [
        ("images", total, f"{quarantined:,} in quarantine" if quarantined else ""),
        ("texts", sum(texts.values()), ", ".join(f"{texts[k]:,} {k.replace('_', ' ')}" for k in texts if texts[k])),
        ("objects", boxes.get("object", 0), "regions with a label"),
        ("writing", boxes.get("text", 0), "regions that were read"),
        ("triplets", boxes.get("phrase", 0), "pairs of a phrase and a box"),
        ("rejections", sum(row["count"] for row in found["rejected"]), "kept with their reasons"),
    ]
    return "\n".join(f"<div><dt>{k}</dt><dd>{n:,}<small>{escape(about)}</small></dd></div>" for k, n, about in lines)


def _made(summary: Summary) -> str:
    names: dict[str, list[str]] = {}
    for role, name, uses, _ in summary.roles:
        names.setdefault(role, []).append(name if name not in ("parser", "") else uses)
    parts = [f"{role}{'s' if len(found) > 1 else ''} {' and '.join(found)}" for role, found in names.items()]
    run = f" Run {summary.fingerprint}." if summary.fingerprint else ""
    return escape((f"Made by {'; '.join(parts)}." if parts else "Made without specialists.") + run)


def _specialists(summary: Summary) -> str:
    agreement = [
        (row[s.KIND], row[s.SPECIALIST], row["kept"], row["rejected"], *map(_share, _agreement(row)))
        for row in summary.found["regions_by_specialist"]
    ]
    return (
        _table(("role", "name", "uses", "settings"), summary.roles)
        + _table(("of", "specialist", "kept", "rejected", "confirmed", "mean IoU", "same label"), agreement)
        + f'<p class="facts">{escape(summary.found["definitions"]["predictions"])}</p>'
    )


def _agreement(row: Row) -> tuple[Any, Any, Any]:
    return row["confirmed"], row["mean_iou"], row["label_agreement"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rejected(summary: Summary) -> str:
    lines = [(row[s.STAGE], row[s.REASON], row["count"]) for row in summary.found["rejected"]]
    lost = [(row[s.STAGE], "quarantined", row["faults"]) for row in summary.found["quarantine"]]
    return _table(("stage", "reason", "count"), lines + lost) if lines + lost else "<p>Nothing was rejected.</p>"


def _table(names: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    heads = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


# ---- a card -------------------------------------------------------------------------------------------


def _facts(scene: Scene) -> str:
    rows, image = scene.rows, scene.image
    size = [f"{image[s.WIDTH]} × {image[s.HEIGHT]}"] if image else []
    counts = (("region_text", "region"), ("text", "text"), ("text_phrase_region", "triplet"), ("rejected", "rejection"))
    return " · ".join(size + [_many(len(rows[table]), word) for table, word in counts])


def _picture(scene: Scene, drawn: dict[str, Any], picture: Picture) -> str:
    note = f'<p class="note">No picture: {escape(picture.missing)}.</p>' if picture.missing else ""
    image = scene.image
    if image is None:
        return note
    if not picture.jpeg:
        return f'<div class="picture blank"></div>{note}'
    about = escape(f"{scene.image_id}: {_listed(drawn) or 'nothing was found in it'}")
    source = base64.b64encode(picture.jpeg).decode("ascii")
    size = f'width="{image[s.WIDTH]}" height="{image[s.HEIGHT]}"'
    return (
        f'<div class="picture"><img {size} alt="{about}" decoding="async" src="data:image/jpeg;base64,{source}"></div>'
    )


def _texts(scene: Scene, drawn: dict[str, Any]) -> str:
    spans: dict[int, list[Span]] = {}
    for letter, found in (("p", drawn["phrases"]), ("x", drawn["rejected"])):
        for place, phrase in enumerate(found):
            if phrase["text"] is not None and phrase["span"]:
                spans.setdefault(phrase["text"], []).append((*phrase["span"], f"{letter}{place}"))
    parts = [_text(row, spans.get(place, ())) for place, row in enumerate(scene.rows["text"])]
    return "".join(parts) or '<p class="facts">No text was accepted.</p>'


def _text(row: Row, spans: Iterable[Span]) -> str:
    shares = ((s.CONFIDENCE, "confidence"), (s.SIMILARITY, "similarity"))
    facts = [row[s.SPECIALIST], *(f"{word} {row[name]:.2f}" for name, word in shares if row[name] is not None)]
    facts += [_many(row[name], word) for name, word in _MEASURES if row[name] is not None]
    kind = _KINDS.get(row[s.GRANULARITY], row[s.GRANULARITY])
    return (
        f'<div class="text"><h4>{escape(kind or "")}</h4><p>{marked(row[s.TEXT] or "", spans)}</p>'
        f'<p class="facts">{escape(" · ".join(filter(None, facts)))}</p></div>'
    )


def _contents(drawn: dict[str, Any]) -> str:
    return escape(_listed(drawn)) or "No region was accepted."


def _listed(drawn: dict[str, Any]) -> str:
    """“person × 3, bus, “EXIT”” of the regions of a scene."""
    objects = Counter(region["label"] or "" for region in drawn["regions"] if region["kind"] == "object")
    words = [
        f"{label} × {n}" if n > 1 else label for label, n in sorted(objects.items(), key=lambda kv: (-kv[1], kv[0]))
    ]
    return ", ".join(words + [f"“{region['label']}”" for region in drawn["regions"] if region["kind"] == "text"])


def _many(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


# ---- the page's own files -------------------------------------------------------------------------------


@cache
def _part(name: str) -> str:
    return (files("pipelines.report") / name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
