"""Detectors from ultralytics checkpoints: the library's own boxes, by our batches, without its side effects."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError, WeightsMissing
from engine.geometry import is_box
from engine.records import Image, Regions
from pipelines.config import load_config
from pipelines.graph import fld_graph
from specialists.checkpoints import sha256_of
from specialists.contract import check_specialist, photo
from specialists.ultralytics_detector import UltralyticsConfig, UltralyticsDetector, keep_quiet

keep_quiet()

NAMES = {0: "ball", 1: "kite", 2: "sign"}
SIZE = 96
BACKBONE = [
    [-1, 1, "Conv", [8, 3, 2]],
    [-1, 1, "Conv", [16, 3, 2]],
    [-1, 1, "C3k2", [16, False, 0.25]],
    [-1, 1, "Conv", [24, 3, 2]],
    [-1, 1, "Conv", [32, 3, 2]],
    [-1, 1, "Conv", [32, 3, 2]],
]
HEADS: dict[str, list[Any]] = {
    "yolo": [[[3, 4, 5], 1, "Detect", ["nc"]]],
    "v10": [[[3, 4, 5], 1, "v10Detect", ["nc"]]],
    "rtdetr": [[[3, 4, 5], 1, "RTDETRDecoder", ["nc", 32, 20, 4, 2, 2, 64]]],
    "segment": [[[3, 4, 5], 1, "Segment", ["nc", 8, 16]]],
    "classify": [[-1, 1, "Classify", ["nc"]]],
}
TASKS = {"segment": "segment", "classify": "classify"}
CLASSES = {"rtdetr": "RTDETRDetectionModel", "segment": "SegmentationModel", "classify": "ClassificationModel"}


def tiny(kind: str, seed: int = 1) -> Any:
    """A random network whose answers differ between images: normalisation is measured, scores are spread out."""
    import torch
    from ultralytics.nn import tasks

    torch.manual_seed(seed)
    plan = {"nc": 3, "depth_multiple": 1.0, "width_multiple": 1.0, "backbone": BACKBONE, "head": HEADS[kind]}
    model = getattr(tasks, CLASSES.get(kind, "DetectionModel"))(copy.deepcopy(plan), verbose=False)
    model.names = dict(NAMES)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    heads = [*getattr(model.model[-1], "cv3", []), *getattr(model.model[-1], "one2one_cv3", [])]
    for last in [branch[-1] for branch in heads]:
        torch.nn.init.normal_(last.weight, std=0.3)
        torch.nn.init.normal_(last.bias, std=0.3)
    with torch.no_grad():
        model.train()
        for noise in torch.rand(4, 1, 2, 3, SIZE, SIZE):
            body = torch.nn.Sequential(*list(model.model)[: len(BACKBONE)])
            body(noise[0])
            if kind != "rtdetr":
                model(noise[0])
    return model.eval()


def write(model: Any, path: Path, task: str = "detect") -> Path:
    """As the library's trainer writes: the network in half precision, pickled, with what it was trained with."""
    import torch

    told = {"imgsz": SIZE, "task": task}
    torch.save({"model": None, "ema": copy.deepcopy(model).half(), "train_args": told, "version": "8.4.0"}, path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ultralytics")
    return {kind: write(tiny(kind), folder / f"{kind}.pt", TASKS.get(kind, "detect")) for kind in HEADS}


def loaded(path: Path, **keys: Any) -> UltralyticsDetector:
    made = UltralyticsDetector(UltralyticsConfig(path=path, sha256=sha256_of(path), **keys))
    made.load("cpu")
    return made


def image_of(pixels: NDArray[np.uint8]) -> Image:
    return Image("one", "", pixels.shape[1], pixels.shape[0], lambda: pixels)


def pictures() -> list[NDArray[np.uint8]]:
    noise = np.random.default_rng(3).integers(0, 255, (70, 41, 3)).astype(np.uint8)
    return [photo(), photo(200, 90), noise]


def by_the_library(path: Path, pixels: Sequence[NDArray[np.uint8]], **keys: Any) -> list[Regions]:
    from ultralytics import RTDETR, YOLO

    model = (RTDETR if path.stem == "rtdetr" else YOLO)(path, **({} if path.stem == "rtdetr" else {"verbose": False}))
    answers = []
    for picture in pixels:
        bgr = np.ascontiguousarray(picture[..., ::-1])
        [found] = model.predict(bgr, imgsz=SIZE, rect=False, verbose=False, save=False, device="cpu", **keys)
        boxes = found.boxes
        labels = [NAMES[int(number)] for number in boxes.cls]
        answers.append(Regions(boxes.xyxy.numpy(), boxes.conf.numpy(), labels))
    return answers


@pytest.mark.parametrize("kind", ["yolo", "v10", "rtdetr", "segment"])
def test_the_boxes_are_the_librarys(files: dict[str, Path], kind: str) -> None:
    found = loaded(files[kind], confidence=0.3, iou=0.5, max_boxes=50).detect([image_of(p) for p in pictures()])
    wanted = by_the_library(files[kind], pictures(), conf=0.3, iou=0.5, max_det=50)
    assert sum(len(regions.labels) for regions in wanted) > 20
    for ours, theirs in zip(found, wanted, strict=True):
        area = is_box(theirs.boxes)  # the library also gives boxes that are a line
        assert list(ours.labels) == [label for label, good in zip(theirs.labels, area.tolist(), strict=True) if good]
        assert np.allclose(ours.boxes, theirs.boxes[area], atol=0.5)
        assert np.allclose(ours.scores, theirs.scores[area], atol=1e-4)


@pytest.mark.parametrize("kind", ["yolo", "v10", "rtdetr"])
def test_holds_the_contract(files: dict[str, Path], kind: str) -> None:
    path = files[kind]
    check_specialist(UltralyticsDetector, "detector", {"path": path, "sha256": sha256_of(path), "max_boxes": 20})


@pytest.mark.parametrize("kind", ["yolo", "v10", "rtdetr"])
def test_a_batch_of_mixed_sizes_gives_what_its_images_give_alone(files: dict[str, Path], kind: str) -> None:
    detector = loaded(files[kind], confidence=0.3)
    together = detector._look(pictures())  # what a GPU does; rounding differs in the last bits
    for alone, among in zip([detector._look([picture])[0] for picture in pictures()], together, strict=True):
        assert alone.labels == among.labels
        assert np.allclose(alone.boxes, among.boxes, atol=0.01)
        assert np.allclose(alone.scores, among.scores, atol=1e-5)


def test_red_is_not_blue(files: dict[str, Path]) -> None:
    """A network that answers to red alone finds something in a red picture and nothing in a blue one."""
    import torch

    model = tiny("yolo")
    with torch.no_grad():
        first = model.model[0].conv.weight
        first[:, 1:] = 0
        first[:, 0] = first[:, 0].abs()
    detector = loaded(write(model, files["yolo"].with_name("red.pt")), confidence=0)
    red, blue, black = (np.zeros((64, 64, 3), np.uint8) for _ in range(3))
    red[..., 0], blue[..., 2] = 255, 255
    of_red, of_blue, of_black = detector.detect([image_of(p) for p in (red, blue, black)])
    assert of_blue.scores.tolist() == of_black.scores.tolist()
    assert of_red.scores.tolist() != of_black.scores.tolist()


def test_the_checkpoint_says_its_names_and_size(files: dict[str, Path]) -> None:
    detector = UltralyticsDetector(UltralyticsConfig(path=files["yolo"]))
    assert detector.vocabulary() == ("ball", "kite", "sign")  # nothing is unpickled for it, so no hash is needed
    assert loaded(files["yolo"])._size == SIZE
    assert loaded(files["yolo"], size=100)._size == 128  # rounded up to the stride


def test_labels_choose(files: dict[str, Path]) -> None:
    path, [image] = files["v10"], [image_of(photo())]
    some = loaded(path, labels=("kite", "sign"), confidence=0)
    assert some.vocabulary() == ("kite", "sign")
    assert set(some.detect([image])[0].labels) == {"kite", "sign"}
    asked = UltralyticsDetector(UltralyticsConfig(path=path, sha256=sha256_of(path), labels=("kites",)))
    with pytest.raises(ConfigError, match=r"does not know 'kites'.*Did you mean 'kite'.*set_classes"):
        asked.weights()


@pytest.mark.parametrize(
    ("model", "head", "embeddings"), [("WorldModel", "WorldDetect", "txt_feats"), ("YOLOEModel", "YOLOEDetect", "pe")]
)
def test_an_open_vocabulary_needs_its_text_embeddings(tmp_path: Path, model: str, head: str, embeddings: str) -> None:
    import torch
    from ultralytics.nn import tasks

    plan = {"nc": 3, "depth_multiple": 1.0, "width_multiple": 1.0, "backbone": BACKBONE}
    plan["head"] = [[[3, 4, 5], 1, head, ["nc", 512, True]]]
    made = getattr(tasks, model)(plan, nc=3, verbose=False)
    made.names = dict(NAMES)
    if hasattr(made, embeddings):
        delattr(made, embeddings)
    with pytest.raises(ConfigError, match=r"open\.pt has an open vocabulary and no text embeddings"):
        loaded(write(made, tmp_path / "open.pt"))
    setattr(made, embeddings, torch.randn(1, 3, 512))
    assert loaded(write(made, tmp_path / "open.pt"), confidence=0).detect([image_of(photo())])[0].labels


def test_another_task_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="ends in Classify, which gives no upright boxes"):
        loaded(files["classify"])


