"""Filters by name: the shipped ones, and the entry-point group `fld.filters` of other packages.

A filter is one function over the columns of a family, which says for every row keep or (reason, value, threshold), and
the class of its settings. A whole one, in a package of its own:

    from pydantic import Field
    from filters.decision import Decision, reject
    from filters.registry import FilterConfig, declare
    from filters.texts import TextColumns

    class QuestionsConfig(FilterConfig):
        '''Texts that ask.'''
        most: int = Field(0, ge=0, description="question marks that a text may have (our choice)")

    @declare("texts", "questions", QuestionsConfig, source="our choice")
    def questions(texts: TextColumns, config: QuestionsConfig) -> Decision:
        '''Reject texts that ask.'''
        marks = texts.count(r"[?]")
        return reject(marks > config.most, "question", marks, config.most)

Its pyproject.toml says `[project.entry-points."fld.filters"]` `questions = "its_module"`. A shipped filter is the same
in a module named in `SHIPPED`. Shipped filters are asked unless their settings say `enabled = false`; one of another
package is asked where the configuration names it: `[filters.texts.checks.questions]`. All settings are part of the
fingerprint of the decision; a filter whose answers change under the same settings gets a setting
`revision: Literal[2] = 2`. Functions are pure: no file, clock or network, the same rows give the same answer, and a row's
answer depends on the rows of its image alone.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError

from engine.errors import ConfigError, StageFailed
from filters.decision import Decision, first, keep

Family = Literal["texts", "phrases", "regions", "images"]
GROUP: Final = "fld.filters"
# Modules with shipped filters, in the order in which their reasons win.
SHIPPED: Final[Mapping[Family, tuple[str, ...]]] = {
    "texts": ("filters.wording", "filters.language", "filters.repetition", "filters.word_order"),
    "phrases": (),
    "regions": ("filters.region_checks",),
    "images": ("filters.images",),
}


class FilterConfig(BaseModel):
    """What every declared filter can be told; subclasses add their own keys. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="whether the filter is asked")


Chosen = dict[str, SerializeAsAny[FilterConfig]]
Judge = TypeVar("Judge", bound=Callable[..., Decision])


@dataclass(frozen=True, slots=True)
class FilterCard:
    """A declared filter: `judge(columns, config)` answers for every row; `source` is a section of the paper, or "our
    choice"."""

    family: Family
    name: str
    config: type[FilterConfig]
    judge: Callable[..., Decision]
    source: str
    about: str


_CARD: Final = "__fld_filter__"


def declare(family: Family, name: str, config: type[FilterConfig], *, source: str) -> Callable[[Judge], Judge]:
    """Label a function as the filter `name` of `family`; its first docstring line is what `fld` says about it."""

    def label(function: Judge) -> Judge:
        about = (function.__doc__ or "").strip().partition("\n")[0]
        setattr(function, _CARD, FilterCard(family, name, config, function, source, about))
        return function

    return label


@cache
def cards(family: Family) -> dict[str, FilterCard]:
    """Every known filter of a family by name: the shipped ones in their order, then others by name.

    Raises:
        ConfigError: two packages claim the same name.
    """
    found: dict[str, FilterCard] = {}
    for card in (*_cards_in(SHIPPED[family]), *_cards_in(e.module for e in _others())):
        if card.family != family:
            continue
        other = found.setdefault(card.name, card)
        if other.judge is not card.judge:
            raise ConfigError(
                f"two filters of {family} are called {card.name!r}: {other.judge.__module__} and "
                f"{card.judge.__module__}. Uninstall one, or rename it in its decorator."
            )
    return found


def choose(family: Family, said: Any) -> Chosen:
    """The filters of a family that a configuration gets: all shipped ones, with what was `said` of each by name.

    A pydantic validator (`mode="before"`) of the field `checks`; settings come as tables or as what this returned.

    Raises:
        ValueError: no table of tables, an unknown filter or key, or a value out of range.
        ConfigError: two packages claim the same name.
    """
    if not isinstance(said, Mapping):
        raise ValueError(f"write each filter as a table, [filters.{family}.checks.NAME]")
    known = cards(family)
    for name in said:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"there is no filter of {family} called {name!r}{hint} Known: {', '.join(known)}.")
    asked = [name for name, card in known.items() if name in said or card.judge.__module__ in SHIPPED[family]]
    return {name: _settings(known[name], said.get(name, {})) for name in asked}


def ask(family: Family, columns: Any, n: int, chosen: Mapping[str, FilterConfig]) -> Decision:
    """What the chosen filters say of `n` rows, in their order; the first reason wins.

    Raises:
        StageFailed: a filter answered for another number of rows.
        ConfigError: a filter is no longer installed.
    """
    answers = [keep(n)]
    for name, config in chosen.items():
        if not config.enabled:
            continue
        if name not in cards(family):
            raise ConfigError(f"the filter {name!r} of {family} is not installed here; install its package")
        answer = cards(family)[name].judge(columns, config)
        if len(answer) != n:
            raise StageFailed(f"the filter {name!r} of {family} judged {len(answer)} rows of {n}")
        answers.append(answer)
    return first(answers)


def _settings(card: FilterCard, said: Any) -> FilterConfig:
    if isinstance(said, card.config):
        return said
    try:
        return card.config.model_validate(said)
    except ValidationError as error:
        raise ValueError(f"{card.name}: {'; '.join(_problems(error, card.config))}") from None


def _problems(error: ValidationError, config: type[FilterConfig]) -> Iterable[str]:
    for item in error.errors():
        key = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            near = get_close_matches(key, config.model_fields, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(config.model_fields)}"
            yield f"unknown key {key!r}{hint}"
        else:
            yield f"{key or 'the table'}: {item['msg']} (got {item.get('input')!r})"


def _others() -> Iterable[Any]:
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _cards_in(modules: Iterable[str]) -> Iterable[FilterCard]:
    """Cards of functions that a module defines itself, in the order of their definition."""
    for name in modules:
        module = importlib.import_module(name)
        for value in list(vars(module).values()):
            card = getattr(value, _CARD, None)
            if isinstance(card, FilterCard) and card.judge.__module__ == name:
                yield card
