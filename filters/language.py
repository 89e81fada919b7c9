"""The filter of texts by language, by the library py3langid: only what a profile asks for."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from filters.decision import Decision, reject
from filters.registry import FilterConfig, declare
from filters.texts import TextColumns


class Language(FilterConfig):
    """Texts in other languages than those asked for. 100 MB and two seconds a worker, where it is asked."""

    enabled: bool = Field(False, description="whether the filter is asked (our choice: by profile)")
    allowed: tuple[str, ...] = Field(("en",), min_length=1, description="ISO 639 codes of the languages (our choice)")
    min_probability: float = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="lowest probability that a text is in one of them; short texts look like many (our choice)",
    )
    min_bytes: int = Field(
        16, ge=0, description="a text with fewer bytes in UTF-8 is too short to tell, and kept (our choice)"
    )

    @field_validator("allowed")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted({code for code in value if not (code.isalpha() and len(code) in (2, 3))}):
            raise ValueError(f"{', '.join(unknown)}: write codes of ISO 639, as 'en'")
        return value


@declare("texts", "language", Language, source="our choice (model: Lui and Baldwin 2012, langid)")
def language(texts: TextColumns, config: Language) -> Decision:
    """Reject texts that are in none of the languages asked for."""
    coded = pc.dictionary_encode(pc.fill_null(texts.text.cast(pa.string()), ""))
    probable = np.array([_probability(text, config.allowed) for text in coded.dictionary.to_pylist()], np.float64)
    size = pc.binary_length(coded.dictionary).to_numpy(zero_copy_only=False)
    probable[size < config.min_bytes] = 1.0
    value = probable[coded.indices.to_numpy(zero_copy_only=False)] if len(texts) else np.zeros(0)
    return reject(value < config.min_probability, "language", value, config.min_probability)


def _probability(text: str, allowed: tuple[str, ...]) -> float:
    return sum(float(value) for code, value in _identifier().rank(text) if code in allowed)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