def graph_of(config: Path, lines: str) -> None:
    config.write_text(f'[detectors.d]\nuses = "ultralytics"\n{lines}\n')
    fld_graph(load_config(str(config), None))


def test_what_is_missing_is_said_before_any_job(files: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "fld.toml"
    with pytest.raises(WeightsMissing, match=r"no file .*/gone\.pt: download it or train it"):
        graph_of(file, 'path = "gone.pt"')
    path = files["yolo"]
    line = f'sha256 = "{sha256_of(path)}"'
    with pytest.raises(ConfigError, match=f"can run any code.*write {line}"):
        graph_of(file, f'path = "{path}"')
    with pytest.raises(ConfigError, match=r"has the sha256 .* not abc"):
        graph_of(file, f'path = "{path}"\nsha256 = "abc"')
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"cut\.pt is no torch checkpoint"):
        graph_of(file, f'path = "cut.pt"\nsha256 = "{sha256_of(tmp_path / "cut.pt")}"')
    graph_of(file, f'path = "{path}"\n{line}')


ALONE = """
import json, os, socket, subprocess, sys
def refuse(*args, **kwargs):
    raise OSError("no network and no other programs in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
subprocess.Popen = refuse
sys.dont_write_bytecode = True
import numpy as np
from engine.records import Image
from specialists.ultralytics_detector import UltralyticsConfig, UltralyticsDetector
made = UltralyticsDetector(UltralyticsConfig(path=sys.argv[1], sha256=sys.argv[2], confidence=0))
assert made.vocabulary() == ("ball", "kite", "sign") and "torch" not in sys.modules
made.load("cpu")
pixels = np.full((64, 64, 3), 255, np.uint8)
found = made.detect([Image("a", "", 64, 64, lambda: pixels)])
print(json.dumps({"found": len(found[0].labels)}))
"""


def test_nothing_is_written_fetched_or_said(files: dict[str, Path], tmp_path: Path) -> None:
    home, work, temporary = (tmp_path / name for name in ("home", "work", "temporary"))
    for folder in (home, work, temporary):
        folder.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO", "XDG", "MPL", "PYTEST"))}
    place = str(Path(__file__).resolve().parents[2])
    given = kept | {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": place}
    command = [sys.executable, "-c", ALONE, str(files["yolo"]), sha256_of(files["yolo"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=given, cwd=work)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["found"] > 0  # and that line is all
    assert [path for folder in (home, work, temporary) for path in folder.rglob("*")] == []
