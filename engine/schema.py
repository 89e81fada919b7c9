"""The one schema file: every column name and every table's types.

A column name is a string in this module and in no other. Published tables are flat and sorted by image;
an empty table has the same types as a full one, so any two shards union without help. Names and types of
published tables change only together with SCHEMA_VERSION.
"""

from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 2

# identity
IMAGE_ID: Final = "image_id"
TEXT_ID: Final = "text_id"
REGION_ID: Final = "region_id"
PHRASE_ID: Final = "phrase_id"
# images
URI: Final = "uri"
SHA256: Final = "sha256"
PHASH: Final = "phash"
WIDTH: Final = "width"
HEIGHT: Final = "height"
FORMAT: Final = "format"
META: Final = "meta"
BYTES: Final = "bytes"
CONTRAST: Final = "contrast"
TAIL: Final = "tail"
TAIL_COLOUR: Final = "tail_colour"
ASKED: Final = "asked"  # whether specialists look at it
COPY_OF: Final = "copy_of"
# geometry
X0: Final = "x0"
Y0: Final = "y0"
X1: Final = "x1"
Y1: Final = "y1"
BOX: Final = (X0, Y0, X1, Y1)
QUAD: Final = "quad"
MASK: Final = "mask"
CROWD: Final = "crowd"
# what is said
LABEL: Final = "label"
TEXT: Final = "text"
GRANULARITY: Final = "granularity"
KIND: Final = "kind"
SPECIALIST: Final = "specialist"
SCORE: Final = "score"
SIMILARITY: Final = "similarity"
CONFIDENCE: Final = "confidence"
BASIS: Final = "basis"  # what a region's confidence rests on: BASES
CANDIDATES: Final = "candidates"
VOTES: Final = "votes"
N_ELIGIBLE: Final = "n_eligible"
ROUND: Final = "round"
# text measures (paper, table 3)
N_TOKENS: Final = "n_tokens"
N_OBJECTS: Final = "n_objects"
N_ATTRIBUTES: Final = "n_attributes"
N_ACTIONS: Final = "n_actions"
N_PROPER_NOUNS: Final = "n_proper_nouns"
OBJECT_COMPLEXITY: Final = "object_complexity"
ACTION_COMPLEXITY: Final = "action_complexity"
# phrases
PHRASE: Final = "phrase"
START: Final = "start"
END: Final = "end"
PHRASE_SCORE: Final = "phrase_score"
HEAD: Final = "head"
NUMBER: Final = "number"
# composed texts
WORDS: Final = "words"
MENTIONS: Final = "mentions"
QUOTED: Final = "quoted"
SHIFT: Final = "shift"
REGION_IDS: Final = "region_ids"
# tokens
LEMMA: Final = "lemma"
UPOS: Final = "upos"
TAG: Final = "tag"
DEP: Final = "dep"
# decisions
FAMILY: Final = "family"
STAGE: Final = "stage"
REASON: Final = "reason"
VALUE: Final = "value"
THRESHOLD: Final = "threshold"
ITEM: Final = "item"

_F32 = pa.float32()
_BOX_FIELDS = [pa.field(name, _F32) for name in BOX]
_QUAD_FIELD = pa.field(QUAD, pa.list_(_F32))
# A null reason means kept; otherwise the row says why it is not, by which value against which threshold.
DECISION: Final = [
    pa.field(REASON, pa.string()),
    pa.field(VALUE, pa.float64()),
    pa.field(THRESHOLD, pa.float64()),
]
VOTE: Final = pa.struct(
    [pa.field(SPECIALIST, pa.string()), pa.field(LABEL, pa.string()), pa.field(SCORE, _F32), *_BOX_FIELDS]
)
TEXT_VOTE: Final = pa.struct([pa.field(SPECIALIST, pa.string()), pa.field(SCORE, _F32)])
CANDIDATE: Final = pa.struct(
    [
        pa.field(TEXT, pa.string()),
        pa.field(GRANULARITY, pa.string()),
        pa.field(SPECIALIST, pa.string()),
        pa.field(SIMILARITY, _F32),
    ]
)
_TOKEN = [
    pa.field(START, pa.int32()), pa.field(END, pa.int32()), pa.field(LEMMA, pa.string()), pa.field(UPOS, pa.string()),
    pa.field(TAG, pa.string()), pa.field(HEAD, pa.int32()), pa.field(DEP, pa.string()),
]  # fmt: skip
TOKEN: Final = pa.struct(_TOKEN)
MENTION: Final = pa.struct(
    [
        pa.field(START, pa.int32()),
        pa.field(END, pa.int32()),
        pa.field(HEAD, pa.string()),
        pa.field(NUMBER, pa.int32()),
        pa.field(REGION_IDS, pa.list_(pa.string())),
    ]
)
_MEASURES = [pa.field(name, pa.int32()) for name in (N_TOKENS, N_OBJECTS, N_ATTRIBUTES, N_ACTIONS, N_PROPER_NOUNS)] + [
    pa.field(name, _F32) for name in (OBJECT_COMPLEXITY, ACTION_COMPLEXITY)
]


