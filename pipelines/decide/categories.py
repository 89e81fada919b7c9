"""The category phrase of a region: what its label is called among texts."""

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.decide import columns as c
from specialists import nouns

# Words before a name that are not part of it: "the dogs", "two traffic lights", "some grass".
_BEFORE = (
    r"^(?:(?:an?|the|this|that|these|those|some|any|my|your|his|her|its|our|their|one|two|three|four|five|\d+)\s)+(\S)"
)


def category_phrases(labels: c.Array) -> pa.Array:
    """Labels (n) as category phrases: (n), "" where null. "the dogs" is "dog", "a Traffic_Light" "traffic light".

    Lower case, single spaces (underscores are spaces), no determiner or count, one thing; what English has in the
    plural only ("scissors") stays (our choice; the paper says "enhancement", section 4.2).
    """
    coded = pc.dictionary_encode(c.flat(pc.fill_null(labels, "")))
    spaced = pc.replace_substring_regex(pc.utf8_lower(coded.dictionary), r"[\s_]+", " ")
    bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(spaced), _BEFORE, r"\1")
    return pa.array(map(nouns.singular, bare.to_pylist()), pa.string()).take(coded.indices)
