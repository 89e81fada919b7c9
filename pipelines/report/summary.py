"""The head of the page: what OUT holds as a whole, and how it was made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.plan import load_plan
from engine.store import Store
from pipelines.config import ROLES
from pipelines.remember import recall
from pipelines.stats import stats


@dataclass(frozen=True, slots=True)
class Summary:
    """`found` is what `fld stats` says; `roles` (role, name, what it uses, its settings); `settings` (key, value)."""

    found: dict[str, Any]
    roles: list[tuple[str, str, str, str]]
    settings: list[tuple[str, str]]
    limits: dict[str, Any]
    fingerprint: str
    shards: int
    planned: int


def summarise(store: Store, shards: int) -> Summary:
    """Read what is published in OUT (`shards` of them), and the configuration it was built with.

    Raises:
        OutError: nothing is built or published here.
    """
    run = recall(store)
    plan = load_plan(store)
    parts = {key: value for key, value in run.config.items() if key not in ROLES}
    return Summary(
        found=stats(store.root),
        roles=list(_roles(run.config)),
        settings=list(_flat(parts)),
        limits=run.config.get("run", {}).get("limits", {}),
        fingerprint=next((node.fingerprint for node in run.graph.nodes if node.is_sink), ""),
        shards=shards,
        planned=plan.shards if plan else shards,
    )


def _roles(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for table, role in ROLES.items():
        entries = config.get(table) or {}
        named = {table: entries} if "uses" in entries else entries  # the parser is one table, not a table of names
        for name, entry in named.items():
            settings = (f"{key} = {value}" for key, value in _flat(entry) if key != "uses")
            yield role, name, str(entry.get("uses", "")), ", ".join(settings)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    """A page is given to others: of a file its name is shown, not where it lies on this machine."""
    if isinstance(value, str) and value.startswith("/"):
        return value.rstrip("/").rpartition("/")[2]
    return str(value).lower() if isinstance(value, bool) else str(value)
