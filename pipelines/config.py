"""The configuration: TOML into pydantic, unknown keys refused with the nearest right one.

Tables by role (`[detectors.NAME]` …) each say `uses = "<registry name>"`; the rest of such a table is the
specialist's own `Config`. `[consensus.*]`, `[filters.*]`, `[crews.*]` and `[run]` follow.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import ConfigError
from engine.images import Limits
from engine.sources import SourceOptions
from pipelines.decide.config import Consensus, Filters
from specialists.base import LOCATIONS, Card, Role, SpecialistConfig
from specialists.registry import card_for

# Table name → role. `parser` is one table, not a table of names.
ROLES: dict[str, Role] = {
    "detectors": "detector",
    "readers": "reader",
    "captioners": "captioner",
    "grounders": "grounder",
    "segmenters": "segmenter",
    "scorers": "scorer",
    "writers": "writer",
    "parser": "parser",
}
# What a configuration gets for a role that it does not mention. An empty table (`[writers]`) means none.
DEFAULTS: dict[str, dict[str, Any]] = {
    "parser": {"uses": "spacy"},
    "segmenters": {"grabcut": {"uses": "grabcut"}},
    "grounders": {"label_match": {"uses": "label_match"}},
    "writers": {"template": {"uses": "template"}},
}
# Tables whose specialists are votes of one column, or have texts in one table: a name must mean one of them.
_TOGETHER = (
    ("captioners", "writers"),
    ("detectors", "readers"),
    ("detectors", "segmenters"),
    ("grounders", "writers"),
)
# Names become folders of OUT and parts of ids.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
GPU_FRACTIONS = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0)


class Section(BaseModel):
    """A table of the configuration: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CrewConfig(Section):
    """Stages that share worker processes."""

    stages: tuple[str, ...] = Field(description="stage names, `detect.*` style patterns allowed")
    workers: int | None = Field(None, ge=1, description="processes; as many as fit when not given")
    cpus: float = Field(1.0, gt=0, description="CPU cores of one worker")
    gpus: float = Field(0.0, description="part of a GPU of one worker: 0, or 1/2^n")

    @field_validator("gpus")
    @classmethod
    def _fits_a_gpu(cls, value: float) -> float:
        """Other fractions leave a remainder of each GPU that nobody can use."""
        if value not in GPU_FRACTIONS:
            raise ValueError(f"must be one of {', '.join(f'{f:g}' for f in GPU_FRACTIONS)}")
        return value


class RunConfig(Section):
    """How a run is carried out. Nothing here but `limits` changes an annotation."""

    shard_size: int = Field(512, ge=1, description="images in a shard, the unit of work, retry and commit")
    attempts: int = Field(2, ge=1, description="how often a single failing image is tried")
    job_deadline_s: float = Field(1800.0, gt=0, description="seconds for one job; a part of a shard gets its part")
    load_deadline_s: float = Field(1800.0, gt=0, description="seconds for a stage to load its model")
    limits: Limits = Field(Limits(), description="what one image may cost")


class Config(Section):
    """A whole configuration, checked; specialists are checked by `specialists_of`."""

    detectors: dict[str, dict[str, Any]] = Field({}, description="images → regions")
    readers: dict[str, dict[str, Any]] = Field({}, description="images → text quads")
    captioners: dict[str, dict[str, Any]] = Field({}, description="images or crops → texts")
    grounders: dict[str, dict[str, Any]] = Field(DEFAULTS["grounders"], description="images + phrases → boxes")
    segmenters: dict[str, dict[str, Any]] = Field(DEFAULTS["segmenters"], description="images + boxes → masks")
    scorers: dict[str, dict[str, Any]] = Field({}, description="images or crops + texts → similarities")
    writers: dict[str, dict[str, Any]] = Field(DEFAULTS["writers"], description="annotations → detailed texts")
    parser: dict[str, Any] = Field(DEFAULTS["parser"], description="text → tokens")
    consensus: Consensus = Field(Consensus(), description="how specialists are weighed")
    filters: Filters = Field(Filters(), description="what is rejected")
    source: SourceOptions = Field(SourceOptions(), description="how SOURCE is read")
    crews: dict[str, CrewConfig] = Field({}, description="which stages share processes")
    run: RunConfig = Field(RunConfig(), description="how a run is carried out")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A specialist that the configuration chose: its name there, its card and its own configuration."""

    name: str
    card: Card
    config: SpecialistConfig


def load_config(path: str | None, profile: str | None, overrides: Sequence[str] = ()) -> Config:
    """Read a file or a profile of the package, apply `a.b=value` overrides, and check.

    Raises:
        ConfigError: no such file or profile, bad TOML, unknown keys, values out of range.
    """
    if path is not None:
        where, text, folder = path, _read(Path(path)), Path(path).parent
    else:
        name = profile or "default"
        where, text, folder = f"profile {name}", _profile(name), Path(str(files("pipelines") / "profiles"))
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    _resolve_paths(data, folder)
    for override in overrides:
        change(data, override)
    _resolve_paths(data, Path.cwd())
    return parse_config(data, where)


def parse_config(data: Mapping[str, Any], where: str) -> Config:
    """Check a configuration that is already a dictionary.

    Raises:
        ConfigError: the first things that are wrong with it, each with its place and the remedy.
    """
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error, where, Config)) from error
    specialists_of(config, where)
    return config


def specialists_of(config: Config, where: str = "configuration") -> dict[str, list[Chosen]]:
    """The specialists of each role table, their own tables checked.

    Raises:
        ConfigError: an unknown specialist or key.
        WeightsMissing: a package that one needs is not installed.
    """
    chosen: dict[str, list[Chosen]] = {}
    for table, role in ROLES.items():
        entries = getattr(config, table)
        for name in entries if table != "parser" else ():
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{where}: [{table}.{name}]: a name is made of letters, digits, '_' and '-'")
        named = {"parser": entries} if table == "parser" else entries
        # Sorted: in which order a file names its specialists must not change an annotation.
        chosen[table] = [_chosen(table, role, name, entry, where) for name, entry in sorted(named.items()) if entry]
    for one, other in _TOGETHER:
        clash = {c.name for c in chosen[one]} & {c.name for c in chosen[other]}
        if clash:
            names = f"a {ROLES[one]} and a {ROLES[other]}"
            raise ConfigError(f"{where}: {names} are both called {min(clash)!r}; rename one")
    return chosen


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """pydantic's errors in our words: place, what is wrong, the nearest right key."""
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = list(_keys_at(model, item["loc"][:-1]))
            near = get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"
            lines.append(f"{where}: unknown key {place!r}{hint}")
        else:
            lines.append(f"{where}: {place or 'the table'}: {item['msg']} (got {item.get('input')!r})")
    return "\n".join(lines)


