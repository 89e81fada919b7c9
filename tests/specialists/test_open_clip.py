"""CLIP scores and CoCa speaks as open_clip's own code would, only faster; what is missing is named before it is needed."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image as Picture
from safetensors.torch import save_file

from engine.errors import ConfigError, WeightsMissing
from engine.records import Image
from specialists.contract import check_specialist, photo
from specialists.open_clip_coca import Coca, CocaConfig
from specialists.open_clip_models import OpenClipConfig, tidy
from specialists.open_clip_pictures import prepare
from specialists.open_clip_scorer import OpenClipScorer
from tests.specialists import tiny_open_clip as tiny
from tests.specialists.plain_decoding import plain_decode

ROUNDING = 1e-5  # batches of other sizes are summed in another order


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.seeing_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def coca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.random_coca(tmp_path_factory.mktemp("coca"), seed=1)


@pytest.fixture(scope="module")
def seeing_coca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.seeing_coca(tmp_path_factory.mktemp("seeing"))


def loaded(cls: Any, path: Path, **given: Any) -> Any:
    made = cls(cls.Config(path=path, **given))
    made.load("cpu")
    return made


def image_of(pixels: NDArray[np.uint8]) -> Image:
    return Image("one", "", pixels.shape[1], pixels.shape[0], lambda: pixels)


def noise(count: int) -> list[Image]:
    """Pictures of noise, of different size and brightness."""
    random = np.random.default_rng(0)
    return [image_of((random.integers(0, 256, (40 + i, 50, 3)) // (1 + i % 3)).astype(np.uint8)) for i in range(count)]


def test_the_scorer_holds_the_contract(clip: Path) -> None:
    check_specialist(OpenClipScorer, "scorer", {"path": str(clip)}, tolerance=ROUNDING)


@pytest.mark.parametrize("given", [{}, {"beams": 3}])
def test_the_captioner_holds_the_contract(seeing_coca: Path, given: dict[str, int]) -> None:
    check_specialist(Coca, "captioner", {"path": str(seeing_coca), **given}, tolerance=ROUNDING)


def test_similarities_are_open_clips_own_cosines(clip: Path) -> None:
    pictures = [photo(), photo(300, 200), np.full((9, 9, 3), 200, np.uint8)]
    texts = [["a red dog", "a bird, flying"], ["a red dog"], ["the cat " * 40, "", "a red dog", "a red dog"]]
    found = loaded(OpenClipScorer, clip).score([image_of(p) for p in pictures], texts)
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip}")
    for picture, asked, given in zip(pictures, texts, found, strict=True):
        with torch.no_grad():
            seen = model.eval().encode_image(transform(Picture.fromarray(picture))[None], normalize=True)
            expected = model.encode_text(tokenizer(asked), normalize=True) @ seen[0]
        assert given == pytest.approx(expected.numpy(), abs=0.01)  # pixels may differ by a grey level


def test_words_are_compared_as_things_in_a_photograph(clip: Path) -> None:
    words = ["red square", "blue", "red square"]
    made = loaded(OpenClipScorer, clip)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip}")
    with torch.no_grad():
        own = model.eval().encode_text(tokenizer([f"a photo of a {word}" for word in words]), normalize=True)
    assert made.likeness(words) == pytest.approx((own @ own.T).numpy(), abs=1e-5)
    assert made.likeness([]).shape == (0, 0)


def test_colours_are_not_swapped(clip: Path) -> None:
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 255
    texts = [["a plain red picture", "a plain blue picture"]] * 2
    of_red, of_blue = loaded(OpenClipScorer, clip).score([image_of(red), image_of(red[..., ::-1])], texts)
    assert of_red[0] > of_red[1]
    assert of_blue[1] > of_blue[0]


def test_images_without_texts_are_not_even_decoded(clip: Path) -> None:
    def fail() -> NDArray[np.uint8]:
        raise OSError("not to be read")

    answers = loaded(OpenClipScorer, clip).score([Image("one", "", 5, 5, fail), noise(1)[0]], [[], ["a dog"]])
    assert [answer.shape for answer in answers] == [(0,), (1,)]


def test_a_coca_scores_too(coca: Path) -> None:
    [found] = loaded(OpenClipScorer, coca).score(noise(1), [["a dog", "a cat", "a dog"]])
    assert found[0] == found[2] != found[1]


def logits_after(model: Any, state: dict[str, torch.Tensor], prefix: list[int]) -> list[float]:
    """The whole context, padded, as in training; only some of open_clip's models read a shorter one."""
    padded = torch.tensor([prefix + [0] * (model.context_length - len(prefix))])
    seen = {"image_latent": state["image_features"], "image_embs": state["image_embs"]}
    logits: list[float] = model(None, padded, **seen, output_labels=False)["logits"][0, len(prefix) - 1].tolist()
    return logits


