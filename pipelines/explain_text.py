"""What `fld explain` prints: the dictionary of `pipelines.explain.explain` as lines of at most 100 columns."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from engine import schema as s
from filters.wording import struck
from pipelines.explain_words import KINDS

Row = Mapping[str, Any]
Told = set[tuple[str | None, ...]]  # a row's ids and a line of its details
_WIDTH: Final = 100
_WORDS: Final = 44  # columns of words beside others; a longer text has lines of its own
_NARROWEST: Final = 12  # columns that words keep where a line would be too long
_SHOWN: Final = 8  # rows of a stage, unless everything is asked for
_LONGEST: Final = 300  # characters of a text and of what is said about it, unless everything is asked for
# What a terminal may take for a command: names of files and what models say are anybody's.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Columns that stand side by side, in this order, with their heads; the others are lines below, or are not shown.
_NAMES: Final = {s.REGION_ID: "region", s.PHRASE_ID: "phrase id", s.TEXT_ID: "text id"}
_COLUMNS: Final = {
    s.KIND: "kind", s.LABEL: "label", s.PHRASE: "phrase", s.TEXT: "text", s.GRANULARITY: "type",
    s.SPECIALIST: "said by", s.HEAD: "head", s.NUMBER: "number", s.SCORE: "score", s.PHRASE_SCORE: "found",
    s.SIMILARITY: "similar", s.CONFIDENCE: "confid.", s.CROWD: "crowd",
}  # fmt: skip
_DECISION: Final = "kept, or why not"
_NUMBERS: Final = frozenset({"number", "score", "found", "similar", "confid.", *s.BOX})
_COUNTS: Final = (s.N_TOKENS, s.N_OBJECTS, s.N_ATTRIBUTES, s.N_ACTIONS, s.N_PROPER_NOUNS)
_SHOWN_ELSEWHERE: Final = frozenset(
    {*_NAMES, *_COLUMNS, *_COUNTS, *s.BOX, *(f.name for f in s.DECISION), s.OBJECT_COMPLEXITY, s.ACTION_COMPLEXITY}
    | {s.QUAD, s.MASK, s.VOTES, s.N_ELIGIBLE, s.CANDIDATES, s.START, s.END, s.ROUND, s.META, s.URI, s.SHA256, s.PHASH}
    | {s.WIDTH, s.HEIGHT, s.FORMAT, s.IMAGE_ID, s.WORDS, s.MENTIONS, s.SHIFT}
)


def render(story: Mapping[str, Any], everything: bool = False) -> Iterator[str]:
    """The lines. Of each stage the first rows, kept ones before rejected ones, and of each text the beginning; all with
    `everything`. No line has a control character."""
    return (_CONTROL.sub("\N{REPLACEMENT CHARACTER}", line) for line in _lines(story, everything))


def _lines(story: Mapping[str, Any], everything: bool) -> Iterator[str]:
    image_id = story[s.IMAGE_ID]
    yield image_id
    yield from _wrapped(f"from {story[s.URI]}", "  ")
    yield from _image(story["stages"])
    if story[s.META] not in ("", "{}", None):
        yield from _wrapped(f"the source says {story[s.META]}", "  ")
    told: Told = set()
    for stage in story["stages"]:
        yield ""
        yield from _stage(stage, image_id, everything, told)
    yield from _understood(story["understood"], image_id, everything)
    yield ""
    yield from _published(story["published"], image_id, everything, told)


def _image(stages: Iterable[Row]) -> Iterator[str]:
    for row in (row for stage in stages for row in stage["rows"] if s.SHA256 in row):
        yield f"  {row[s.WIDTH]} x {row[s.HEIGHT]} {row[s.FORMAT]}, sha256 {row[s.SHA256][:16]}…"


def _stage(stage: Row, image_id: str, everything: bool, told: Told) -> Iterator[str]:
    """`told` are details of rows that an earlier stage showed; they are not shown twice."""
    yield from _wrapped(f"{stage['stage']}: {_summary(stage)}", "", "    ")
    for fault in stage["faults"]:
        lost = "" if fault["lost"] or not stage["answered"] else ", the rest is kept"
        yield from _wrapped(f"quarantine: {fault['error']}: {fault['message']} ({_tries(fault)}{lost})", "  ", "    ")
    yield from _rows(stage["rows"], image_id, everything, told)


def _summary(stage: Row) -> str:
    if stage["state"] != "done":
        return str(stage["state"])
    if "learned" in stage:
        return f"learned, {stage['learned']:,} rows for all images"
    if "kept" in stage:
        reasons = ", ".join(f"{reason} {count}" for reason, count in stage["rejected"].items())
        rejected = f"{sum(stage['rejected'].values())} rejected" + (f" ({reasons})" if reasons else "")
        return f"{stage['kept']} kept, {rejected}"
    if any(s.SHA256 in row for row in stage["rows"]):
        return "read"
    if not stage["answered"]:
        return "no answer" if any(fault["lost"] for fault in stage["faults"]) else "did not look at this image"
    unit = "token" if any(s.UPOS in row for row in stage["rows"]) else "row"
    return f"{len(stage['rows'])} {unit}{'' if len(stage['rows']) == 1 else 's'}"


def _tries(fault: Row) -> str:
    return "tried once" if fault["attempts"] == 1 else f"tried {fault['attempts']} times"


def _understood(texts: Sequence[Row], image_id: str, everything: bool) -> Iterator[str]:
    """What the words of each text are, and how they relate: "dog (r0) - on - grass (r3)"."""
    if texts:
        yield from ("", "understood:")
    for text in texts if everything else texts[:_SHOWN]:
        said = _begun(text[s.TEXT], everything)
        yield from _wrapped(f"{_short(text[s.TEXT_ID], image_id)}  {said}", "  ", "    ")
        words = " · ".join(f"{kind.replace('_', ' ')} {', '.join(text[kind])}" for kind in KINDS if text[kind])
        yield from _wrapped(_begun(words, everything), "      ", "        ")
        related = text["relations"] if everything else text["relations"][:_SHOWN]
        for relation in related:
            subject, object_ = (_argument(relation[side], image_id) for side in ("subject", "object"))
            yield from _wrapped(f"{subject} - {relation['words']} - {object_}", "      ", "        ")
        if len(text["relations"]) > len(related):
            yield f"      … and {len(text['relations']) - len(related)} more; --all shows them"
    if len(texts) > _SHOWN and not everything:
        yield f"  … and {len(texts) - _SHOWN} more; --all shows them"


def _argument(argument: Row, image_id: str) -> str:
    regions = ", ".join(_short(region, image_id) for region in argument["regions"])
    return f"{argument['word']} ({regions})" if regions else str(argument["word"])


def _published(published: Row, image_id: str, everything: bool, told: Told) -> Iterator[str]:
    tables = published["tables"]
    if not tables:
        yield f"published: {published['state']}"
        return
    counts = ", ".join(f"{name} {len(rows)}" for name, rows in tables.items() if name != "images")
    yield from _wrapped(f"published: {counts}", "", "    ")
    if published["state"] != "done":
        yield f"  {published['state']}; `fld build` brings it up to date"
    if not tables["images"]:
        yield "  the image itself is not published"
    for name in ("text", "region_text", "text_phrase_region"):
        if tables[name]:
            yield f"  {name}:"
            yield from _rows(tables[name], image_id, everything, told)


# ---- rows --------------------------------------------------------------------------------------------


def _rows(rows: Sequence[Row], image_id: str, everything: bool, told: Told) -> Iterator[str]:
    """A stage's rows; their votes, measures and candidates too, but for those `told` before."""
    if not rows or s.SHA256 in rows[0]:
        return
    if s.UPOS in rows[0]:
        blocks = list(_sentences(rows, image_id, everything))
    else:
        ordered = sorted(rows, key=lambda row: row.get(s.REASON) is not None)
        blocks = list(_table(ordered if everything else ordered[:_SHOWN], image_id, everything, told))
        if not blocks:
            return
        blocks += [[]] * (len(ordered) - len(blocks) + 1)  # the first block is the heads
        yield from blocks.pop(0)
    for block in blocks if everything else blocks[:_SHOWN]:
        yield from block
    if len(blocks) > _SHOWN and not everything:
        yield f"  … and {len(blocks) - _SHOWN} more; --all shows them"