def _schema(*fields: pa.Field | list[pa.Field]) -> pa.Schema:
    flat: list[pa.Field] = []
    for item in fields:
        flat.extend(item if isinstance(item, list) else [item])
    return pa.schema(flat)


def _f(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind)


_ID = _f(IMAGE_ID, pa.string())

# People drew it; calibrated by people's boxes in some images; learned without labels; the mean of scores, which only ranks.
PEOPLE, CALIBRATED, POOLED, MEAN = "people", "calibrated", "pooled", "mean"

# ---- published tables -------------------------------------------------------------------------------

IMAGES: Final = _schema(
    _ID, _f(URI, pa.string()), _f(SHA256, pa.string()), _f(PHASH, pa.uint64()), _f(WIDTH, pa.int32()),
    _f(HEIGHT, pa.int32()), _f(FORMAT, pa.string()), _f(META, pa.string()),
)  # fmt: skip
TEXT_TABLE: Final = _schema(
    _ID, _f(TEXT_ID, pa.string()), _f(GRANULARITY, pa.string()), _f(TEXT, pa.string()), _f(SPECIALIST, pa.string()),
    _f(SIMILARITY, _F32), _f(CONFIDENCE, _F32), _MEASURES, _f(VOTES, pa.list_(TEXT_VOTE)), _f(ROUND, pa.int32()),
)  # fmt: skip
REGION_TEXT: Final = _schema(
    _ID, _f(REGION_ID, pa.string()), _f(KIND, pa.string()), _BOX_FIELDS, _QUAD_FIELD, _f(MASK, pa.string()),
    _f(LABEL, pa.string()), _f(TEXT, pa.string()), _f(GRANULARITY, pa.string()), _f(SIMILARITY, _F32),
    _f(CANDIDATES, pa.list_(CANDIDATE)), _f(CONFIDENCE, _F32), _f(BASIS, pa.string()), _f(VOTES, pa.list_(VOTE)),
    _f(N_ELIGIBLE, pa.int32()), _f(ROUND, pa.int32()),
)  # fmt: skip
TEXT_PHRASE_REGION: Final = _schema(
    _ID, _f(TEXT_ID, pa.string()), _f(PHRASE_ID, pa.string()), _f(PHRASE, pa.string()), _f(START, pa.int32()),
    _f(END, pa.int32()), _f(PHRASE_SCORE, _F32), _BOX_FIELDS, _f(MASK, pa.string()), _f(REGION_ID, pa.string()),
    _f(CONFIDENCE, _F32), _f(VOTES, pa.list_(VOTE)), _f(ROUND, pa.int32()),
)  # fmt: skip
REJECTED: Final = _schema(_ID, _f(FAMILY, pa.string()), _f(STAGE, pa.string()), DECISION, _f(ITEM, pa.string()))

PUBLISHED: Final = {
    "images": IMAGES,
    "text": TEXT_TABLE,
    "region_text": REGION_TEXT,
    "text_phrase_region": TEXT_PHRASE_REGION,
    "rejected": REJECTED,
}

# ---- sidecars: what is seen of an image without a specialist --------------------------------------------

# What `Batch.images` has: the published columns, the size of the file, and measures of `engine.pixel_measures`.
INGESTED: Final = _schema(
    [*IMAGES], _f(BYTES, pa.int64()), _f(CONTRAST, _F32), _f(TAIL, _F32), _f(TAIL_COLOUR, pa.int32())
)
# One row for each image that is a copy of another: which it is, and in how many bits of their hashes they differ.
COPIES: Final = _schema(_ID, _f(COPY_OF, pa.string()), _f(VALUE, pa.float64()))

# ---- sidecars: what specialists said ------------------------------------------------------------------

