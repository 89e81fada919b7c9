"""Florence-2: the contract, answers that a small network has learned, and agreement with transformers' own path."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError, WeightsMissing
from engine.records import Image, Phrases, Regions
from specialists import florence2
from specialists import florence_targets as targets
from specialists.base import Role
from specialists.contract import check_specialist, photo
from specialists.florence_network import Question, Speech, open_network
from tests.specialists import tiny_florence as tiny

RED, BLUE = tiny.plain(255, 0, 0), tiny.plain(0, 0, 255)
HEIGHT, WIDTH = RED.shape[:2]
# Boxes, in pixels, that the network has learned to give for the red image, and how near a bin comes to them.
BOX, OTHER = [4.0, 4.0, 40.0, 40.0], [0.0, 0.0, 9.0, 9.0]
NEAR = WIDTH / targets.BINS
QUAD = [1.0, 1.0, 30.0, 2.0, 29.0, 9.0, 1.0, 8.0]
BLUE_BOX = [30.0, 10.0, 70.0, 40.0]


def image(pixels: Any, name: str = "") -> Image:
    return Image(name, f"memory:{name}", pixels.shape[1], pixels.shape[0], pixels.copy)


def lessons() -> Iterator[tuple[Any, str, str]]:
    """What the network learns to say of each picture."""
    for pixels, name, box in ((RED, "red", BOX), (BLUE, "blue", BLUE_BOX), (photo(), "photo", BOX)):
        size = pixels.shape[1], pixels.shape[0]
        yield pixels, "<CAPTION>", f"a {name} picture"
        yield pixels, "<MORE_DETAILED_CAPTION>", f"a picture of the {name} box"
        yield pixels, "<OD>", targets.render_od(["dog", f"{name} box", "dog"], [OTHER, box, box], *size)
        yield pixels, "<DENSE_REGION_CAPTION>", targets.render_dense([f"the left {name} dog"], [box], *size)
        yield pixels, "<OCR_WITH_REGION>", targets.render_ocr(["EXIT"], [QUAD], *size)
        for phrase, boxes in (("a man", [box]), ("some dogs", [OTHER, box])):
            asked = f"<CAPTION_TO_PHRASE_GROUNDING>{phrase}"
            yield pixels, asked, targets.render_grounding([phrase], [boxes], *size)
        yield pixels, "<CAPTION_TO_PHRASE_GROUNDING>the purple idea", "the purple idea"


@pytest.fixture(scope="module")
def made() -> Any:
    return tiny.processor()


@pytest.fixture(scope="module")
def learned(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny.network(made)
    assert tiny.teach(model, made, list(lessons()), steps=110) < 0.2
    return tiny.save(model, made, tmp_path_factory.mktemp("learned"))


@pytest.fixture(scope="module")
def blank(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, spread so far that answers differ."""
    return tiny.save(tiny.network(made, spread=0.5), made, tmp_path_factory.mktemp("blank"))


def loaded(cls: Any, folder: Path, **config: Any) -> Any:
    specialist = cls(cls.Config(path=folder, **config))
    specialist.load("cpu")
    return specialist


def phrases(*texts: str) -> Phrases:
    nothing = Regions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), [])
    return Phrases(texts, texts, np.ones(len(texts), np.int32), nothing)


