"""Reliabilities learned without labels, and what they make of boxes, in worlds whose truth is known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from consensus.boxes import BoxColumns, BoxFusionConfig
from consensus.fusion import fuse
from consensus.learning import estimate
from consensus.reliability import Reliabilities, report
from consensus.sample import Shard
from engine.errors import ConfigError, StoreError

LABELS = ["ball", "cat", "dog", "kite", "tree"]
CELL = 120.0
FUSION = BoxFusionConfig()


@dataclass
class Member:
    recall: float
    false: float  # false boxes an image
    noise: float = 0.02
    right: float = 0.95
    tells: float = 1.5  # how far scores of right and wrong boxes are apart
    blurs: float = 1.0  # how much less exact boxes of a score below its middle are


GOOD = (Member(0.9, 0.3), Member(0.7, 1.0, 0.05), Member(0.6, 0.5))


def world(members, images=120, things=4, seed=0):
    """Things and false boxes in cells of their own, so that only what is meant to overlap does.

    Returns the columns and, for each row, the number of the thing it shows (-1: none), and all things' labels.
    """
    rng = np.random.default_rng(seed)
    rows = []
    labels = rng.integers(0, len(LABELS), (images, things))
    for image in range(images):
        cells = rng.permutation(400)
        corner = lambda place: np.array([place % 20, place // 20]) * CELL + 10.0  # noqa: E731
        spot = iter(cells)
        boxes = [np.concatenate([c, c + 80]) for c in (corner(next(spot)) for _ in range(things))]
        for s, member in enumerate(members):
            for t in range(things):
                if rng.random() < member.recall:
                    said = labels[image, t] if rng.random() < member.right else rng.integers(0, len(LABELS))
                    score = rng.normal(member.tells, 1)
                    blur = member.blurs if score < member.tells else 1.0
                    box = boxes[t] + rng.normal(0, member.noise * blur * 80, 4)
                    rows.append((image, *box, score, s, said, image * things + t))
            for _ in range(rng.poisson(member.false)):
                c = corner(next(spot))
                rows.append((image, *c, *(c + 80), rng.normal(0, 1), s, rng.integers(0, len(LABELS)), -1))
    table = np.array(rows)
    offsets = np.searchsorted(table[:, 0], np.arange(images + 1)).astype(np.int64)
    scores = 1 / (1 + np.exp(-table[:, 5]))
    columns = BoxColumns(table[:, 1:5], scores, table[:, 6].astype(int), table[:, 7].astype(int), offsets)
    return columns, table[:, 8].astype(int), labels.ravel()


def shard(columns, gold=None, judged=None):
    images = len(columns.offsets) - 1
    return Shard(
        columns,
        np.zeros(len(columns), bool) if gold is None else gold,
        np.zeros(images, bool) if judged is None else judged,
    )


def learn(shards, n, **more):
    names = [f"s{i}" for i in range(n)]
    knows = more.pop("knows", np.ones((n, len(LABELS)), bool))
    return estimate(shards, names, LABELS, knows, FUSION, **more)


def taken(columns, rows):
    """The rows in that order, image by image."""
    image = columns.groups()[rows]
    rows = rows[np.argsort(image, kind="stable")]
    counts = np.bincount(image, minlength=len(columns.offsets) - 1)
    return BoxColumns(
        columns.boxes[rows],
        columns.scores[rows],
        columns.specialists[rows],
        columns.labels[rows],
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def test_it_learns_who_finds_what_who_invents_and_who_is_exact():
    columns, shows, _ = world(GOOD)
    rows = {row["specialist"]: row for row in report(learn([shard(columns)], 3))}
    invented = [(shows[columns.specialists == number] < 0).mean() for number in range(len(GOOD))]
    for number, member in enumerate(GOOD):
        said = rows[f"s{number}"]
        # a wrong word is no find, and what others imagine cannot be found
        assert said["recall_medium"] == pytest.approx(member.recall * member.right, abs=0.13)
        assert said["false_share"] == pytest.approx(invented[number], abs=0.12)
    assert max(rows, key=lambda name: rows[name]["false_share"]) == "s1"
    assert rows["s1"]["side_error"] > 1.5 * rows["s0"]["side_error"]
    assert max(rows, key=lambda name: rows[name]["weight"]) == "s0"


def cut_off(noises, images=150, seed=0):
    """Things that the image's edge cuts off, as detectors of so exact sides see them: columns, who shows which, frames."""
    rng = np.random.default_rng(seed)
    frame, rows = np.array([640.0, 480.0]), []
    for image in range(images):
        for thing in range(3):
            side = rng.uniform(60, 160, 2)
            corner = np.array([0.0, rng.uniform(160 * thing, 160 * thing + 20)]) - [side[0] * 0.3, 0]
            box = np.concatenate([corner, corner + side])
            for s, noise in enumerate(noises):
                drawn = box.copy()
                drawn[0] = max(drawn[0], 0.0)  # what can be seen of it
                drawn += rng.normal(0, noise, 4) * np.tile(side, 2)
                drawn = np.clip(drawn, 0, np.tile(frame, 2))
                rows.append((image, *drawn, rng.uniform(0.5, 0.9), s, image * 3 + thing, max(box[0], 0.0), *box[1:]))
    table = np.array(rows)
    offsets = np.searchsorted(table[:, 0], np.arange(images + 1)).astype(np.int64)
    columns = BoxColumns(table[:, 1:5], table[:, 5], table[:, 6].astype(int), np.zeros(len(table), int), offsets)
    return columns, table[:, 7].astype(int), table[:, 8:12], np.tile(frame, (images, 1))


