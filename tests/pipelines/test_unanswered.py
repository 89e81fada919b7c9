"""Images that one specialist has no answer for: the rest is decided by what is known, and the rows say what is not."""

import json

import pytest

from engine import schema as s
from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.explain import explain, render
from pipelines.query import sql
from pipelines.verify import verify
from tests.pipelines.plugins import installed
from tests.pipelines.scenes import write_scenes

PLUGIN = '''
from specialists.spacy_parser import SpacyParser


@specialist("picky", "parser")
class Picky(Plain):
    """The shipped parser, but for one word."""

    def load(self, device):
        self.parser = SpacyParser(SpacyParser.Config())
        self.parser.load(device)

    def parse(self, texts):
        if any("unspeakable" in text for text in texts):
            raise ValueError("no such word")
        return self.parser.parse(texts)


@specialist("shy", "grounder")
class Shy(Plain):
    """Finds every phrase in the same place, but for one image."""

    def ground(self, images, phrases):
        if any(image.image_id == "0002.jpg" for image in images):
            raise ValueError("not this one")
        return [
            Groundings(np.arange(len(asked.texts)), np.tile(np.float32([8, 10, 48, 40]), (len(asked.texts), 1)),
                       np.full(len(asked.texts), 0.9, np.float32))
            for asked in phrases
        ]
'''
ROLES = '\n[parser]\nuses = "picky"\n[grounders.shy]\nuses = "shy"\n[segmenters]\n[writers]\n'
MEASURES = ", ".join(
    (s.N_TOKENS, s.N_OBJECTS, s.N_ATTRIBUTES, s.N_ACTIONS, s.N_PROPER_NOUNS, s.OBJECT_COMPLEXITY, s.ACTION_COMPLEXITY)
)
OPTIONS = Options(executor="local", shard_size=2, say=lambda _: None)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The parser has no answer for image 1, the only grounder none for image 2."""
    root = write_scenes(tmp_path_factory.mktemp("scenes"), 4, ROLES)
    captions = json.loads((root / "captions.json").read_text())
    captions["annotations"][1]["caption"] = "an unspeakable brown dog sits near a person"
    (root / "captions.json").write_text(json.dumps(captions))
    with installed(root / "site", PLUGIN):
        config = load_config(str(root / "config.toml"), None)
        assert build(str(root / "images"), str(root / "out"), config, OPTIONS).quarantined == 2
    return str(root / "out")


def test_a_text_that_could_not_be_parsed_is_judged_by_the_rest_and_has_no_measures(out):
    rows = sql(out, f"SELECT image_id, {MEASURES} FROM text ORDER BY 1").rows
    assert [row[0] for row in rows] == ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"]
    assert all(value is None for value in rows[1][1:])
    for row in (rows[0], rows[2], rows[3]):  # a brown dog sits near two people on the green grass
        assert row[1:5] == (11, 3, 3, 1)
    assert sql(out, "SELECT count(*) FROM rejected WHERE family = 'text'").rows == [(0,)]
    lines = list(render(explain(out, "0001.jpg"), everything=True))
    assert any("no such word" in line for line in lines) and not any("too short" in line for line in lines)


def test_it_has_no_phrases(out):
    for table in ("text_phrase_region", "rejected"):
        where = "" if table == "text_phrase_region" else " AND family = 'text_phrase_region'"
        assert sql(out, f"SELECT count(*) FROM {table} WHERE image_id = '0001.jpg'{where}").rows == [(0,)]
    assert verify(out) == []


def test_phrases_that_nobody_looked_for_say_so(out):
    found = sql(
        out,
        "SELECT reason, value, threshold, json_extract_string(item, '$.phrase') FROM rejected "
        "WHERE image_id = '0002.jpg' AND stage = 'triplets' ORDER BY 4",
    ).rows
    phrases = ["a brown dog", "the green grass", "two people"]
    assert found == [("not looked for", None, None, phrase) for phrase in phrases]
    looked = sql(out, "SELECT DISTINCT phrase FROM text_phrase_region WHERE image_id = '0003.jpg' ORDER BY 1").rows
    assert [phrase for (phrase,) in looked] == phrases
    assert sql(out, "SELECT count(*) FROM rejected WHERE reason = 'not found'").rows == [(0,)]