def profiles() -> list[str]:
    """Names of the profiles that ship with the package."""
    folder = files("pipelines") / "profiles"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def explained(config: Config) -> Iterator[tuple[str, Any, str]]:
    """Every setting as (dotted key, value, description), defaults included, specialists' own too."""
    for table, entries in specialists_of(config).items():
        for chosen in entries:
            prefix = table if table == "parser" else f"{table}.{chosen.name}"
            yield f"{prefix}.uses", chosen.card.name, chosen.card.about
            yield from _settings(chosen.config, prefix)
    for section in ("consensus", "filters", "source", "run"):
        yield from _settings(getattr(config, section), section)
    for name, crew in config.crews.items():
        yield from _settings(crew, f"crews.{name}")


def _settings(model: BaseModel, prefix: str) -> Iterator[tuple[str, Any, str]]:
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _settings(value, f"{prefix}.{name}")
        elif isinstance(value, Mapping) and any(isinstance(part, BaseModel) for part in value.values()):
            for key, part in value.items():
                yield from _settings(part, f"{prefix}.{name}.{key}")
        else:
            yield f"{prefix}.{name}", value, info.description or ""


def _chosen(table: str, role: Role, name: str, entry: Mapping[str, Any], where: str) -> Chosen:
    place = table if table == "parser" else f"{table}.{name}"
    if not isinstance(entry, Mapping) or "uses" not in entry:
        raise ConfigError(f'{where}: [{place}] needs a line uses = "NAME"; `fld specialists` lists the names')
    try:
        card = card_for(role, str(entry["uses"]))
    except ConfigError as error:
        raise ConfigError(f"{where}: [{place}]: {error}") from error
    model: type[SpecialistConfig] = card.cls.Config  # type: ignore[attr-defined]
    try:
        config = model.model_validate({k: v for k, v in entry.items() if k != "uses"})
    except ValidationError as error:
        raise ConfigError(explain(error, f"{where}: [{place}]", model)) from error
    return Chosen(name, card, config)


def _keys_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The keys that are known where an unknown one was found."""
    current: Any = model
    for part in place:
        fields = getattr(current, "model_fields", {})
        current = fields[str(part)].annotation if str(part) in fields else (get_args(current) or (None,))[-1]
    return list(getattr(current, "model_fields", {}))


def change(data: dict[str, Any], text: str) -> None:
    """Change one setting of a configuration in place, as `--set a.b=value` says.

    Raises:
        ConfigError: `text` is no such setting.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text}: write it as a.b=value")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string
    place = data
    *tables, last = key.split(".")
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {text}: {table} is a value, not a table")
    place[last] = parsed


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Relative paths in specialists' tables are relative to the file that names them."""
    for table in ROLES:
        entries = data.get(table, {})
        for entry in [entries] if table == "parser" else list(entries.values()) if isinstance(entries, dict) else []:
            for key in LOCATIONS if isinstance(entry, dict) else ():
                value = entry.get(key)
                if isinstance(value, str) and "://" not in value:
                    entry[key] = str((folder / Path(value).expanduser()).resolve())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error


def _profile(name: str) -> str:
    file = files("pipelines") / "profiles" / f"{name}.toml"
    if not file.is_file():
        raise ConfigError(f"there is no profile {name!r}; there are: {', '.join(profiles())}")
    return file.read_text(encoding="utf-8")
