"""Finds specialists: every module of this package, and the entry-point group `fld.specialists` of others."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import specialists
from engine.errors import ConfigError, WeightsMissing
from specialists.base import CARDS, Card, Role

GROUP = "fld.specialists"


@cache
def cards() -> dict[tuple[Role, str], Card]:
    """Every known specialist by (role, name).

    Raises:
        ConfigError: two packages claim the same name for the same role.
    """
    found: dict[tuple[Role, str], Card] = {}
    for module in _modules():
        for card in _cards_of(module):
            other = found.setdefault((card.role, card.name), card)
            if other.cls is not card.cls:
                raise ConfigError(
                    f"two {card.role}s are called {card.name!r}: {other.cls.__module__} and {card.cls.__module__}. "
                    "Uninstall one, or rename it in its decorator."
                )
    return found


def card_for(role: Role, name: str) -> Card:
    """The card of specialist `name` in `role`.

    Raises:
        ConfigError: nobody has that name; the nearest names are given.
        WeightsMissing: a package it needs is not installed.
    """
    known = cards()
    card = known.get((role, name))
    if card is None:
        names = sorted(n for r, n in known if r == role)
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        roles = sorted(r for r, n in known if n == name)
        if roles:
            hint += f" ({name!r} exists as {', '.join(roles)}.)"
        raise ConfigError(f"there is no {role} called {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
    missing = missing_packages(card)
    if missing:
        raise WeightsMissing(f"{role} {name!r} needs {', '.join(missing)}: pip install {' '.join(missing)}.")
    return card


def catalogue() -> list[dict[str, Any]]:
    """What `fld specialists` shows: role, name, weights, licence, what is installed, one line about it."""
    return [
        {
            "role": card.role,
            "name": card.name,
            "weights": card.weights,
            "licence": card.licence,
            "installed": not missing_packages(card),
            "missing": missing_packages(card),
            "about": card.about,
        }
        for _, card in sorted(cards().items())
    ]


def missing_packages(card: Card) -> list[str]:
    """Import names in `card.needs` that are not installed; nothing is imported."""
    return [name for name in card.needs if importlib.util.find_spec(name) is None]


def _modules() -> Iterable[ModuleType]:
    for info in pkgutil.iter_modules(specialists.__path__):
        if not info.ispkg:
            yield importlib.import_module(f"specialists.{info.name}")
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        yield importlib.import_module(entry.module)


def _cards_of(module: ModuleType) -> Iterable[Card]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield from value.__dict__.get(CARDS, ())