# ---- the contract --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["learned", "blank"])
@pytest.mark.parametrize(
    ("role", "cls", "config"),
    [
        ("captioner", florence2.FlorenceCaptioner, {"granularities": ["brief", "more_detailed"], "max_tokens": 20}),
        ("captioner", florence2.FlorenceCaptioner, {"beams": 3, "max_tokens": 10}),
        ("detector", florence2.FlorenceDetector, {"max_tokens": 40}),
        ("detector", florence2.FlorenceDetector, {"task": "dense", "beams": 2, "max_tokens": 20}),
        ("reader", florence2.FlorenceReader, {"max_tokens": 40}),
        ("grounder", florence2.FlorenceGrounder, {"max_boxes": 4}),
    ],
)
def test_holds_the_contract(
    role: Role, cls: type, config: dict[str, Any], weights: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(weights)
    check_specialist(cls, role, {"path": folder, **config}, tolerance=1e-4)


# ---- what it has learned -------------------------------------------------------------------------------


def test_captions_have_their_granularity(learned: Path) -> None:
    captioner = loaded(florence2.FlorenceCaptioner, learned, granularities=["more_detailed", "brief"])
    red, blue = captioner.caption([image(RED), image(BLUE)])
    assert red.texts == ["a picture of the red box", "a red picture"]
    assert blue.texts == ["a picture of the blue box", "a blue picture"]
    assert red.granularities == ["more_detailed", "brief"]
    assert red.scores.min() > 0.5


@pytest.mark.parametrize("beams", [1, 3])
def test_objects_with_names_or_descriptions(learned: Path, beams: int) -> None:
    red, blue = loaded(florence2.FlorenceDetector, learned, beams=beams).detect([image(RED), image(BLUE)])
    assert list(red.labels) == ["dog", "dog", "red box"]
    assert np.abs(red.boxes - [OTHER, BOX, BOX]).max() <= NEAR
    assert list(blue.labels) == ["blue box", "dog", "dog"]
    assert np.abs(blue.boxes - [BLUE_BOX, OTHER, BLUE_BOX]).max() <= NEAR
    (dense,) = loaded(florence2.FlorenceDetector, learned, task="dense", beams=beams).detect([image(RED)])
    assert list(dense.labels) == ["the left red dog"]
    assert np.abs(dense.boxes - [BOX]).max() <= NEAR


def test_phrases_find_their_boxes(learned: Path) -> None:
    grounder = loaded(florence2.FlorenceGrounder, learned)
    asked = [phrases("some dogs", "the purple idea", "a man", "some  dogs"), phrases(), phrases("a man", "犬")]
    red, none, blue = grounder.ground([image(RED), image(RED), image(BLUE)], asked)
    assert red.phrase.tolist() == [0, 0, 2, 3, 3]
    assert np.abs(red.boxes - [OTHER, BOX, BOX, OTHER, BOX]).max() <= NEAR
    assert len(none.phrase) == 0
    assert blue.phrase.tolist() == [0]
    assert np.abs(blue.boxes - [BLUE_BOX]).max() <= NEAR


def test_a_phrase_has_no_more_boxes_than_asked_for(learned: Path) -> None:
    (found,) = loaded(florence2.FlorenceGrounder, learned, max_boxes=1).ground([image(RED)], [phrases("some dogs")])
    assert found.phrase.tolist() == [0]


def test_a_phrase_that_it_would_not_say_itself_scores_low(learned: Path) -> None:
    grounder = loaded(florence2.FlorenceGrounder, learned)
    (found,) = grounder.ground([image(RED)], [phrases("a man", "EXIT blue EXIT")])
    known, other = found.scores[found.phrase == 0], found.scores[found.phrase == 1]
    assert known.min() > 2 * max(other, default=0.0)


def test_writing_is_read(learned: Path) -> None:
    (found,) = loaded(florence2.FlorenceReader, learned).read([image(RED)])
    assert list(found.texts) == ["EXIT"]
    assert np.abs(found.quads - [QUAD]).max() <= NEAR


# ---- the library's own path ----------------------------------------------------------------------------


def pictures() -> list[Any]:
    """Pictures that the network has not seen."""
    noise = np.random.default_rng(3)
    return [noise.integers(0, 256, (40 + 9 * i, 90 - 7 * i, 3), np.uint8) // (1 + i % 3) for i in range(6)]


@pytest.fixture(scope="module")
def library(learned: Path) -> tuple[Any, Any]:
    """The learned checkpoint as transformers opens it: model and processor."""
    import torch
    from transformers import Florence2ForConditionalGeneration, Florence2Processor

    model = Florence2ForConditionalGeneration.from_pretrained(learned, local_files_only=True, dtype=torch.float32)
    return model, Florence2Processor.from_pretrained(learned, local_files_only=True)


def by_the_library(library: tuple[Any, Any], pixels: Any, task: str) -> Any:
    """The answer of transformers' processor and `generate`."""
    model, made = library
    inputs = made(images=[pixels], text=[task], return_tensors="pt")
    tokens = model.generate(**inputs, num_beams=1, do_sample=False, max_new_tokens=50)
    text = made.batch_decode(tokens, skip_special_tokens=False)[0]
    return made.post_process_generation(text, task=task, image_size=(pixels.shape[1], pixels.shape[0]))[task]


def test_agrees_with_the_librarys_processor_and_decoding(learned: Path, library: tuple[Any, Any]) -> None:
    seen = pictures()
    found = loaded(florence2.FlorenceDetector, learned, max_tokens=50).detect([image(p) for p in seen])
    said = loaded(florence2.FlorenceCaptioner, learned, max_tokens=50).caption([image(p) for p in seen])
    for pixels, regions, captions in zip(seen, found, said, strict=True):
        assert [by_the_library(library, pixels, "<CAPTION>")] == captions.texts
        theirs = by_the_library(library, pixels, "<OD>")
        assert list(regions.labels) == theirs["labels"]
        assert np.floor(regions.boxes).tolist() == theirs["bboxes"]
    assert len({str(regions.boxes) for regions in found}) > 1


def test_scores_are_the_librarys_probabilities(learned: Path, library: tuple[Any, Any]) -> None:
    """A caption's: the geometric mean over its tokens and the end, location marks being out of the question. A box's:
    the geometric mean of label and place, each of them a mean; a place is also right one hundredth away."""
    import torch

    model, made = library

    def likely(pixels: Any, asked: str, answer: str, *, marks: bool, near: int = 0) -> Any:
        inputs = made(images=[pixels], text=[asked], return_tensors="pt")
        labels = made.tokenizer([answer], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = model(**inputs, labels=labels).logits
        if not marks:
            never = [*targets.MARKS, "<s>", "<pad>", "<unk>", "<sep>", "<poly>", "</poly>", "<image>"]
            logits[..., made.tokenizer.convert_tokens_to_ids(never)] = -np.inf
        chances, told = logits.softmax(-1)[0, 1:].numpy(), labels[0, 1:].numpy()  # without <s>, which is given
        first, last = made.tokenizer.convert_tokens_to_ids([targets.MARKS[0], targets.MARKS[-1]])
        return np.array([
            row[max(token - near, first) : min(token + near, last) + 1].sum() if token >= first else row[token]
            for row, token in zip(chances, told, strict=True)
        ])  # fmt: skip

    pixels = pictures()[0]
    for beams in (1, 3):
        (said,) = loaded(florence2.FlorenceCaptioner, learned, beams=beams).caption([image(pixels)])
        wanted = np.exp(np.log(likely(pixels, "<CAPTION>", said.texts[0], marks=False)).mean())
        assert said.scores[0] == pytest.approx(wanted, abs=1e-4)
    (found,) = loaded(florence2.FlorenceGrounder, learned).ground([image(RED)], [phrases("some dogs")])
    text = targets.render_grounding(["some dogs"], [found.boxes], WIDTH, HEIGHT)
    tokens = likely(RED, "<CAPTION_TO_PHRASE_GROUNDING>some dogs", text, marks=True, near=10)[:-1]
    label, places = tokens[:-8].mean(), tokens[-8:].reshape(2, 4).mean(axis=1)
    assert found.scores == pytest.approx(np.sqrt(label * places), abs=1e-4)


def test_an_image_is_looked_at_once_whatever_is_asked(learned: Path) -> None:
    looked: list[int] = []
    tower = open_network(learned, "cpu")._model.model.vision_tower
    watch = tower.register_forward_pre_hook(lambda _, inputs: looked.append(len(inputs[0])))
    asked = [phrases("a man", "some dogs", "the purple idea"), phrases("a man")]
    loaded(florence2.FlorenceGrounder, learned).ground([image(RED), image(BLUE)], asked)
    loaded(florence2.FlorenceCaptioner, learned, granularities=["brief", "detailed"]).caption([image(RED)])
    watch.remove()
    assert looked == [2, 1]


def test_many_prompts_are_answered_as_few(blank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when they do not fit into memory at once."""
    network = open_network(blank, "cpu")
    seen = network.see([image(pixels) for pixels in pictures()])
    texts = ["a man", "some dogs and the purple idea", "EXIT"]
    questions = [Question(i, targets.prompt("OPEN_VOCABULARY_DETECTION", text)) for text in texts for i in range(6)]
    together = network.speak(seen, questions, Speech(12))
    monkeypatch.setattr("specialists.florence_network._VALUES_AT_ONCE", 1)
    alone = network.speak(seen, questions, Speech(12))
    assert [text for text, _ in together] == [text for text, _ in alone]
    assert [score for _, score in together] == pytest.approx([score for _, score in alone], abs=1e-4)
    assert len(set(together)) > 1


# ---- what is missing or damaged ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "processor_config.json"])
def test_a_missing_file_is_named_with_its_remedy(blank: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(blank, tmp_path / "copy")
    (folder / name).unlink()
    specialist = florence2.FlorenceGrounder(florence2.FlorenceGrounderConfig(path=folder))
    for call in (specialist.weights, lambda: specialist.load("cpu")):
        with pytest.raises(WeightsMissing, match="hf download") as caught:
            call()
        assert str(folder / name) in str(caught.value)


def test_weights_in_shards_are_all_listed(blank: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(blank, tmp_path / "copy")
    (folder / "model.safetensors").rename(folder / "model-00001.safetensors")
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    specialist = florence2.FlorenceReader(florence2.FlorenceConfig(path=folder))
    with pytest.raises(WeightsMissing, match="model-00002"):
        specialist.weights()
    shutil.copy(folder / "model-00001.safetensors", folder / "model-00002.safetensors")
    names = {file.name for file in specialist.weights()}
    assert {"model-00001.safetensors", "model-00002.safetensors", "model.safetensors.index.json"} <= names
    assert "generation_config.json" not in names  # how answers are spoken stands in the configuration


def test_another_kind_of_model_is_refused(blank: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(blank, tmp_path / "copy")
    (folder / "config.json").write_text(json.dumps({"model_type": "bart"}))
    with pytest.raises(ConfigError, match="'bart', not a 'florence2'"):
        loaded(florence2.FlorenceDetector, folder)


def test_damaged_weights_are_refused(blank: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(blank, tmp_path / "copy")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="cannot be read as a Florence-2"):
        loaded(florence2.FlorenceDetector, folder)


def test_weights_that_lack_tensors_are_refused(blank: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(blank, tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "vision_tower.convs" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack model\.vision_tower\.convs"):
        loaded(florence2.FlorenceDetector, folder)


def test_a_tokenizer_without_locations_is_refused(tmp_path: Path) -> None:
    made = tiny.processor(marks=targets.MARKS[:-1])
    folder = tiny.save(tiny.network(made), made, tmp_path)
    with pytest.raises(ConfigError, match="location marks"):
        loaded(florence2.FlorenceDetector, folder)


def test_replaced_weights_are_read_again(blank: Path, learned: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(blank, tmp_path / "copy")
    before = loaded(florence2.FlorenceCaptioner, folder, max_tokens=12).caption([image(RED)])[0]
    shutil.copytree(learned, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    after = loaded(florence2.FlorenceCaptioner, folder, max_tokens=12).caption([image(RED)])[0]
    assert (before.texts != ["a red picture"], after.texts) == (True, ["a red picture"])
