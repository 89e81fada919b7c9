"""The starter kit: a training that was killed goes on as if nothing had happened; what is shipped is whole and small."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import specialists
from pipelines.config import load_config, specialists_of
from pipelines.scenes.kinds import KINDS
from pipelines.starter import phrases, scenes, trainer
from pipelines.starter.__main__ import KIT, SCORES, SUMS
from pipelines.starter.detectors import LARGE, Yolo
from pipelines.starter.scenes import Drawn, Example
from specialists.contract import check_specialist

HOME = Path(specialists.__path__[0]) / "models" / "starter"
NETWORK = dataclasses.replace(
    LARGE, course=trainer.Course(steps=4, batch=2, rate=1e-3, warmup=1), scale=(0.33, 0.05, 64)
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return scenes.load(tmp_path_factory.mktemp("scenes"), Drawn(70_000_000, 6))


@dataclasses.dataclass(frozen=True, slots=True)
class Interrupted(Yolo):
    """Stops in the middle of its course, as a killed process does."""

    def loss(self, module: Any, batch: dict[str, Any]) -> Any:
        if int(module.model[0].bn.num_batches_tracked) >= 2:
            raise KeyboardInterrupt
        return Yolo.loss(self, module, batch)  # dataclasses with slots have no super()


def test_a_killed_training_ends_where_an_unbroken_one_does(
    drawn: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(trainer, "_SAVE_SECONDS", 0.0)
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        folder.mkdir()
    whole = trainer.train(NETWORK, drawn, folders[0], 5, "cpu")
    fields = {field.name: getattr(NETWORK, field.name) for field in dataclasses.fields(NETWORK)}
    with pytest.raises(KeyboardInterrupt):
        trainer.train(Interrupted(**fields), drawn, folders[1], 5, "cpu")
    resumed = trainer.train(NETWORK, drawn, folders[1], 5, "cpu")
    untrained = NETWORK.build().state_dict()
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert any(not torch.equal(a, untrained[name]) for name, a in whole.state_dict().items())


def test_another_course_is_refused(drawn: list[Example], tmp_path: Path) -> None:
    from engine.errors import UserError

    short = dataclasses.replace(NETWORK, course=trainer.Course(steps=1, batch=2, rate=1e-3))
    trainer.train(short, drawn, tmp_path, 5, "cpu")
    with pytest.raises(UserError, match="another course"):
        trainer.train(NETWORK, drawn, tmp_path, 5, "cpu")


def test_scenes_are_drawn_once(drawn: list[Example], tmp_path: Path) -> None:
    few = Drawn(70_000_000, 3)
    first = scenes.load(tmp_path, few)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert [e.jpeg for e in scenes.load(tmp_path, few)] == [e.jpeg for e in first] == [e.jpeg for e in drawn[:3]]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written


def test_the_second_set_shows_half_of_the_colours(tmp_path: Path) -> None:
    few = dataclasses.replace(scenes.SEEN, count=8)
    shown = {(t["kind"], t["colour"]) for e in scenes.load(tmp_path, few) for t in e.truth["objects"]}
    odd = {kind for kind, colour in shown if colour not in scenes.SEEN.colours}
    assert all(not set(KINDS[kind].colours) & set(scenes.SEEN.colours) for kind in odd)
    assert len({colour for _, colour in shown}) > 2


def test_a_phrase_is_true_of_just_the_things_it_names(drawn: list[Example]) -> None:
    rng = np.random.default_rng(0)
    empty = 0
    for _ in range(40):
        for example in drawn:
            text, found = phrases.phrase(example.truth, rng)
            things = example.truth["objects"]
            words = text.split()
            kinds = {k.name for k in KINDS.values() if k.name in words or k.plural in words}
            if found:
                assert {things[i]["kind"] for i in found} <= kinds, text
            else:
                empty += 1
                worn = {"person": "shirt", "snowman": "scarf"}
                colours = {t["colour"] for t in things if t["kind"] in kinds}
                assert not colours or not colours & set(words) or set(worn) & kinds, text
    assert empty > 20


# ---- what is shipped ----------------------------------------------------------------------------------


def test_the_kit_is_whole_and_small() -> None:
    for network, _ in KIT:
        assert (HOME / network.name / SCORES).exists(), f"{network.name} is missing: make starter"
    listed = dict(reversed(line.split("  ")) for line in (HOME / SUMS).read_text().splitlines())
    files = {str(path.relative_to(HOME)): path for path in HOME.glob("*/*") if path.is_file()}
    assert set(listed) == set(files)
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name
    assert sum(path.stat().st_size for path in files.values()) <= 25e6


CHOSEN = [(table, c) for table, of_role in specialists_of(load_config(None, "starter")).items() for c in of_role]


@pytest.mark.parametrize(("table", "chosen"), CHOSEN, ids=[f"{table}-{c.name}" for table, c in CHOSEN])
def test_the_kit_holds_the_contract(table: str, chosen: Any) -> None:
    if "path" not in type(chosen.config).model_fields or table == "parser":
        pytest.skip("has no weights of the kit; tests/specialists asks it")
    config = chosen.config.model_dump(exclude_defaults=True)
    check_specialist(chosen.card.cls, chosen.card.role, config, tolerance=1e-4)