def _sentences(tokens: Sequence[Row], image_id: str, everything: bool) -> Iterator[list[str]]:
    """Parsed texts, one block each: what each word is."""
    for text_id, group in groupby(tokens, key=lambda row: row[s.TEXT_ID]):
        words = " ".join(f"{row[s.LEMMA]}/{row[s.UPOS]}" for row in group)
        yield _wrapped(f"{_short(text_id, image_id)}  {_begun(words, everything)}", "  ", "    ")


def _table(rows: Sequence[Row], image_id: str, everything: bool, told: Told) -> Iterator[list[str]]:
    """The heads, and then the lines of each row: its cells side by side, and what is too long for that below.

    Long texts of rows without a decision stand at the end of the line and go on under their beginning.
    """
    long = any(cell_len(row.get(s.TEXT) or "") > _WORDS for row in rows)
    last = long and s.REASON not in rows[0]
    columns = {head: cells for head, cells in _columns(rows, image_id, long) if any(cells)}
    widths = _widths(columns)
    heads = _line({head: head for head in columns}, widths)
    indent = " " * (cell_len(_line(dict.fromkeys(columns, "x"), widths, full=True)) + 2)
    if columns.keys() == {_DECISION} and all(row[s.REASON] is None for row in rows):
        return  # its summary has said so
    yield [heads] if columns else []
    for number, row in enumerate(rows):
        line = _line({head: cells[number] for head, cells in columns.items()}, widths, full=last)
        said = _begun(row.get(s.TEXT) or "", everything)
        if last:
            lines = _wrapped(said, f"{line}  ", indent) or [line]
        else:
            lines = [line, *(_wrapped(f"“{said}”", "      ") if long and said else ())]
        for more in _details(row, everything):
            if (key := (*(row.get(name) for name in _NAMES), more)) not in told:
                lines += _wrapped(more, "      ", "        ")
            told.add(key)
        yield lines


