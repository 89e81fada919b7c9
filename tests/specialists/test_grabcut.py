"""GrabCut finds what differs in colour, refuses boxes without a shape, and beats filling the box."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import masks
from engine.records import Image
from specialists.grabcut import GrabCut, GrabCutConfig
from specialists.recorded import RecordedConfig, RecordedDetector

COCO50 = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco50"


def image_of(pixels: NDArray[np.uint8]) -> Image:
    return Image("one", "", pixels.shape[1], pixels.shape[0], lambda: pixels)


def disc(height: int, width: int, x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < radius**2


@pytest.fixture(scope="module")
def grabcut() -> GrabCut:
    made = GrabCut(GrabCutConfig())
    made.load("cpu")
    return made


@pytest.mark.parametrize(("x", "y", "radius"), [(100, 80, 40), (20, 20, 30), (150, 100, 12)])
def test_finds_a_disc(grabcut: GrabCut, x: float, y: float, radius: float) -> None:
    truth = disc(160, 220, x, y, radius)
    noise = np.random.default_rng(0).integers(0, 20, (160, 220, 3))
    pixels = (np.where(truth[..., None], (200, 40, 30), (40, 120, 160)) + noise).astype(np.uint8)
    box = np.array([[x - radius, y - radius, x + radius, y + radius]], np.float32)
    [found] = grabcut.segment([image_of(pixels)], [box])
    assert found.masks[0] is not None
    mask = masks.decode(found.masks[0], 160, 220)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


@pytest.mark.parametrize(
    "box",
    [(10, 10, 10, 20), (10, 10, 11, 30), (-50, -50, -10, -10), (5, 5, np.nan, 9), (30, 30, 20, 20), (900, 0, 950, 9)],
)
def test_a_box_without_a_shape_has_no_mask(grabcut: GrabCut, box: tuple[float, ...]) -> None:
    [found] = grabcut.segment([image_of(np.zeros((60, 80, 3), np.uint8))], [np.array([box], np.float32)])
    assert found.masks == [None]
    assert found.scores.tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 90), st.integers(3, 90), st.data())
def test_any_box_gives_a_mask_inside_it(height: int, width: int, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    x0, y0 = data.draw(st.floats(-5, width - 2.5)), data.draw(st.floats(-5, height - 2.5))
    x1, y1 = data.draw(st.floats(max(x0, 0) + 2.2, width + 9)), data.draw(st.floats(max(y0, 0) + 2.2, height + 9))
    box = np.array([[x0, y0, x1, y1]], np.float32)
    made = GrabCut(GrabCutConfig(size=48))
    [found] = made.segment([image_of(pixels)], [box])
    if found.masks[0] is None:
        return
    mask = masks.decode(found.masks[0], height, width)
    rows, columns = np.nonzero(mask)
    assert columns.min() >= np.floor(x0)
    assert rows.min() >= np.floor(y0)
    assert columns.max() < np.ceil(x1)
    assert rows.max() < np.ceil(y1)
    assert 0 <= found.scores[0] <= 1


def test_one_colour_image(grabcut: GrabCut) -> None:
    [found] = grabcut.segment(
        [image_of(np.full((50, 50, 3), 7, np.uint8))], [np.array([[0, 0, 50, 50], [10, 10, 40, 13]], np.float32)]
    )
    assert all(code is None or masks.is_valid(code, 50, 50) for code in found.masks)


def test_beats_filling_the_box_on_coco() -> None:
    if not COCO50.is_dir():
        pytest.skip("needs the shared COCO sample (../shared/data/coco50)")
    from PIL import Image as Picture

    names = sorted(p.name for p in (COCO50 / "images").iterdir())
    images = [image_of(np.asarray(Picture.open(COCO50 / "images" / name).convert("RGB"))) for name in names]
    for image, name in zip(images, names, strict=True):
        image.image_id = name
    truth = RecordedDetector(RecordedConfig(path=COCO50 / "instances.json", format="coco", gold=True)).detect(images)
    grabcut = GrabCut(GrabCutConfig())
    started = time.perf_counter()
    answers = grabcut.segment(images, [regions.boxes for regions in truth])
    elapsed = time.perf_counter() - started
    ours, filled = [], []
    for image, regions, answer in zip(images, truth, answers, strict=True):
        for i, code in enumerate(regions.masks or []):
            if (regions.crowd is not None and regions.crowd[i]) or code is None:
                continue
            true = masks.decode(code, image.height, image.width)
            x0, y0, x1, y1 = regions.boxes[i]
            full = np.zeros_like(true)
            full[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
            found = answer.masks[i]
            mask = np.zeros_like(true) if found is None else masks.decode(found, image.height, image.width)
            ours.append((mask & true).sum() / (mask | true).sum())
            filled.append((full & true).sum() / (full | true).sum())
    print(
        f"mean IoU {np.mean(ours):.3f}, filled boxes {np.mean(filled):.3f}, {1000 * elapsed / len(ours):.1f} ms a box"
    )
    assert np.mean(ours) > np.mean(filled) + 0.05
