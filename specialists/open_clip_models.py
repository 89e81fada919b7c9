"""What the specialists of open_clip share: its model folders, checkpoints and tokenizers.

Two layouts are read. A folder, as open_clip writes to a model hub, holds `open_clip_config.json`, the weights and, when
its text tower has a vocabulary of its own, a tokenizer. A single checkpoint file needs the name of its architecture.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from engine.errors import ConfigError, WeightsMissing
from specialists.base import SpecialistConfig
from specialists.checkpoints import require

if TYPE_CHECKING:
    import torch

DESCRIPTION: Final = "open_clip_config.json"
# In the order in which open_clip prefers them (factory.py, _find_checkpoint_in_dir).
CHECKPOINTS: Final = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
TOKENIZER: Final = "tokenizer.json"
_READ_WITH_TOKENIZER: Final = (".json", ".txt", ".model")
_SPACE_BEFORE: Final = re.compile(r"\s+(?=[.,:;!?)]|'(?:s|t|re|ve|m|ll|d)\b)")


class OpenClipConfig(SpecialistConfig):
    """Where a model of open_clip stands."""

    path: Path = Field(description=f"a folder with {DESCRIPTION} and weights, or a checkpoint file")
    model: str | None = Field(None, description="open_clip's name of the architecture, for a checkpoint file: ViT-B-32")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer of `size` tokens: `encode` gives ids (n, context), `decode` plain text.

    `bos` and `eos` begin and end a text, where it has such tokens; `silent` are those that no text says, the special ones.
    """

    encode: Callable[[list[str]], torch.Tensor]
    decode: Callable[[list[int]], str]
    bos: int | None
    eos: int | None
    silent: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Found:
    """The files that make a model, and open_clip's description of its architecture (`model_cfg`)."""

    files: list[Path]
    described: dict[str, Any]


def look(config: OpenClipConfig, example: str) -> Found:
    """Whether a model is there and can be loaded; nothing heavy is imported.

    `example` is the hub's name of a model that would do.

    Raises:
        WeightsMissing: a file is not there; one sentence says which, and how to get it.
        ConfigError: the architecture is not known, or cannot be loaded without a network.
    """
    path = config.path.expanduser()
    folder = path.parent if config.model else path
    how = f"where there is a network, `hf download {example} --local-dir {folder}` gets a model"
    described = _folder_described(path, how) if path.is_dir() else _file_described(path, config.model, how)
    text = described["text_cfg"]
    if text.get("hf_model_name"):
        raise ConfigError(
            f"{config.model or path} takes the shape of its text tower from a model hub, and a build uses no network. "
            "Choose an architecture of open_clip's own."
        )
    own_words = text.get("hf_tokenizer_name") or "siglip" in str(config.model).lower()
    if path.is_dir():
        weights = next((path / name for name in CHECKPOINTS if (path / name).is_file()), path / CHECKPOINTS[0])
        needed = [require(file, how) for file in ([weights, path / TOKENIZER] if own_words else [weights])]
        beside = (file for file in path.iterdir() if file.is_file() and file.suffix in _READ_WITH_TOKENIZER)
        return Found(sorted({*needed, *beside}), described)
    if own_words:
        raise WeightsMissing(
            f"{config.model} needs its tokenizer beside the checkpoint {path}: name a folder with {DESCRIPTION}, the "
            f"weights and {TOKENIZER} instead; {how}."
        )
    return Found([path], described)


def _folder_described(path: Path, how: str) -> dict[str, Any]:
    how = f"name the checkpoint itself as path and its architecture as model, or {how}"
    described = _read_json(require(path / DESCRIPTION, how)).get("model_cfg")
    if not isinstance(described, dict) or not all(
        isinstance(described.get(tower), dict) for tower in ("text_cfg", "vision_cfg")
    ):
        raise ConfigError(f"{path / DESCRIPTION} has no model_cfg with text_cfg and vision_cfg. Get it again.")
    return described


def _file_described(path: Path, model: str | None, how: str) -> dict[str, Any]:
    require(path, how)
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise WeightsMissing("open_clip's models need the package open_clip: pip install open_clip_torch.")
    known = Path(package.origin).parent / "model_configs"
    if model is None or not (known / f"{model}.json").is_file():
        names = ", ".join(sorted(file.stem for file in known.glob("*ViT-[BL]-[13]*.json")))
        raise ConfigError(
            f"{path} is a checkpoint, and open_clip knows no architecture {model!r} for it. "
            f'Write model = "NAME" beside its path; some names: {names}.'
        )
    return _read_json(known / f"{model}.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON ({error}). Get it again.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds a {type(found).__name__}, not an object. Get it again.")
    return found


def load_model(config: OpenClipConfig, device: str) -> Any:
    """The model with its weights, in evaluation mode, in single precision on `device`.

    Raises:
        ConfigError: the files do not fit each other or are damaged; the message has the library's first line.
    """
    _stay_offline()
    import open_clip

    path = config.path.expanduser()
    name, weights = (f"local-dir:{path}", None) if path.is_dir() else (config.model, str(path))
    try:  # another library's files can be wrong in any way
        model = open_clip.create_model(name, weights, require_pretrained=True, weights_only=True)
    except Exception as error:
        raise ConfigError(
            f"open_clip cannot load {path} ({_first_line(error)}). Get it again, or correct `model`."
        ) from error
    return model.to(device).eval().requires_grad_(False)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def load_vocabulary(config: OpenClipConfig, found: Found) -> Vocabulary:
    """The tokenizer of the model.

    Raises:
        ConfigError: its files are damaged.
    """
    _stay_offline()
    import open_clip

    path = config.path.expanduser()
    # Only a tokenizer of transformers takes this, and reading from a folder it would find nothing else anyway.
    local = {"local_files_only": True} if found.described["text_cfg"].get("hf_tokenizer_name") else {}
    try:  # another library's files can be wrong in any way
        tokenizer = open_clip.get_tokenizer(f"local-dir:{path}" if path.is_dir() else config.model, **local)
    except Exception as error:
        raise ConfigError(f"the tokenizer in {path} cannot be read ({_first_line(error)}). Get it again.") from error
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        bos, eos = tokenizer.sot_token_id, tokenizer.eot_token_id
        # 0 is what open_clip pads with; CoCa never learns to say it (loss.py, CoCaLoss).
        return Vocabulary(tokenizer, lambda ids: tidy(tokenizer.decode(ids)), bos, eos, (0, bos), tokenizer.vocab_size)
    inner = tokenizer.tokenizer
    bos = inner.cls_token_id if inner.bos_token_id is None else inner.bos_token_id
    eos = inner.sep_token_id if inner.eos_token_id is None else inner.eos_token_id
    return Vocabulary(
        tokenizer,
        lambda ids: tidy(inner.decode(ids, skip_special_tokens=True)),
        bos,
        eos,
        tuple(inner.all_special_ids),
        len(inner),
    )


def tidy(text: str) -> str:
    """Without the spaces that tokenizers leave before punctuation and endings: "a dog 's tail ." → "a dog's tail."."""
    return _SPACE_BEFORE.sub("", " ".join(text.split()))


def _stay_offline() -> None:
    """Hub libraries read these once, at their import; what is missing then raises instead of being fetched."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[name] = "1"