@pytest.mark.parametrize("better", [0, 1])
def test_of_two_the_edge_of_the_image_tells_whose_error_a_difference_is(better):
    """Nothing else can: their differences are the same whoever is to blame."""
    noises = (0.01, 0.06) if better == 0 else (0.06, 0.01)
    columns, _, true, frames = cut_off(noises)
    known = estimate([replace(shard(columns), frames=frames)], ["a", "b"], LABELS, np.ones((2, 5), bool), FUSION)
    rows = list(report(known))
    assert 2 * rows[better]["edge_error"] < rows[1 - better]["edge_error"]
    assert rows[better]["weight"] > 0.75
    fused = fuse(columns, known, FUSION)
    both = np.diff(fused.clusters.member_offsets) == 2
    heads = fused.clusters.members[fused.clusters.member_offsets[:-1]]
    error = np.abs(fused.boxes - true[heads])[both].mean()
    crude, exact = (np.abs(columns.boxes - true)[columns.specialists == s].mean() for s in (1 - better, better))
    assert error < 1.3 * exact < crude / 2


def test_without_frames_two_are_taken_for_equally_exact():
    columns, _, _, _ = cut_off((0.01, 0.06))
    rows = list(report(estimate([shard(columns)], ["a", "b"], LABELS, np.ones((2, 5), bool), FUSION)))
    assert [row["weight"] for row in rows] == pytest.approx([0.5, 0.5])


def test_confidence_is_the_share_that_is_right():
    columns, shows, labels = world(GOOD, seed=1)
    fused = fuse(columns, learn([shard(columns)], 3), FUSION)
    heads = fused.clusters.members[fused.clusters.member_offsets[:-1]]
    right = (shows[heads] >= 0) & (labels[shows[heads]] == fused.labels)
    assert fused.confidence.sum() == pytest.approx(right.sum(), rel=0.2)
    sure = fused.confidence >= 0.9
    assert fused.confidence[sure].mean() == pytest.approx(right[sure].mean(), abs=0.05)
    assert right[fused.confidence < 0.3].mean() < 0.4


def test_scores_of_a_braggart_are_not_believed():
    """It invents most of what it says, always with the highest scores."""
    columns, _, _ = world((*GOOD, Member(0.2, 6.0, 0.1, tells=0.0)), seed=2)
    loud = columns.specialists == 3
    columns = BoxColumns(
        columns.boxes,
        np.where(loud, 0.9 + 0.1 * columns.scores, columns.scores),
        columns.specialists,
        columns.labels,
        columns.offsets,
    )
    fused = fuse(columns, learn([shard(columns)], 4), FUSION)
    sizes = np.diff(fused.clusters.member_offsets)
    heads = fused.clusters.members[fused.clusters.member_offsets[:-1]]
    assert fused.confidence[(sizes == 1) & loud[heads]].max() < 0.3


