"""Parser: a spaCy pipeline, the shipped one or one the user has installed.

spaCy's own English models speak CLEAR labels; their trees are rewritten to Universal Dependencies
(`specialists.clear_to_ud`), so what follows never sees the difference.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import ConfigError, WeightsMissing
from engine.tokens import Tokens
from specialists.base import SpecialistConfig, specialist
from specialists.clear_to_ud import clear_to_ud, speaks_clear

if TYPE_CHECKING:
    from spacy.language import Language

SHIPPED = Path(__file__).parent / "models" / "parser" / "en_ewt"
_UNUSED = ["ner", "entity_linker", "entity_ruler", "span_ruler", "spancat", "textcat", "textcat_multilabel"]
_COLUMNS = ["IDX", "LENGTH", "LEMMA", "POS", "TAG", "HEAD", "DEP"]  # of Doc.to_array; HEAD is relative to the token
_log = logging.getLogger(__name__)


@specialist(
    "spacy",
    "parser",
    needs=("spacy",),
    licence="MIT; shipped model CC BY-SA 4.0",
    weights="shipped (9 MB)",
    pixels=False,
)
class SpacyParser:
    """A spaCy pipeline with tagger, lemmatizer and dependency parser; the shipped English one by default."""

    class Config(SpecialistConfig):
        """`model`: "default", the name of an installed spaCy package (en_core_web_sm, en_core_web_trf), or a model
        folder."""

        model: str = "default"
        batch_size: int = Field(256, ge=1, description="texts for one call of the pipeline")
        max_chars: int = Field(20_000, ge=1, description="a longer text is parsed up to here, and the log says so")

    def __init__(self, config: Config) -> None:
        self.config = config
        self._nlp: Language | None = None
        self._clear = False

    def load(self, device: str) -> None:
        """Import spaCy and read the model. A GPU is used for a model other than the shipped one, when spaCy can use
        it.

        Raises:
            WeightsMissing: no such model; the message says how to get it.
            ConfigError: the model does not tag, lemmatise and parse.
        """
        folder = self._folder()
        import spacy  # 2 s, and torch with it

        if device.startswith("cuda") and folder != SHIPPED:
            spacy.prefer_gpu()
        nlp = spacy.load(folder, exclude=_UNUSED)
        if not nlp.has_pipe("parser"):
            raise ConfigError(
                f"the spaCy model {self.config.model} has no parser (it has {', '.join(nlp.pipe_names) or 'no pipes'}); "
                'name one that tags, lemmatises and parses, or leave `model = "default"`'
            )
        self._clear = speaks_clear(nlp.get_pipe("parser").labels)
        self._nlp = nlp

    def weights(self) -> Sequence[Path]:
        """The files of the model, sorted; what its identity is made of."""
        return sorted(path for path in self._folder().rglob("*") if path.is_file() and "__pycache__" not in path.parts)

    def parse(self, texts: Sequence[str]) -> Tokens:
        """Tokens of `texts`, in order. White space gives no tokens: the pipeline reads single spaces, and spans are
        mapped back."""
        nlp = self._loaded()
        squeezed = [_squeeze(text, self.config.max_chars) for text in texts]
        if cut := sum(len(text) > self.config.max_chars for text in texts):
            _log.warning(
                "%d of %d texts are longer than max_chars=%d and parsed up to there",
                cut,
                len(texts),
                self.config.max_chars,
            )
        with nlp.memory_zone():
            pages = [
                doc.to_array(_COLUMNS)
                for doc in nlp.pipe((text for text, _ in squeezed), batch_size=self.config.batch_size)
            ]
            tokens = self._tokens(pages)
        for at, (_, origin) in enumerate(squeezed):
            if origin is not None:
                here = slice(tokens.offsets[at], tokens.offsets[at + 1])
                tokens.start[here] = origin[tokens.start[here]]
                tokens.end[here] = origin[tokens.end[here] - 1] + 1
        return tokens

    def _tokens(self, pages: list[NDArray[np.uint64]]) -> Tokens:
        """The record of a batch, from what `Doc.to_array` gave for each text."""
        sizes = np.fromiter(map(len, pages), dtype=np.int64, count=len(pages))
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = (
            np.concatenate([page.reshape(-1, len(_COLUMNS)) for page in pages])
            if pages
            else np.zeros((0, len(_COLUMNS)), np.uint64)
        )
        numbers = flat.view(np.int64)
        start = numbers[:, 0].astype(np.int32)
        head = numbers[:, 5] + np.arange(len(flat)) - np.repeat(offsets[:-1], sizes)
        tokens = Tokens(
            offsets=offsets,
            start=start,
            end=start + numbers[:, 1].astype(np.int32),
            lemma=self._strings(flat[:, 2]),
            upos=self._strings(flat[:, 3]),
            tag=self._strings(flat[:, 4]),
            head=head.astype(np.int32),
            dep=["root" if dep == "ROOT" else dep for dep in self._strings(flat[:, 6])],
        )
        return clear_to_ud(tokens) if self._clear else tokens

    def _strings(self, keys: NDArray[np.uint64]) -> list[str]:
        unique, inverse = np.unique(keys, return_inverse=True)
        names = np.array([self._loaded().vocab.strings[int(key)] for key in unique], dtype=object)
        found: list[str] = names[inverse].tolist()
        return found

    def _loaded(self) -> Language:
        if self._nlp is None:
            self.load("cpu")
        if self._nlp is None:
            raise RuntimeError("load left no pipeline")
        return self._nlp

    def _folder(self) -> Path:
        """Where the model lies: the shipped folder, a path, or the data folder of an installed package."""
        name = self.config.model
        if name == "default":
            if not (SHIPPED / "config.cfg").is_file():
                raise WeightsMissing(
                    f"the shipped parser is not at {SHIPPED}; train it with `make parser`, or name an installed model"
                )
            return SHIPPED
        if (Path(name) / "config.cfg").is_file():
            return Path(name)
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        places = spec.submodule_search_locations if spec is not None else None
        configs = [config for place in places or () for config in sorted(Path(place).glob("*/config.cfg"))]
        if not configs:
            raise WeightsMissing(
                f"spaCy model {name} is not installed: `python -m spacy download {name}` fetches it (with no network, "
                "pip install its wheel from the releases of spacy-models). A folder must hold config.cfg. "
                'Nothing is needed for `model = "default"`.'
            )
        return configs[0].parent


def _squeeze(text: str, limit: int) -> tuple[str, NDArray[np.int32] | None]:
    """(the text with single spaces only, at most `limit` characters of the original; for each of its characters the
    original place, None where nothing moved)."""
    text = text[:limit]
    squeezed = " ".join(text.split())
    if squeezed == text:
        return text, None
    spaces = np.fromiter(map(str.isspace, text), dtype=np.bool_, count=len(text))
    keep = ~spaces
    keep[1:] |= spaces[1:] & ~spaces[:-1]
    kept = np.flatnonzero(keep)
    first = int(np.argmax(~spaces[kept])) if len(kept) else 0
    return squeezed, kept[first : first + len(squeezed)].astype(np.int32)
