"""Every registered specialist holds the contract; the contract catches those that do not; the registry finds them."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError, WeightsMissing
from engine.records import Captions, Composition, Image, Regions, Scene
from specialists import registry
from specialists.base import Card, Role, SpecialistConfig, specialist
from specialists.contract import ContractError, check_specialist
from specialists.template import Template
from tests.specialists.contract import NEEDS

CARDS = sorted(registry.cards().items())
ROUNDING = 1e-4  # networks round differently in batches of another size


@pytest.mark.parametrize("card", [card for _, card in CARDS], ids=[f"{role}-{name}" for (role, name), _ in CARDS])
def test_holds_the_contract(card: Card, tmp_path: Path) -> None:
    missing = registry.missing_packages(card)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    make = NEEDS.get((card.role, card.name))
    config = make(tmp_path) if make else {}
    try:
        check_specialist(card.cls, card.role, config, tolerance=ROUNDING if "torch" in card.needs else 0.0)
    except WeightsMissing as error:
        pytest.skip(str(error))


class Good:
    """A detector that finds the whole image; the broken ones below differ in one thing each."""

    Config = SpecialistConfig

    def __init__(self, config: SpecialistConfig) -> None:
        self.config = config
        self.calls = 0

    def load(self, device: str) -> None:
        pass

    def detect(self, images: Sequence[Image]) -> list[Regions]:
        self.calls += 1
        return [self.one(image, len(images)) for image in images]

    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width, image.height]])


def regions(boxes: Any, score: float = 0.5, dtype: type = np.float32) -> Regions:
    return Regions(np.array(boxes, dtype), np.full(len(boxes), score, np.float32), ["thing"] * len(boxes))


@specialist("good", "detector")
class GoodDetector(Good):
    pass


@specialist("outside", "detector")
class OutsideDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width + 1, image.height]])


@specialist("wide", "detector")
class WideDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width, image.height]], dtype=np.float64)


@specialist("sure", "detector")
class SureDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width, image.height]], score=1.5)


@specialist("nan", "detector")
class NanDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width, np.nan]])


@specialist("counting", "detector")
class CountingDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width, image.height]], score=1 / (1 + self.calls))


@specialist("batched", "detector")
class BatchedDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, image.width, image.height]], score=1 / (1 + batch))


@specialist("painting", "detector")
class PaintingDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        image.pixels[:] = 0
        return super().one(image, batch)


@specialist("peeking", "detector", pixels=False)
class PeekingDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return regions([[0, 0, *image.pixels.shape[1::-1]]])


@specialist("blind", "detector")
class BlindDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return replace(regions(np.zeros((0, 4))), answered=False)


@specialist("sleepwalking", "detector")
class SleepwalkingDetector(Good):
    def one(self, image: Image, batch: int) -> Regions:
        return replace(super().one(image, batch), answered=False)


@specialist("short", "detector")
class ShortDetector(Good):
    def detect(self, images: Sequence[Image]) -> list[Regions]:
        return super().detect(images)[1:]


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (OutsideDetector, "boxes leave"),
        (WideDetector, "float64"),
        (SureDetector, "0..1"),
        (NanDetector, "boxes leave"),
        (CountingDetector, "second call"),
        (BatchedDetector, "alone"),
        (PaintingDetector, "changed its input"),
        (PeekingDetector, "pixels=False"),
        (SleepwalkingDetector, "has not looked at this image"),
        (ShortDetector, "5 inputs got 4 answers"),
    ],
)
def test_catches(cls: type, message: str) -> None:
    check_specialist(GoodDetector, "detector")
    check_specialist(BlindDetector, "detector")
    with pytest.raises(ContractError, match=message):
        check_specialist(cls, "detector")


@specialist("both", "writer")
class BothWriter(Template):
    def write(self, scenes: Sequence[Scene]) -> list[Captions]:
        return [found.captions for found in self.compose(scenes)]


@specialist("loaded", "writer")
class LoadedWriter(Template):
    ready = False

    def load(self, device: str) -> None:
        self.ready = True

    def compose(self, scenes: Sequence[Scene]) -> list[Composition]:
        return super().compose(scenes if self.ready else scenes[1:])


@specialist("mute", "writer")
class MuteWriter(Template):
    def compose(self, scenes: Sequence[Scene]) -> list[Composition]:
        return [replace(one, tokens=replace(one.tokens, start=one.tokens.start + 1)) for one in super().compose(scenes)]


@specialist("dreaming", "writer")
class DreamingWriter(Template):
    def compose(self, scenes: Sequence[Scene]) -> list[Composition]:
        found = super().compose(scenes)
        regions = [[(row + 1,) for (row,) in one.mentions.regions] for one in found]
        return [
            replace(one, mentions=replace(one.mentions, regions=rows)) for one, rows in zip(found, regions, strict=True)
        ]


@specialist("misquoting", "writer")
class MisquotingWriter(Template):
    def compose(self, scenes: Sequence[Scene]) -> list[Composition]:
        return [replace(one, shift=one.shift - 2) for one in super().compose(scenes)]


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (BothWriter, r"both write\(\) and compose\(\)"),
        (LoadedWriter, "got 4 answers"),
        (MuteWriter, "a character span beyond|an empty|the tokens of"),
        (DreamingWriter, "are not there"),
        (MisquotingWriter, "does not repeat caption 0"),
    ],
)
def test_catches_who_composes(cls: type, message: str) -> None:
    check_specialist(Template, "writer")
    with pytest.raises(ContractError, match=message):
        check_specialist(cls, "writer")


def test_catches_a_role_it_does_not_have() -> None:
    with pytest.raises(ContractError, match="not labelled as a reader"):
        check_specialist(GoodDetector, "reader")


# ---- the registry -------------------------------------------------------------------------------------

PLUGIN = '''
from specialists.base import SpecialistConfig, specialist
import numpy as np
from engine.records import Regions

@specialist("nothing_at_all", "detector", needs=({needs!r},))
class Nothing:
    """Finds nothing."""
    Config = SpecialistConfig
    def __init__(self, config): self.config = config
    def load(self, device): pass
    def detect(self, images):
        return [Regions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), []) for _ in images]
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a third party's package, as pip leaves it: a module and its dist-info, on the path."""

    def put(needs: str, module: str = "third_party_plugin", code: str = PLUGIN) -> None:
        site = tmp_path / "site"
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(code.format(needs=needs))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nnothing = {module}\n")
        monkeypatch.syspath_prepend(str(site))
        registry.cards.cache_clear()

    yield put
    registry.cards.cache_clear()
    sys.modules.pop("third_party_plugin", None)


def test_finds_a_third_partys_specialist(install: Any) -> None:
    install("numpy")
    card = registry.card_for("detector", "nothing_at_all")
    assert card.about == "Finds nothing."
    assert card.cls.__module__ == "third_party_plugin"
    check_specialist(card.cls, "detector")


def test_a_missing_package_is_named_with_its_remedy(install: Any) -> None:
    install("no_such_package_at_all")
    with pytest.raises(WeightsMissing, match="pip install no_such_package_at_all"):
        registry.card_for("detector", "nothing_at_all")


def test_two_specialists_of_one_name_are_refused(install: Any) -> None:
    install("numpy", code=PLUGIN.replace("nothing_at_all", "recorded"))
    with pytest.raises(ConfigError, match=r"two detectors are called 'recorded'.*third_party_plugin"):
        registry.cards()


@pytest.mark.parametrize(
    ("role", "name", "hint"),
    [
        ("detector", "recordet", "Did you mean 'recorded'"),
        ("reader", "rapid_ocr", "Did you mean 'rapidocr'"),
        ("detector", "grabcut", "exists as segmenter"),
    ],
)
def test_an_unknown_name_gets_a_hint(role: Role, name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        registry.card_for(role, name)