def test_neither_the_order_of_rows_nor_of_shards_changes_a_bit():
    one, other = world(GOOD, 40, seed=3)[0], world(GOOD, 40, seed=4)[0]
    rng = np.random.default_rng(0)
    mixed = taken(one, rng.permutation(len(one)))
    reliabilities = learn([shard(one), shard(other)], 3)
    again = learn([shard(other), shard(mixed)], 3)
    assert reliabilities.to_table().equals(again.to_table())
    first, second = fuse(one, reliabilities, FUSION), fuse(mixed, again, FUSION)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.confidence, second.confidence)
    np.testing.assert_array_equal(first.labels, second.labels)


def with_copy(columns, of, boxes=lambda b: b, scores=lambda s: s):
    """The columns with what a further specialist says, who repeats `of`, changed by the two functions."""
    own = np.flatnonzero(columns.specialists == of)
    both = BoxColumns(
        np.concatenate([columns.boxes, boxes(columns.boxes[own])]),
        np.concatenate([columns.scores, scores(columns.scores[own])]),
        np.concatenate([columns.specialists, np.full(len(own), columns.specialists.max() + 1)]),
        np.concatenate([columns.labels, columns.labels[own]]),
        columns.offsets,
    )
    image = np.concatenate([columns.groups(), columns.groups()[own]])
    order = np.argsort(image, kind="stable")
    offsets = np.searchsorted(image[order], np.arange(len(columns.offsets))).astype(np.int64)
    return BoxColumns(both.boxes[order], both.scores[order], both.specialists[order], both.labels[order], offsets)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="exact"),
        pytest.param({"scores": np.square}, id="other scores"),
        pytest.param({"boxes": np.rint}, id="rounded boxes"),
    ],
)
def test_a_copy_under_another_name_changes_nothing(changes):
    columns, _, _ = world(GOOD, seed=5)
    twice = with_copy(columns, 1, **changes)
    plain = fuse(columns, learn([shard(columns)], 3), FUSION)
    learned = learn([shard(twice)], 4)
    copied = fuse(twice, learned, FUSION)
    assert learned.model.original.tolist() == [-1, -1, -1, 1]
    assert [row["copy_of"] for row in report(learned)] == [None, None, None, "s1"]
    np.testing.assert_allclose(copied.confidence, plain.confidence, rtol=1e-9)
    np.testing.assert_allclose(copied.boxes, plain.boxes, rtol=1e-9)
    np.testing.assert_array_equal(copied.labels, plain.labels)


def test_a_near_copy_counts_little():
    rng = np.random.default_rng(0)
    columns, _, _ = world(GOOD, seed=5)
    twice = with_copy(columns, 1, lambda b: b + rng.normal(0, 0.3, b.shape), lambda s: s * 0.9)
    plain = fuse(columns, learn([shard(columns)], 3), FUSION)
    learned = learn([shard(twice)], 4)
    assert learned.model.kin[1, 3] > 0.8
    assert fuse(twice, learned, FUSION).confidence.sum() == pytest.approx(plain.confidence.sum(), rel=0.05)


def test_a_relative_that_only_draws_the_same_boxes_counts_little():
    """Its scores are its own, so only the sides tell; believed, the two would make their inventions true."""
    rng = np.random.default_rng(3)
    crowd = (*GOOD, Member(0.3, 6.0, 0.1))
    columns, shows, _ = world(crowd, seed=3)
    loud = np.flatnonzero(columns.specialists == 3)
    extent = np.tile(columns.boxes[loud, 2:] - columns.boxes[loud, :2], 2)
    moved = columns.boxes[loud] + rng.normal(0, 0.01, (len(loud), 4)) * extent
    image = np.concatenate([columns.groups(), columns.groups()[loud]])
    order = np.argsort(image, kind="stable")
    both = BoxColumns(
        np.concatenate([columns.boxes, moved])[order],
        np.concatenate([columns.scores, 1 / (1 + np.exp(-rng.normal(0, 1.5, len(loud))))])[order],
        np.concatenate([columns.specialists, np.full(len(loud), 4)])[order],
        np.concatenate([columns.labels, columns.labels[loud]])[order],
        np.searchsorted(image[order], np.arange(len(columns.offsets))).astype(np.int64),
    )
    shows = np.concatenate([shows, shows[loud]])[order]
    fused = fuse(both, learn([shard(both)], 5), FUSION)
    heads = fused.clusters.members[fused.clusters.member_offsets[:-1]]
    invented = (shows[heads] < 0) & (both.specialists[heads] >= 3)
    assert invented.sum() > 400
    assert fused.confidence[invented].mean() < 0.15