PREDICTED_REGIONS: Final = _schema(
    _ID, _BOX_FIELDS, _f(LABEL, pa.string()), _f(SCORE, _F32), _f(MASK, pa.string()), _f(CROWD, pa.bool_())
)
PREDICTED_READINGS: Final = _schema(_ID, _QUAD_FIELD, _f(TEXT, pa.string()), _f(SCORE, _F32))
PREDICTED_TEXTS: Final = _schema(_ID, _f(TEXT, pa.string()), _f(GRANULARITY, pa.string()), _f(SCORE, _F32))
CROP_TEXTS: Final = _schema(_ID, _f(REGION_ID, pa.string()), _f(TEXT, pa.string()), _f(SCORE, _F32))
SIMILARITIES: Final = _schema(_ID, _f(REGION_ID, pa.string()), _f(TEXT, pa.string()), _f(SIMILARITY, _F32))
# How alike two labels are; both ways, and under an image in which the first was said.
LIKENESS: Final = _schema(_ID, _f(LABEL, pa.string()), _f(TEXT, pa.string()), _f(SIMILARITY, _F32))
PREDICTED_PHRASES: Final = _schema(_ID, _f(PHRASE_ID, pa.string()), _BOX_FIELDS, _f(SCORE, _F32))
PREDICTED_MASKS: Final = _schema(
    _ID, _f(REGION_ID, pa.string()), _f(PHRASE_ID, pa.string()), _BOX_FIELDS, _f(MASK, pa.string()), _f(SCORE, _F32)
)
# One row a token; `text_id` as in the decided texts; a text without tokens has no row.
TOKENS: Final = _schema(_ID, _f(TEXT_ID, pa.string()), _TOKEN)

# ---- sidecars: what was decided, kept and rejected rows together ----------------------------------------

DECIDED_IMAGES: Final = _schema(_ID, _f(URI, pa.string()), _f(COPY_OF, pa.string()), DECISION)
DECIDED_REGIONS: Final = _schema(
    _ID, _f(REGION_ID, pa.string()), _f(KIND, pa.string()), _BOX_FIELDS, _QUAD_FIELD, _f(MASK, pa.string()),
    _f(LABEL, pa.string()), _f(TEXT, pa.string()), _f(CONFIDENCE, _F32), _f(BASIS, pa.string()), _f(VOTES, pa.list_(VOTE)),
    _f(ASKED, pa.bool_()), _f(N_ELIGIBLE, pa.int32()), DECISION,
)  # fmt: skip
DECIDED_REGION_TEXTS: Final = _schema(
    _ID, _f(REGION_ID, pa.string()), _f(TEXT, pa.string()), _f(GRANULARITY, pa.string()), _f(SIMILARITY, _F32),
    _f(CANDIDATES, pa.list_(CANDIDATE)), DECISION,
)  # fmt: skip
DECIDED_MASKS: Final = _schema(_ID, _BOX_FIELDS, _f(MASK, pa.string()), _f(SCORE, _F32), _f(VOTES, pa.list_(TEXT_VOTE)))
# What was composed, before it is judged; `quoted` is the id of the caption that a text begins with (null: none), `shift`
# what is added to a place in that caption to get the place in the text.
COMPOSED: Final = _schema(
    [*PREDICTED_TEXTS], _f(WORDS, pa.list_(TOKEN)), _f(MENTIONS, pa.list_(MENTION)), _f(QUOTED, pa.string()),
    _f(SHIFT, pa.int32()),
)  # fmt: skip
DECIDED_TEXTS: Final = _schema(
    _ID, _f(TEXT_ID, pa.string()), _f(GRANULARITY, pa.string()), _f(TEXT, pa.string()), _f(SPECIALIST, pa.string()),
    _f(SIMILARITY, _F32), _f(CONFIDENCE, _F32), _MEASURES, _f(VOTES, pa.list_(TEXT_VOTE)), DECISION,
)  # fmt: skip
DECIDED_PHRASES: Final = _schema(
    _ID, _f(TEXT_ID, pa.string()), _f(PHRASE_ID, pa.string()), _f(PHRASE, pa.string()), _f(START, pa.int32()),
    _f(END, pa.int32()), _f(HEAD, pa.string()), _f(NUMBER, pa.int32()), DECISION,
)  # fmt: skip
DECIDED_TRIPLETS: Final = _schema(
    _ID, _f(TEXT_ID, pa.string()), _f(PHRASE_ID, pa.string()), _f(PHRASE, pa.string()), _f(START, pa.int32()),
    _f(END, pa.int32()), _f(PHRASE_SCORE, _F32), _BOX_FIELDS, _f(REGION_ID, pa.string()), _f(CONFIDENCE, _F32),
    _f(VOTES, pa.list_(VOTE)), DECISION,
)  # fmt: skip
