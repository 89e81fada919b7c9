"""Small tables for the tests of decisions."""

import numpy as np
import pyarrow as pa

from engine import schema as s
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from pipelines.decide import objects, regions, writing
from pipelines.decide.tokens import tokens_table


def frames(n=2, width=640, height=480):
    return Frames([f"img{i}" for i in range(n)], np.full(n, width, np.int32), np.full(n, height, np.int32))


def grouped(schema, rows, of):
    """Rows as dictionaries, missing columns null."""
    return Grouped.of(pa.Table.from_pylist(rows, schema=schema), of.ids)


def box(x0, y0, x1, y1):
    return dict(zip(s.BOX, map(float, (x0, y0, x1, y1)), strict=True))


def seen(image, label, score, corners, mask=None, crowd=False):
    return {s.IMAGE_ID: image, s.LABEL: label, s.SCORE: score, s.MASK: mask, s.CROWD: crowd, **box(*corners)}


def read(image, text, score, x0, y0, x1, y1):
    return {s.IMAGE_ID: image, s.TEXT: text, s.SCORE: score, s.QUAD: [x0, y0, x1, y0, x1, y1, x0, y1]}


def told(image, text, granularity="brief", score=None):
    return {s.IMAGE_ID: image, s.TEXT: text, s.GRANULARITY: granularity, s.SCORE: score}


def parse(*sentences):
    """Tokens of hand-made sentences; a word is written form/UPOS/head/dep, heads counted from 1, 0 for the root."""
    offsets, start, end, lemma, upos, tag, head, dep, texts = [0], [], [], [], [], [], [], [], []
    for sentence in sentences:
        words = [word.split("/") for word in sentence.split()]
        at = 0
        for i, (form, pos, to, relation) in enumerate(words):
            start.append(at)
            end.append(at + len(form))
            at += len(form) + 1
            lemma.append(form.lower().removesuffix("s") if pos == "NOUN" else form.lower())
            upos.append(pos)
            tag.append(("NNS" if form.endswith("s") else "NN") if pos == "NOUN" else pos)
            head.append(int(to) - 1 if to != "0" else i)
            dep.append(relation)
        offsets.append(offsets[-1] + len(words))
        texts.append(" ".join(form for form, *_ in words))
    columns = (np.array(v, np.int32) for v in (start, end))
    first, last = columns
    tokens = Tokens(np.array(offsets, np.int64), first, last, lemma, upos, tag, np.array(head, np.int32), dep)
    return texts, tokens


def parsed(image_ids, text_ids, tokens, of):
    return Grouped.of(tokens_table(image_ids, text_ids, tokens), of.ids)


def kept(table):
    return [row for row in table.to_pylist() if row[s.REASON] is None]


def rejected(table):
    return [row for row in table.to_pylist() if row[s.REASON] is not None]


def regions_of(these, detections, readings, config=None, gold=frozenset(), limits=None, **more):
    """What becomes of boxes and quads: the things and writing of each image, then what of them passes the limits."""
    seen_ = objects.decide(these, detections, config or objects.ObjectsConfig(), gold, **more)
    read_ = writing.decide(these, readings, writing.WritingConfig(), gold)
    both = (Grouped.of(table, these.ids) for table in (seen_, read_))
    return regions.decide(these, *both, limits or regions.RegionsConfig(), gold)