def test_scores_that_are_all_one_make_nobody_a_copy():
    columns, _, _ = world(GOOD, seed=9)
    flat = BoxColumns(columns.boxes, np.ones(len(columns)), columns.specialists, columns.labels, columns.offsets)
    assert (learn([shard(flat)], 3).model.original == -1).all()


def test_a_single_specialist_keeps_its_order():
    """Nobody contradicts it, so what it is surer of comes first, and no two scores become one confidence."""
    columns, _, _ = world((Member(0.8, 2.0),), seed=10)
    fused = fuse(columns, learn([shard(columns)], 1), FUSION)
    scores = columns.scores[fused.clusters.winners]
    assert len(np.unique(fused.confidence)) == len(fused.confidence)
    np.testing.assert_array_equal(np.argsort(fused.confidence), np.argsort(scores))
    np.testing.assert_array_equal(fused.boxes, columns.boxes[fused.clusters.winners])


def test_a_specialist_of_random_boxes_hides_nothing():
    columns, shows, _ = world((*GOOD, Member(0.0, 8.0)), seed=11)
    plain = taken(columns, np.flatnonzero(columns.specialists < 3))
    fused = fuse(columns, learn([shard(columns)], 4), FUSION)
    without = fuse(plain, learn([shard(plain)], 3), FUSION)
    assert fused.confidence[columns.specialists[fused.clusters.winners] == 3].max() < 0.2
    kept = fused.confidence[shows[fused.clusters.winners] >= 0]
    assert kept.sum() == pytest.approx(without.confidence[without.confidence > 0.2].sum(), rel=0.15)


@pytest.mark.parametrize("scores", ["usual", "ones", "zeros", "tiny"])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_odd_crowds_get_finite_confidences(n, scores):
    """One that says a single label, one silent, one alone with its label, coordinates in 0..1, 1,203 labels."""
    names = [f"{number:04d}" for number in range(1203)]
    columns, _, _ = world((Member(0.7, 1.0),) * n, images=20, seed=12)
    labels = np.where(columns.specialists == 1, 7, columns.labels * 200)
    labels = np.where((columns.specialists == 2) & (labels == 0), 1202, labels)
    given = {"usual": columns.scores, "ones": np.ones(len(labels)), "zeros": np.zeros(len(labels)),
             "tiny": columns.scores * 1e-12}[scores]  # fmt: skip
    odd = BoxColumns(columns.boxes / 2400, given, columns.specialists, labels, columns.offsets)
    knows = np.ones((n + 1, len(names)), bool)
    learned = estimate([shard(odd)], [f"s{i}" for i in range(n + 1)], names, knows, FUSION)
    for array in learned.model:
        assert np.isfinite(array).all()
    fused = fuse(odd, learned, FUSION)
    assert ((fused.confidence >= 0) & (fused.confidence <= 1)).all()
    assert np.isfinite(fused.boxes).all()
    assert set(fused.labels) <= set(labels)
    assert (fused.n_eligible <= n + 1).all()


