"""Segment Anything: the library's own masks, by our batches, from public architectures and from small ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import masks
from engine.errors import ConfigError, WeightsMissing
from engine.records import Image
from pipelines.config import load_config
from pipelines.graph import fld_graph
from specialists.contract import check_specialist, photo
from specialists.sam import (
    PUBLIC,
    SamArchitecture,
    SamConfig,
    SegmentAnything,
    build_sam,
    predict_masks,
    save_sam,
    to_input,
    to_input_boxes,
)

TINY = SamArchitecture(
    image_size=128,
    patch_size=16,
    embed_dim=32,
    depth=2,
    heads=2,
    window_size=3,
    global_attention_layers=(1,),
    out_channels=32,
    decoder_heads=2,
    decoder_mlp_dim=64,
    iou_head_dim=32,
)
BOXES = np.array([[10, 20, 60, 80], [70.5, 3.2, 120.7, 90.9], [0, 0, 128, 96], [30, 30, 34, 33]], np.float32)


def tiny(seed: int = 1) -> Any:
    """A random SAM whose masks have an inside and an outside: fresh weights give logits near 0."""
    import torch

    torch.manual_seed(seed)
    sam = build_sam(TINY)
    with torch.no_grad():
        for weight in sam.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.25)
    return sam


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam") / "sam.pth"
    save_sam(tiny(), TINY, path)
    return path


def loaded(path: Path) -> SegmentAnything:
    made = SegmentAnything(SamConfig(path=path, model="json"))
    made.load("cpu")
    return made


def image_of(pixels: NDArray[np.uint8]) -> Image:
    return Image("one", "", pixels.shape[1], pixels.shape[0], lambda: pixels)


def by_the_library(sam: Any, pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> tuple[Any, Any]:
    """The masks (n, h, w) and predicted IoU (n,) of the library's own predictor."""
    import torch
    from segment_anything import SamPredictor

    predictor = SamPredictor(sam)
    predictor.set_image(pixels)
    asked = predictor.transform.apply_boxes_torch(torch.from_numpy(boxes), pixels.shape[:2])
    found, scores, _ = predictor.predict_torch(None, None, boxes=asked, multimask_output=False)
    return found[:, 0].numpy(), scores[:, 0].numpy()


@pytest.mark.parametrize("size", [(96, 128), (300, 200), (50, 40)])
def test_the_masks_are_the_librarys_near_their_boxes(file: Path, size: tuple[int, int]) -> None:
    pixels = photo(*size)
    boxes = BOXES * np.array([size[1] / 128, size[0] / 96] * 2, np.float32)
    segmenter = loaded(file)
    [found] = segmenter.segment([image_of(pixels)], [boxes])
    wanted, scores = by_the_library(segmenter._sam, pixels, boxes)
    assert 0.05 < wanted.mean() < 0.95
    for code, whole, box in zip(found.masks, wanted, boxes, strict=True):
        margin = np.tile(np.maximum((box[2:] - box[:2]) * 0.1, 2), 2)  # a tenth of the sides, two pixels at least
        x0, y0, x1, y1 = box + margin * [-1, -1, 1, 1]
        x, y = np.arange(size[1]), np.arange(size[0])[:, None]
        near = (x + 1 > x0) & (x < x1) & (y + 1 > y0) & (y < y1)
        expected = whole & near
        drawn = masks.decode(code, *size) if code else np.zeros(size, np.bool_)
        assert (drawn != expected).sum() <= 2  # values of exactly 0 may round to either side
    empty = np.array([code is None for code in found.masks])
    assert np.allclose(found.scores[~empty], np.clip(scores, 0, 1)[~empty], atol=1e-4)
    assert (found.scores[empty] == 0).all()


def test_holds_the_contract(file: Path) -> None:
    check_specialist(SegmentAnything, "segmenter", {"path": file, "model": "json"})


def test_boxes_without_area_and_outside_get_nothing(file: Path) -> None:
    asked = np.array([[5, 5, 5, 9], [-9, -9, -1, -1], [9, 9, 4, 4], [200, 0, 300, 50], [np.nan] * 4], np.float32)
    [found] = loaded(file).segment([image_of(photo())], [asked])
    assert list(found.masks) == [None] * 5
    assert found.scores.tolist() == [0] * 5


