"""Any threshold can be changed and `fld build` started again without a specialist running: asserted by job counts.

Every setting of `[filters]` and `[consensus]` is found in the configuration itself, changed, and planned against an OUT
in which all roles have answered, by `fld build --dry-run`.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from engine.errors import ConfigError
from engine.graph import Estimate, Graph, Node, Sink
from pipelines.build import Options, Prepared, build, dry_run
from pipelines.config import load_config
from pipelines.decide.config import Consensus, Filters
from pipelines.query import sql
from pipelines.stages.decision import DecisionStage
from tests.pipelines.plugins import AUTHOR, CROPS, READER, ROLES, installed
from tests.pipelines.scenes import write_scenes

OPTIONS = Options(executor="local", shard_size=2, say=lambda _: None)


def leaves(model: BaseModel, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Every setting below a table: its dotted key, value and type."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if name == "checks" and not value:  # nobody has declared a filter of this kind
            continue
        tables = value if isinstance(value, dict) and value else {"": value}
        for key, table in tables.items():
            place = f"{prefix}.{name}" + (f".{key}" if key else "")
            if isinstance(table, BaseModel):
                yield from leaves(table, place)
            else:
                yield place, table, field.annotation


SETTINGS = {
    key: (value, kind)
    for model, prefix in ((Filters(), "filters"), (Consensus(), "consensus"))
    for key, value, kind in leaves(model, prefix)
}
FILTERS = sorted(key for key in SETTINGS if key.startswith("filters."))
CONSENSUS = sorted(SETTINGS.keys() - set(FILTERS))


def others(value: Any, kind: Any) -> Iterator[Any]:
    """Values that the setting may take, most of which are not its own."""
    for part in (kind, *get_args(kind)):
        if get_origin(part) is Literal:
            yield from get_args(part)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value / 2, value * 0.9, 0.5)
    elif isinstance(value, list | tuple | set | frozenset) and value:
        yield sorted(value)[1:]
    yield from (1, 0.5, 3, ["zebra"], ["zebra < animal"], ["en"], ["de"], ["Latin"])
    yield from ({"one": 2.0}, {"sign": 2.0}, {"label_match": 2.0})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), 4, ROLES)
    with installed(root / "site", CROPS + READER + AUTHOR):
        config = load_config(str(root / "config.toml"), None)
        assert build(str(root / "images"), str(root / "out"), config, OPTIONS).quarantined == 0
        yield root


def specialists(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes if not isinstance(node.stage, DecisionStage | Estimate | Sink)}


def ran(prepared: Prepared) -> set[str]:
    """The specialists that have something to do."""
    return specialists(prepared.graph) & prepared.schedule.todo_by_node.keys()


def below(graph: Graph, chosen: Callable[[Node], bool]) -> set[str]:
    """The chosen nodes and all that read them, directly or through others."""
    found: set[str] = set()
    for node in graph.nodes:
        if chosen(node) or any(graph.nodes[i].name in found for i in node.inputs):
            found.add(node.name)
    return found


def planned(root, *settings: str) -> Prepared:
    config = load_config(str(root / "config.toml"), None, settings)
    return dry_run(str(root / "images"), str(root / "out"), config, OPTIONS)


def written(key: str, value: Any) -> str:
    """As `--set` takes it."""
    if isinstance(value, dict):
        return f"{key}={{{', '.join(f'{name} = {number}' for name, number in value.items())}}}"
    plain = sorted(value) if isinstance(value, list | tuple | set | frozenset) else value
    return f"{key}={json.dumps(plain)}"


def first_taken(root, key: str) -> str:
    """The setting with the first other value that the configuration takes."""
    for value in others(*SETTINGS[key]):
        with contextlib.suppress(ConfigError):
            load_config(str(root / "config.toml"), None, [written(key, value)])
            if written(key, value) != written(key, SETTINGS[key][0]):
                return written(key, value)
    raise AssertionError(f"`others` has no value that {key} takes")


def changed(root, before: Prepared, key: str) -> Prepared:
    """What a build would do with some other value of a setting than it would `before`."""
    taken = False
    for value in others(*SETTINGS[key]):
        with contextlib.suppress(ConfigError):
            prepared = planned(root, written(key, value))
            taken = taken or written(key, value) != written(key, SETTINGS[key][0])
            if prepared.graph.nodes[-1].fingerprint != before.graph.nodes[-1].fingerprint:
                return prepared
    assert not taken, f"{key} can be changed and is part of no stage"
    # Of the shipped lists there is one version so far.
    assert key.endswith(("version", "revision")), f"`others` has no value that {key} takes"
    return before


@pytest.fixture(scope="module")
def whole(root):
    return planned(root)


def test_the_out_has_everybody_in_it(root, whole):
    assert whole.schedule.todo_by_node == {}
    roles = {name.partition(".")[0] for name in specialists(whole.graph)}
    assert {"detect", "read", "caption", "parse", "describe", "score_regions", "score_texts", "ground", "mask"} < roles
    texts = sql(
        str(root / "out"), "SELECT DISTINCT granularity FROM text WHERE specialist = 'template' ORDER BY 1"
    ).rows
    assert texts == [("detailed",), ("more_detailed",)]
    ((triplets,),) = sql(
        str(root / "out"), "SELECT count(*) FROM text_phrase_region WHERE text_id LIKE '%template%'"
    ).rows
    assert triplets > 0
    assert len(FILTERS) > 20


@pytest.mark.parametrize("key", FILTERS)
def test_a_filter_can_be_changed_and_no_specialist_runs(root, whole, key):
    assert ran(changed(root, whole, key)) == set()


def test_all_filters_can_be_changed_at_once_and_the_build_runs_decisions_alone(root, whole):
    settings = [first_taken(root, key) for key in FILTERS if not key.endswith(("version", "revision"))]
    assert ran(planned(root, *settings)) == set()
    stricter = "filters.objects.min_side=26"  # people are 20 pixels wide
    config = load_config(str(root / "config.toml"), None, [stricter])
    prepared = planned(root, stricter)
    decisions = {n.name for n in prepared.graph.nodes} - specialists(prepared.graph)
    assert "write.template" in prepared.schedule.todo_by_node.keys() <= decisions
    build(str(root / "images"), str(root / "out"), config, OPTIONS)
    told = "SELECT count(*) FROM text WHERE specialist = 'template' AND text LIKE '%shows % and %'"
    assert sql(str(root / "out"), told).rows == [(0,)]
    build(str(root / "images"), str(root / "out"), load_config(str(root / "config.toml"), None), OPTIONS)
    assert sql(str(root / "out"), told).rows[0][0] > 0


def test_who_writes_in_words_of_its_own_writes_anew_and_nobody_else_is_asked(root):
    """All filters are changed at once. What is written is looked for in the image again."""
    author = 'writers={free={uses="author"}}'
    config = load_config(str(root / "config.toml"), None, [author])
    build(str(root / "images"), str(root / "out"), config, OPTIONS)
    assert ran(planned(root, author)) == set()
    settings = [first_taken(root, key) for key in FILTERS if not key.endswith(("version", "revision"))]
    prepared = planned(root, author, *settings)
    assert "write.free" in ran(prepared)
    assert ran(prepared) <= below(prepared.graph, lambda node: node.name == "write.free")
    build(str(root / "images"), str(root / "out"), load_config(str(root / "config.toml"), None), OPTIONS)


@pytest.mark.parametrize("key", CONSENSUS)
def test_consensus_can_be_changed_and_nobody_looks_at_whole_images_again(root, whole, key):
    """What consensus finds is what later specialists are asked about; those may run, and no others."""
    prepared = changed(root, whole, key)
    told = below(prepared.graph, lambda node: isinstance(node.stage, DecisionStage))
    assert ran(prepared) <= told