def test_silence_about_words_one_does_not_know_is_no_vote():
    """Only the first knows what a tree is; the others say nothing about trees."""
    columns, shows, labels = world(GOOD, seed=6)
    tree = LABELS.index("tree")
    about_tree = ((shows >= 0) & (labels[shows] == tree)) | (columns.labels == tree)
    columns = taken(columns, np.flatnonzero(~about_tree | (columns.specialists == 0)))
    knows = np.ones((3, len(LABELS)), bool)
    knows[1:, tree] = False
    fused = fuse(columns, learn([shard(columns)], 3, knows=knows), FUSION)
    named = fused.labels == tree
    assert (fused.n_eligible[named] == 1).all()
    assert (fused.n_eligible[~named] == 3).all()
    untold = fuse(columns, learn([shard(columns)], 3), FUSION)
    assert fused.confidence[named].mean() > untold.confidence[untold.labels == tree].mean() + 0.05


def test_a_broader_word_is_no_wrong_name_and_who_knows_a_kind_can_see_it():
    """Two say "animal" where the third, which knows nothing else, says "cat"."""
    members = (Member(0.9, 0.3, right=1.0), Member(0.8, 0.5, right=1.0), Member(0.8, 0.5, right=1.0))
    columns, _, _ = world(members, seed=1)
    n = len(LABELS)
    narrow = np.where(columns.specialists == 2, n, 0)
    said = BoxColumns(columns.boxes, columns.scores, columns.specialists, columns.labels + narrow, columns.offsets)
    knows = np.ones((3, 2 * n), bool)
    knows[2, :n] = False
    names = [*LABELS, *(f"kind of {label}" for label in LABELS)]
    above = [(n + i, i) for i in range(n)]
    learned = estimate([shard(said)], ["a", "b", "c"], names, knows, FUSION, above=above)
    assert [row["recall_medium"] for row in report(learned)][2] == pytest.approx(0.8, abs=0.1)
    fused = fuse(said, learned, FUSION)
    several = np.diff(fused.clusters.member_offsets) == 3
    assert several.sum() > 150
    assert (fused.labels[several] >= n).all()  # where all speak of one thing the narrower word stands


def test_people_who_know_one_kind_do_not_deny_the_others():
    """They draw cats alone; what a detector calls an animal in their images may be a dog."""
    columns, _, _ = world((Member(0.9, 0.2, right=1.0), Member(1.0, 0.0, 0.0, 1.0)), 100, seed=7)
    animal, cat = len(LABELS), 0
    drawn = (columns.specialists == 1) & (columns.labels == cat)
    kept = np.flatnonzero((columns.specialists == 0) | drawn)
    columns, gold = taken(columns, kept), drawn[kept]
    named = np.where(columns.specialists == 0, animal, columns.labels)
    said = BoxColumns(columns.boxes, columns.scores, columns.specialists, named, columns.offsets)
    knows = np.zeros((2, animal + 1), bool)
    knows[0], knows[1, cat] = True, True
    learned = estimate(
        [shard(said, gold, np.ones(100, bool))], ["machine", "people"], [*LABELS, "animal"], knows, FUSION,
        gold=np.array([False, True]), above=[(label, animal) for label in range(animal)],
    )  # fmt: skip
    assert learned.model.judged[0] == 0  # nobody said of an animal whether it is one
    fused = fuse(said, learned, FUSION, gold)
    alone = ~np.isin(fused.clusters.winners, np.flatnonzero(gold))
    assert alone.sum() > 200
    np.testing.assert_array_equal(fused.n_eligible[alone], 1)
    assert fused.confidence[alone].mean() > 0.5


