"""The plan: the same for the same source, growing only at the end, and strict about keys."""

import json

import pytest

from engine.errors import OutError, SourceError
from engine.plan import PlanKey, load_plan, make_plan
from engine.sources.base import Item
from engine.store import LocalStore


def items(names):
    return [Item(name, f"toy://{name}") for name in names]


@pytest.fixture
def store(tmp_path):
    made = LocalStore(str(tmp_path))
    made.prepare()
    return made


KEY = PlanKey("toy", 3, None)


def test_shards_are_sorted_and_cover_every_image_once(store):
    plan = make_plan(store, KEY, "s", items(["c", "a", "b", "e", "d"]))
    shards = [plan.items(store, k).column(0).to_pylist() for k in range(plan.shards)]
    assert shards == [["a", "b", "c"], ["d", "e"]]
    assert plan.images == 5
    assert list(plan.all_ids(store)) == ["a", "b", "c", "d", "e"]


def test_the_plan_is_stored_and_reused(store):
    first = make_plan(store, KEY, "s", items("abcd"))
    again = make_plan(store, KEY, "s", iter(()))  # not even listed again
    assert again.digests == first.digests == load_plan(store).digests


def test_growth_keeps_full_shards(store):
    small = make_plan(store, KEY, "s1", items("abcd"))
    grown = make_plan(store, KEY, "s2", items("abcdefg"))
    assert grown.digests[0] == small.digests[0]
    assert grown.digests[1] != small.digests[1]
    assert grown.images == 7


@pytest.mark.parametrize("names", ["abc", "xbcd", "abcx", "0abcd"])
def test_any_other_change_is_refused(store, names):
    make_plan(store, KEY, "s1", items("abcd"))
    with pytest.raises(OutError, match="changed since"):
        make_plan(store, KEY, "s2", items(names))


def test_a_file_replaced_in_place_keeps_the_plan(store):
    """So that a broken image can be mended and asked about again."""
    first = make_plan(store, KEY, "s1", items("abcd"))
    mended = make_plan(store, KEY, "other sizes", items("abcd"))
    assert mended.digests == first.digests
    assert load_plan(store).signature == "other sizes"


def test_a_higher_limit_grows_the_plan_and_a_lower_one_is_refused(store):
    few = make_plan(store, PlanKey("toy", 3, 3), "s", items("abcdefgh"))
    more = make_plan(store, PlanKey("toy", 3, 7), "s", items("abcdefgh"))
    assert more.digests[0] == few.digests[0] and more.images == 7
    with pytest.raises(OutError, match=r"7 images then, 3 now"):
        make_plan(store, PlanKey("toy", 3, 3), "s", items("abcdefgh"))


def test_a_look_leaves_no_trace(store, tmp_path):
    scratch = LocalStore(str(tmp_path / "scratch"))
    scratch.prepare()
    assert make_plan(store, KEY, "s", items("abcd"), keep=scratch).images == 4
    assert load_plan(store) is None


def test_another_source_is_refused_by_name(store):
    make_plan(store, KEY, "s", items("abcd"))
    with pytest.raises(OutError, match=r"source 'toy', not 'other'"):
        make_plan(store, PlanKey("other", 3, None), "s", items("abcd"))


def test_colliding_keys_name_both_places(store):
    twice = [Item("a", "toy://one"), Item("b", "toy://b"), Item("c", "toy://c"), Item("a", "toy://two")]
    with pytest.raises(SourceError, match=r"'a'.*toy://one and toy://two"):
        make_plan(store, KEY, "s", twice)
    assert load_plan(store) is None


def test_no_images_is_an_error_and_limit_cuts(store):
    with pytest.raises(SourceError, match="no images"):
        make_plan(store, KEY, "s", iter(()))
    plan = make_plan(store, PlanKey("toy", 3, 4), "s", items("abcdefgh"))
    assert plan.images == 4
    assert json.loads(store.read("plan/plan.json"))["limit"] == 4