def said_plainly(folder: Path, config: CocaConfig, images: Sequence[Image]) -> list[tuple[str, float]]:
    """Captions by open_clip's model, which reads the whole text anew for each word."""
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    rules = loaded(Coca, folder, **config.model_dump(exclude={"path"}))._rules
    said = []
    for image in images:
        with torch.no_grad():
            pixels = prepare([image.pixels], PreprocessCfg(**model.visual.preprocess_cfg))
            state = model.eval()(pixels)
            words, score = plain_decode(lambda prefix, state=state: logits_after(model, state, prefix), rules)  # type: ignore[misc]
        known = (*tiny.SPECIAL, *tiny.WORDS)
        said.append((" ".join(known[word] for word in words), score))
    return said


@pytest.mark.parametrize(
    "given", [{}, {"beams": 3}, {"beams": 2, "min_tokens": 5, "repetition": 1.4, "max_tokens": 7}], ids=str
)
def test_cached_decoding_says_what_the_whole_model_says(coca: Path, given: dict[str, Any]) -> None:
    images = noise(8)
    expected = said_plainly(coca, CocaConfig(path=coca, **given), images)
    assert len({text for text, _ in expected}) > 3  # pictures are told apart
    assert len({len(text.split()) for text, _ in expected}) > 1  # some sentences end before others
    captioner = loaded(Coca, coca, **given)
    for said in (captioner.caption(images), [c for i in (0, 1, 5) for c in captioner.caption(images[i : i * 4 + 1])]):
        assert [c.texts for c in said] == [[tidy(text)] for text, _ in expected]
        assert [c.scores[0] for c in said] == pytest.approx([score for _, score in expected], abs=1e-4)
        assert {g for c in said for g in c.granularities} == {"brief"}


@pytest.mark.parametrize("change", [{"attentional_pool": False, "no_ln_pre": True}, {"pool_type": "avg"}], ids=str)
def test_other_cocas_of_open_clip_are_decoded_too(tmp_path: Path, change: dict[str, Any]) -> None:
    """Image tokens straight from the patches; texts without a class token; layer scale; wider heads."""
    described = json.loads(json.dumps(tiny.COCA))
    described["vision_cfg"] |= change
    described["text_cfg"] |= {"embed_cls": False, "ls_init_value": 0.5, "heads": 2}
    described["multimodal_cfg"] |= {"heads": 8, "ls_init_value": 0.7}
    folder = tiny.random_coca(tmp_path, described, seed=1)
    expected = said_plainly(folder, CocaConfig(path=folder), noise(4))
    assert [c.texts for c in loaded(Coca, folder).caption(noise(4))] == [[tidy(text)] for text, _ in expected]


@pytest.mark.parametrize("beams", [1, 2])
def test_says_what_it_has_learned_about_colours(seeing_coca: Path, beams: int) -> None:
    squares = [image_of(np.full((40, 50, 3), value, np.uint8)) for value in tiny.COLOURS.values()]
    said = loaded(Coca, seeing_coca, beams=beams).caption(squares)
    assert [c.texts for c in said] == [[f"a plain {name} picture, a thing."] for name in tiny.COLOURS]
    assert all(0.8 < c.scores[0] <= 1 for c in said)


def test_speaks_with_open_clips_own_vocabulary(tmp_path: Path) -> None:
    described = json.loads(json.dumps(tiny.COCA))
    described["text_cfg"] |= {"vocab_size": 49408}
    del described["text_cfg"]["hf_tokenizer_name"]
    folder = tiny.random_coca(tmp_path, described)
    assert [path.name for path in Coca(CocaConfig(path=folder)).weights()] == [
        "open_clip_config.json",
        "open_clip_model.safetensors",
    ]
    for caption in loaded(Coca, folder, max_tokens=4).caption(noise(2)):
        [text] = caption.texts
        assert text == tidy(text)
        assert "_of_text" not in text


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_checkpoint_file_needs_only_the_name_of_its_architecture(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt").eval()
    weights = {name: weight.half() for name, weight in model.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save({"state_dict": weights}, path)
    scorer = loaded(OpenClipScorer, path, model="ViT-S-32-alt")
    assert scorer.weights() == [path]
    [found] = scorer.score(noise(1), [["a dog"]])
    prepared = prepare([noise(1)[0].pixels], PreprocessCfg(**model.visual.preprocess_cfg))
    with torch.no_grad():
        seen = model.encode_image(prepared, normalize=True)[0]
        expected = model.encode_text(open_clip.tokenize(["a dog"]), normalize=True) @ seen
    assert found == pytest.approx(expected.numpy(), abs=1e-2)  # half precision


def broken_copy(folder: Path, copy: Path, change: Callable[[Path], object]) -> Path:
    shutil.copytree(folder, copy)
    change(copy)
    return copy


def described(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        path = folder / "open_clip_config.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return rewrite


MISSING: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "folder": (shutil.rmtree, WeightsMissing, "no file .*hf download laion/"),
    "weights": (lambda f: (f / "open_clip_model.safetensors").unlink(), WeightsMissing, "safetensors: where .*hf download"),
    "description": (lambda f: (f / "open_clip_config.json").unlink(), WeightsMissing, "config.json: name the checkpoint .*hf download"),
    "tokenizer": (lambda f: (f / "tokenizer.json").unlink(), WeightsMissing, "tokenizer.json: where .*hf download"),
    "no JSON": (lambda f: (f / "open_clip_config.json").write_text("{"), ConfigError, "config.json cannot be read"),
    "no model": (described(lambda d: d.pop("model_cfg")), ConfigError, "has no model_cfg"),
    "hub tower": (described(lambda d: d["model_cfg"]["text_cfg"].update(hf_model_name="x/y")), ConfigError, "no network"),
}  # fmt: skip
UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda f: (f / "open_clip_model.safetensors").write_bytes(b"\x10"), "cannot load .*Get it again"),
    "other": (described(lambda d: d["model_cfg"].update(embed_dim=16)), "cannot load .*size mismatch|cannot load"),
    "tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "the tokenizer in .* cannot be read"),
}


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("cls", [OpenClipScorer, Coca])
def test_says_what_is_missing_and_how_to_get_it(cls: Any, name: str, coca: Path, tmp_path: Path) -> None:
    change, error, message = MISSING[name]
    folder = broken_copy(coca, tmp_path / "copy", change)
    with pytest.raises(error, match=message) as raised:
        cls(cls.Config(path=folder)).weights()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", UNFIT)