def test_human_boxes_stand_and_teach():
    """With a human in a third of the images, a single specialist that brags is known for what it is in all others."""
    columns, shows, labels = world((Member(0.8, 4.0), Member(1.0, 0.0, 0.0, 1.0)), 150, seed=7)
    human = columns.specialists == 1
    gold = human & (columns.groups() < 50)
    kept = np.flatnonzero(~human | gold)
    columns, gold, shows = taken(columns, kept), gold[kept], shows[kept]
    scores = np.where(columns.specialists == 0, columns.scores**0.2, columns.scores)
    columns = replace(columns, scores=scores)
    learned = learn([shard(columns, gold, np.arange(150) < 50)], 2, gold=np.array([False, True]))
    assert learned.model.judged[0] == ((columns.specialists == 0) & (columns.groups() < 50)).sum()
    fused = fuse(columns, learned, FUSION, gold)
    drawn = np.isin(fused.clusters.winners, np.flatnonzero(gold))
    np.testing.assert_array_equal(fused.confidence[drawn], 1.0)
    np.testing.assert_array_equal(fused.boxes[drawn], columns.boxes[fused.clusters.winners[drawn]])
    of = fused.clusters.cluster_of_members()
    voters = [len(set(columns.specialists[fused.clusters.members[of == c]])) for c in range(len(fused.clusters))]
    assert np.all(fused.n_eligible >= voters)
    rest = fused.clusters.groups() >= 50
    heads = fused.clusters.winners[rest]
    right = (shows[heads] >= 0) & (labels[shows[heads]] == fused.labels[rest])
    assert columns.scores[heads].mean() > right.mean() + 0.3
    assert fused.confidence[rest].mean() == pytest.approx(right.mean(), abs=0.04)
    missed = ~rest & ~drawn  # where they looked and drew nothing, they hardly overlooked it
    assert fused.confidence[missed].mean() < 0.1


def test_inside_a_crowd_that_somebody_drew_it_abstains():
    """Two detectors see dogs; one of them, in the first image, drew one crowd of dogs around them instead."""
    box = lambda x: [x, 100.0, x + 80, 180.0]  # noqa: E731
    columns = BoxColumns(
        np.array([box(100), box(300), box(100), box(300), box(100)]),
        np.full(5, 0.8),
        np.array([0, 0, 0, 0, 1]),
        np.full(5, 2),
        np.array([0, 2, 5]),
    )
    crowd = BoxColumns(np.array([[90.0, 90, 400, 200]]), np.ones(1), np.array([1]), np.array([2]), np.array([0, 1, 1]))
    known = learn([shard(world(GOOD[:2], 20)[0])], 2)
    fused = fuse(columns, known, FUSION, crowds=crowd)
    eligible = dict(zip(zip(fused.clusters.groups(), fused.boxes[:, 0], strict=True), fused.n_eligible, strict=True))
    assert eligible[0, 100.0] == eligible[0, 300.0] == 1
    assert eligible[1, 300.0] == 2
    other = replace(crowd, labels=np.array([1]))
    assert (fuse(columns, known, FUSION, crowds=other).n_eligible == 2).all()


def test_the_table_holds_everything():
    columns, _, _ = world(GOOD, 30, seed=8)
    learned = learn([shard(columns)], 3, above=[(1, 2)])
    back = Reliabilities.from_table(learned.to_table())
    assert (back.specialists, back.labels) == (learned.specialists, learned.labels)
    for name, mine, theirs in zip(learned.model._fields, learned.model, back.model, strict=True):
        assert mine.dtype == theirs.dtype, name
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(StoreError, match="incomplete"):
        Reliabilities.from_table(learned.to_table().slice(0, 40))


def test_nothing_said_is_nothing_found():
    nothing = BoxColumns(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.array([0, 0, 0]))
    learned = learn([shard(nothing)], 2)
    assert len(fuse(nothing, learned, FUSION).confidence) == 0
    with pytest.raises(ConfigError, match="2 specialists by 5 labels"):
        learn([shard(nothing)], 2, knows=np.ones((5, 2), bool))


@pytest.mark.parametrize(("field", "value"), [("scores", np.nan), ("boxes", np.nan), ("boxes", np.inf)])
def test_numbers_that_are_none_are_refused_where_they_would_spread(field, value):
    columns, _, _ = world(GOOD, images=10)
    learned = learn([shard(columns)], 3)
    broken = getattr(columns, field).copy()
    broken[7] = value
    bad = replace(columns, **{field: broken})
    for act in (lambda: learn([shard(bad)], 3), lambda: fuse(bad, learned, FUSION)):
        with pytest.raises(ValueError, match=r"1 of \d+ boxes .* not finite \(row 7: .*leave them out"):
            act()


def test_nobody_and_nothing_to_learn_from_are_refused():
    columns, _, _ = world(GOOD, images=2)
    with pytest.raises(ConfigError, match="0 specialists from 1 shards"):
        learn([shard(columns)], 0)
    with pytest.raises(ConfigError, match="2 specialists from 0 shards"):
        learn([], 2)
