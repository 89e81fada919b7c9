"""`fld check`: would this configuration run? Nothing is started and OUT is not touched."""

from dataclasses import dataclass

from pipelines.config import Config
from pipelines.crews import check_crews
from pipelines.graph import fld_graph


@dataclass(frozen=True, slots=True)
class Checked:
    """The stages that a configuration makes, in order, and which parts of the graph it leaves out."""

    stages: tuple[str, ...]
    notes: tuple[str, ...]


def check(config: Config) -> Checked:
    """Build the graph of a configuration that `pipelines.config` has read.

    Raises:
        UserError: it cannot run; the message says what, where and how to mend it.
    """
    graph, notes = fld_graph(config)
    check_crews(config, graph)
    return Checked(tuple(node.name for node in graph.nodes), tuple(notes))
