"""Model files: found or named as missing, checked against their hash, and read without running what they hold.

A checkpoint that is a plain state dict is read with `weights_only=True`, which runs no code. A format that pickles
whole objects can run anything, so it is unpickled only when its sha256 is the one that the user wrote down; what must
be known of it earlier (its labels, its input size) is taken by `peek`, which builds hollow objects and runs nothing.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import ConfigError, WeightsMissing

if TYPE_CHECKING:
    import torch

_BLOCK: Final = 1 << 20
# Classes whose objects `peek` really builds: they hold values and do nothing. Protocol 2 calls builtins `__builtin__`.
_PLAIN: Final = {("collections", "OrderedDict"): OrderedDict} | {
    (module, cls.__name__): cls for module in ("builtins", "__builtin__") for cls in (set, frozenset, dict, list)
}


def require(path: Path, how: str) -> Path:
    """The file itself, with `~` expanded.

    Raises:
        WeightsMissing: there is no such file; `how` ends the sentence with the way to get it.
    """
    found = path.expanduser()
    if not found.is_file():
        raise WeightsMissing(f"there is no file {found}: {how}.")
    return found


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_sha256(path: Path, found: str, wanted: str | None) -> None:
    """Compare the hash of a pickled checkpoint with the one that its user trusts.

    Raises:
        ConfigError: none was written down, or another one; the message gives the hash of the file and what to write.
    """
    if wanted is None:
        raise ConfigError(
            f"{path} is a pickle, which can run any code when it is read. If you trust where it came from, "
            f'write sha256 = "{found}" beside its path.'
        )
    if found != wanted.lower():
        raise ConfigError(
            f"{path} has the sha256 {found}, not {wanted}: it is damaged or another file. "
            "Get it again, or correct sha256 if you trust it."
        )


def torch_load(path: Path) -> dict[str, Any]:
    """A state dict on the CPU, read without running code.

    Raises:
        ConfigError: the file is damaged, or holds more than tensors and plain values.
    """
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise anything; torch's own advice is to run what the file holds
        raise ConfigError(
            f"{path} is damaged, or holds more than the tensors of a state dict, which would run code. Get it again."
        ) from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds a {type(loaded).__name__}, not a state dict. Is it the right file?")
    return loaded


def peek(path: Path) -> Any:
    """What a torch checkpoint holds, without torch and without running anything in it.

    Dicts, lists, numbers and strings are themselves; any other object is hollow: its attributes can be read
    (`vars`), tensors are empty. Fast, because no tensor is read.

    Raises:
        ConfigError: the file is not a torch checkpoint (a zip file with a `data.pkl`), or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), "data.pkl")
            return _Peeking(io.BytesIO(archive.read(name))).load()
    except Exception as error:  # a hostile pickle can raise anything
        raise ConfigError(f"{path} is no torch checkpoint ({_first_line(error)}). Is it the right file?") from error


def load_weights(model: torch.nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Fill a model with a state dict, cast to the model's type (weights may be half precision).

    Raises:
        ConfigError: names or shapes differ.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            f"{path} does not fit the architecture that was asked for. Name the right one: {_shortened(error)}"
        ) from error


class _Hollow(dict[Any, Any]):
    """Stands for an object of any class and does nothing; `__dict__` takes what the pickle says of it."""

    def __new__(cls, *_: Any, **__: Any) -> _Hollow:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __hash__(self) -> int:  # type: ignore[override]  # may be an element of a set
        return id(self)

    def __call__(self, *_: Any, **__: Any) -> _Hollow:
        return _Hollow()

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...


class _Peeking(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _PLAIN.get((module, name), _Hollow)

    def persistent_load(self, _: Any) -> None:
        """Tensors' bytes stand in other members of the archive and are left there."""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _shortened(error: Exception) -> str:
    """torch lists every wrong name; the first three lines tell enough."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:600]
