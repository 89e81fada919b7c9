"""RapidOCR reads drawn words, says nothing where there is nothing, and needs neither network nor many threads."""

import json
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from engine.geometry import iou_matrix, order_quads, quad_to_box
from engine.records import Image, Readings
from specialists.rapid_ocr import RapidOcr, RapidOcrConfig

Place = tuple[int, int]


def image_of(pixels: NDArray[np.uint8]) -> Image:
    return Image("one", "", pixels.shape[1], pixels.shape[0], lambda: pixels)


def drawn(
    words: dict[str, Place], size: Place = (640, 480), ink: str = "black", paper: str = "white"
) -> tuple[NDArray[np.uint8], list[list[float]]]:
    """A picture with words, and the box of each."""
    picture = Picture.new("RGB", size, paper)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(36)
    boxes = []
    for word, place in words.items():
        pen.text(place, word, fill=ink, font=font)
        boxes.append(list(pen.textbbox(place, word, font=font)))
    return np.asarray(picture), boxes


@pytest.fixture(scope="module")
def reader() -> RapidOcr:
    made = RapidOcr(RapidOcrConfig())
    made.load("cpu")
    return made


def read(reader: RapidOcr, pixels: NDArray[np.uint8]) -> Readings:
    [found] = reader.read([image_of(pixels)])
    return found


@pytest.mark.parametrize(
    ("ink", "paper"), [("black", "white"), ("white", "navy"), ("red", "yellow"), ("blue", "white")]
)
def test_reads_words_where_they_are(reader: RapidOcr, ink: str, paper: str) -> None:
    pixels, boxes = drawn({"OPEN DAILY": (60, 50), "coffee": (300, 300)}, ink=ink, paper=paper)
    found = read(reader, pixels)
    assert [text.replace(" ", "") for text in found.texts] == ["OPENDAILY", "coffee"]
    assert (found.scores > 0.8).all()
    overlaps = iou_matrix(quad_to_box(found.quads), np.array(boxes, np.float32))
    assert (np.diag(overlaps) > 0.5).all()
    assert found.quads.tolist() == order_quads(found.quads).tolist()


def test_reads_a_wide_banner_and_a_large_photograph(reader: RapidOcr) -> None:
    banner, _ = drawn({"WELCOME": (40, 8), "HOME": (2000, 8)}, size=(2500, 60))
    assert read(reader, banner).texts == ["WELCOME", "HOME"]
    poster = np.full((3000, 4000, 3), 250, np.uint8)
    sign = np.asarray(Picture.fromarray(drawn({"EXIT": (20, 20)}, size=(150, 90))[0]).resize((1500, 900)))
    poster[1500:2400, 2000:3500] = sign
    found = read(reader, poster)
    assert found.texts == ["EXIT"]
    box = quad_to_box(found.quads)[0]
    assert box[0] > 2000
    assert box[1] > 1500
    assert box[2] < 3500


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 50_000), (7, 9), (31, 33), (240, 320)])
@pytest.mark.parametrize("colour", [(255, 0, 0), (255, 255, 255), (0, 0, 0)])
def test_one_colour_has_no_text(reader: RapidOcr, shape: Place, colour: tuple[int, int, int]) -> None:
    found = read(reader, np.full((*shape, 3), colour, np.uint8))
    assert (list(found.texts), found.quads.shape, found.scores.shape) == ([], (0, 8), (0,))


def test_min_confidence_leaves_out(reader: RapidOcr) -> None:
    pixels, _ = drawn({"OPEN": (60, 50)})
    sure = RapidOcr(RapidOcrConfig(min_confidence=1.0))
    sure.load("cpu")
    assert len(read(reader, pixels).texts) == 1
    assert len(read(sure, pixels).texts) == 0


def test_the_models_are_the_wheels_own(reader: RapidOcr) -> None:
    installed = {Path(str(file.locate())).resolve() for file in files("rapidocr") or []}
    assert len(reader.weights()) == 3
    assert {path.resolve() for path in reader.weights()} <= installed


OFFLINE = """
import json, socket, sys, threading
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
written = []
def watch(event, args):
    if event == "open" and isinstance(args[0], str) and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        written.append(args[0])
sys.addaudithook(watch)
sys.dont_write_bytecode = True
import os
import cv2, numpy as np, onnxruntime, rapidocr
cv2.setNumThreads(1)
from engine.records import Image
from specialists.rapid_ocr import RapidOcr, RapidOcrConfig
made = RapidOcr(RapidOcrConfig())
before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
made.load("cpu")
pixels = np.full((64, 64, 3), 255, np.uint8)
made.read([Image("a", "", 64, 64, lambda: pixels)])
after = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
print(json.dumps({"written": [w for w in written if "rapidocr" in w], "threads": after - before}))
"""


def test_needs_no_network_says_nothing_and_starts_no_pool() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["written"] == []
    assert done.stderr == ""
    assert told["threads"] <= 0  # three sessions of one thread each work in the caller's