def test_many_boxes_are_decoded_in_pieces_and_alike(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.random.default_rng(2).uniform(0, 60, (40, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2] + 5
    segmenter = loaded(file)
    [whole] = segmenter.segment([image_of(photo())], [boxes])
    monkeypatch.setattr("specialists.sam._VALUES_AT_ONCE", 7 * 32 * 8 * 8)
    [pieces] = segmenter.segment([image_of(photo())], [boxes])
    assert np.allclose(whole.scores, pieces.scores, atol=1e-5)
    areas = [
        masks.area([c or masks.encode(np.zeros((96, 128), np.bool_)) for c in m.masks], 96, 128)
        for m in (whole, pieces)
    ]
    assert np.abs(areas[0] - areas[1]).max() <= 2


def test_red_is_not_blue(file: Path) -> None:
    red = to_input(np.full((10, 20, 3), (255, 0, 0), np.uint8), 40)
    # (255 - 123.675) / 58.395, (0 - 116.28) / 57.12, (0 - 103.53) / 57.375; the image is 20 pixels high, then comes 0
    assert np.allclose(red[:, 0, 0], [2.2489, -2.0357, -1.8044], atol=1e-4)
    assert (red[:, :20] != 0).all()
    assert (red[:, 20:] == 0).all()


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_public_architectures_fit_the_public_weights(name: str) -> None:
    """The library's registry and ours make the same parameters, so its checkpoints load."""
    import torch
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        ours, theirs = build_sam(PUBLIC[name]), sam_model_registry[name]()
    assert {n: p.shape for n, p in ours.state_dict().items()} == {n: p.shape for n, p in theirs.state_dict().items()}
    assert [b.window_size for b in ours.image_encoder.blocks] == [b.window_size for b in theirs.image_encoder.blocks]
    assert [b.attn.num_heads for b in ours.image_encoder.blocks] == [
        b.attn.num_heads for b in theirs.image_encoder.blocks
    ]


def test_a_batch_learns() -> None:
    """Several images with several boxes each: the same answers as one by one, and gradients reach every part."""
    import torch

    sam = tiny(3).train()
    inputs = torch.from_numpy(np.stack([to_input(photo(), 128), to_input(photo(200, 90), 128)]))
    boxes = [
        torch.from_numpy(to_input_boxes(BOXES, 96, 128, 128)),
        torch.from_numpy(to_input_boxes(BOXES[:1], 200, 90, 128)),
    ]
    embeddings = sam.image_encoder(inputs)
    logits, ious = predict_masks(sam, embeddings, boxes)
    assert (logits.shape, ious.shape) == ((5, 32, 32), (5,))
    last_logits, last_iou = predict_masks(sam, embeddings[1:], boxes[1:])
    assert torch.allclose(logits[4:], last_logits, atol=1e-4)
    assert torch.allclose(ious[4:], last_iou, atol=1e-4)
    (logits.square().mean() + ious.square().mean()).backward()
    for part in (sam.image_encoder, sam.mask_decoder.transformer, sam.mask_decoder.iou_prediction_head):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def graph_of(config: Path, lines: str) -> None:
    config.write_text(f'[segmenters.s]\nuses = "segment_anything"\n{lines}\n')
    fld_graph(load_config(str(config), None))


def test_what_is_missing_is_said_before_any_job(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "fld.toml"
    with pytest.raises(WeightsMissing, match=r"no file .*/gone\.pth: get sam_vit_l_0b3195\.pth from https://"):
        graph_of(config, 'path = "gone.pth"\nmodel = "vit_l"')
    alone = tmp_path / "alone.pth"
    alone.write_bytes(file.read_bytes())
    with pytest.raises(WeightsMissing, match=r'alone\.json: model = "json" needs it'):
        graph_of(config, f'path = "{alone}"\nmodel = "json"')
    graph_of(config, f'path = "{file}"\nmodel = "json"')


def test_wrong_files_are_explained(file: Path, tmp_path: Path) -> None:
    small = tmp_path / "sam.pth"
    save_sam(tiny(), TINY.model_copy(update={"depth": 3}), small)
    with pytest.raises(ConfigError, match=r"sam\.pth does not fit the architecture .*blocks\.2"):
        loaded(small)
    for text, why in [("{", "not JSON"), ('{"depht": 3}', "depht: Extra"), ('{"embed_dim": 31}', "multiple of heads")]:
        (tmp_path / "sam.json").write_text(text)
        with pytest.raises(ConfigError, match=f"sam.json is no architecture of a SAM: .*{why}"):
            loaded(small)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(file.read_bytes()[:2000])
    broken.with_suffix(".json").write_text(TINY.model_dump_json())
    with pytest.raises(ConfigError, match=r"broken\.pth is damaged"):
        loaded(broken)