def _columns(rows: Sequence[Row], image_id: str, long: bool) -> Iterator[tuple[str, list[str]]]:
    """Heads and cells; columns without content are among them."""
    for name, head in _NAMES.items():
        yield head, [_short(row.get(name) or "", image_id) for row in rows]
        if name == s.PHRASE_ID and any(row.get(name) for row in rows):
            break  # a phrase's id holds its text's
    for name, head in _COLUMNS.items():
        if not (name == s.TEXT and long):
            yield head, [_cell(row.get(name)) for row in rows]
    for name in s.BOX:
        yield name, ["" if row.get(name) is None else f"{row[name]:.0f}" for row in rows]
    yield "mask", ["yes" if row.get(s.MASK) else "" for row in rows]
    for name in dict.fromkeys(name for row in rows for name in row if name not in _SHOWN_ELSEWHERE):
        yield name, [_cell(row.get(name)) for row in rows]
    if s.REASON in rows[0]:
        yield _DECISION, [_decision(row) for row in rows]


def _widths(columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Of each column; words give way where a line would be too long, the widest first."""
    widths = {head: max(cell_len(cell) for cell in (head, *cells)) for head, cells in columns.items()}
    words = [head for head in widths if head not in _NUMBERS and head != _DECISION]
    while words and sum(widths.values()) + 2 * len(widths) > _WIDTH:
        widest = max(words, key=lambda head: widths[head])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _line(cells: Mapping[str, str], widths: Mapping[str, int], *, full: bool = False) -> str:
    """Cells side by side, numbers to the right; to its `full` width, or without blanks at the end."""
    line = "  " + "  ".join(_fitted(cell, widths[head], head in _NUMBERS) for head, cell in cells.items())
    return line if full else line.rstrip()


def _fitted(cell: str, width: int, right: bool) -> str:
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…"
    return " " * (width - cell_len(cell)) + cell if right else set_cell_size(cell, width)


def _short(name: str, image_id: str) -> str:
    return name.removeprefix(f"{image_id}:")


def _cell(value: Any) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _decision(row: Row) -> str:
    if row[s.REASON] is None:
        return "kept"
    value, threshold = row[s.VALUE], row[s.THRESHOLD]
    said = "" if value is None else f" {value:.4g}"
    return f"{row[s.REASON]}{said}" + ("" if threshold is None else f", limit {threshold:.4g}")


def _details(row: Row, everything: bool) -> Iterator[str]:
    """What struck, measures, mentions, votes and candidates of one row, a line each."""
    if row.get(s.REASON) and row.get(s.TEXT) and (words := struck(row[s.TEXT], row[s.REASON])):
        yield _begun(f"has {' · '.join(f'“{word}”' for word in words)}", everything)
    if row.get(s.N_TOKENS) is not None:
        counts = ", ".join(f"{row[name]} {name.removeprefix('n_').replace('_', ' ')}" for name in _COUNTS)
        yield f"{counts}; complexity {row[s.OBJECT_COMPLEXITY]:.2f} and {row[s.ACTION_COMPLEXITY]:.2f}"
    if row.get(s.MENTIONS):
        named = (f"{row[s.TEXT][m[s.START] : m[s.END]]} ({', '.join(_regions(m))})" for m in row[s.MENTIONS])
        yield _begun(f"speaks of: {' · '.join(named)}", everything)
    if row.get(s.VOTES):
        votes = " · ".join(_said(v, s.SPECIALIST, s.LABEL, s.SCORE) for v in row[s.VOTES])
        eligible = "" if row.get(s.N_ELIGIBLE) is None else f" ({row[s.N_ELIGIBLE]} could vote)"
        yield f"votes{eligible}: {votes}"
    if row.get(s.CANDIDATES):
        candidates = ({**c, s.TEXT: _begun(c[s.TEXT], everything)} for c in row[s.CANDIDATES])
        named = (_said(c, s.TEXT, s.GRANULARITY, s.SPECIALIST, s.SIMILARITY) for c in candidates)
        yield f"candidates: {' · '.join(named)}"


def _regions(mention: Row) -> list[str]:
    """The ids of its regions without the image's, which is the same for all."""
    return [region.rpartition(":")[2] for region in mention[s.REGION_IDS]]


def _said(record: Row, *names: str) -> str:
    return " ".join(_cell(record[name]) for name in names if record.get(name) is not None)


def _begun(text: str, everything: bool) -> str:
    """A text, or the beginning of a long one."""
    more = len(text) - _LONGEST
    return text if everything or more <= 0 else f"{text[:_LONGEST]}… ({more:,} more characters; --all shows them)"


def _wrapped(text: str, indent: str, further: str | None = None) -> list[str]:
    """Lines of at most 100 columns; the first begins with `indent`, the others with `further`."""
    return wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent if further is None else further)