def test_damaged_files_are_the_users_error(name: str, clip: Path, tmp_path: Path) -> None:
    change, message = UNFIT[name]
    with pytest.raises(ConfigError, match=message):
        loaded(OpenClipScorer, broken_copy(clip, tmp_path / "copy", change))


def test_an_architecture_that_does_not_fit_is_refused(clip: Path, coca: Path, tmp_path: Path) -> None:
    file = coca / "open_clip_model.safetensors"
    for config, error, message in (
        (CocaConfig(path=clip), ConfigError, "is no CoCa"),
        (CocaConfig(path=file), ConfigError, 'Write model = "NAME".*coca_ViT-B-32'),
        (CocaConfig(path=file, model="coca_ViT"), ConfigError, "no architecture 'coca_ViT'"),
        (CocaConfig(path=file, model="ViT-B-32"), ConfigError, "is no CoCa"),
        (CocaConfig(path=file, model="ViT-B-16-SigLIP"), WeightsMissing, "needs its tokenizer"),
        (CocaConfig(path=file, model="roberta-ViT-B-32"), ConfigError, "no network"),
    ):
        with pytest.raises(error, match=message):
            Coca(config).weights()
    unfit = described(lambda d: d["model_cfg"]["text_cfg"].update(no_causal_mask=True))
    with pytest.raises(ConfigError, match="no_causal_mask"):
        Coca(CocaConfig(path=broken_copy(coca, tmp_path / "copy", unfit))).weights()


def test_all_files_that_change_an_answer_are_weights(clip: Path) -> None:
    names = {path.name for path in OpenClipScorer(OpenClipConfig(path=clip)).weights()}
    assert names == {"open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(96, 128), (50, 33), (31, 100), (1, 1), (7, 3), (64, 64)])
def test_pictures_are_prepared_as_open_clip_does(mode: str, interpolation: str, shape: tuple[int, int]) -> None:
    wanted = PreprocessCfg((48, 48), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), resize_mode=mode, fill_color=9)
    wanted.interpolation = interpolation
    picture = (
        photo(*shape) if min(shape) > 8 else np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    )
    picture.flags.writeable = False
    expected = image_transform_v2(wanted, is_train=False)(Picture.fromarray(picture))
    levels = (prepare([picture], wanted)[0] - expected).abs() * torch.tensor(wanted.std)[:, None, None] * 255
    assert levels.max() < 1.01


def test_an_endless_strip_takes_no_endless_memory() -> None:
    strip = np.tile(np.arange(60_000, dtype=np.uint32).astype(np.uint8)[None, :, None], (2, 1, 3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prepared = prepare([strip, strip.transpose(1, 0, 2)], PreprocessCfg(224))
    assert prepared.shape == (2, 3, 224, 224)
    # 224 x 6,720,000 pixels would be 4.5 GB; kilobytes on Linux, bytes on macOS.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (1 << 20) * (
        1024 if sys.platform == "darwin" else 1
    )


OFFLINE = """
import json, socket, sys
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from specialists.open_clip_coca import Coca, CocaConfig
from specialists.open_clip_scorer import OpenClipConfig, OpenClipScorer
clip, coca = OpenClipScorer(OpenClipConfig(path=sys.argv[1])), Coca(CocaConfig(path=sys.argv[2]))
clip.weights(), coca.weights()
heavy = sorted({"torch", "transformers", "open_clip"} & set(sys.modules))
clip.load("cpu"), coca.load("cpu")
print(json.dumps(heavy))
"""


def test_looks_before_it_imports_and_needs_no_network(clip: Path, coca: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", OFFLINE, str(clip), str(coca)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_spaces_before_punctuation_go() -> None:
    assert tidy(" a dog 's tail , it does n't (  wag ) . ") == "a dog's tail, it does n't ( wag)."
