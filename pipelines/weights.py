"""The files whose content is part of a specialist."""

import hashlib
import os
from pathlib import Path

from engine.errors import WeightsMissing
from pipelines.config import Chosen

_BLOCK = 1 << 20


def weights_of(chosen: Chosen) -> dict[str, str]:
    """sha256 of every file whose content is part of the specialist.

    Raises:
        WeightsMissing: one is not there.
    """
    specialist = chosen.card.cls(chosen.config)
    paths = [Path(path) for path in specialist.weights()] if hasattr(specialist, "weights") else []
    folder = os.path.commonpath([path.parent for path in paths]) if paths else ""
    found: dict[str, str] = {}
    for path in paths:
        try:
            found[path.relative_to(folder).as_posix()] = _sha256(path)
        except OSError as error:
            raise WeightsMissing(
                f"{chosen.card.role} {chosen.name!r} needs {path}, which cannot be read ({error.strerror}). "
                "Correct the path in the configuration."
            ) from error
    return found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
