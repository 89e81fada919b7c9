"""Which crew of workers does which stages."""

from fnmatch import fnmatch

from engine.errors import ConfigError
from engine.graph import AnyStage, Graph
from pipelines.config import Config

DEFAULT_CREW = "main"


def crew_of(config: Config, stage: AnyStage) -> str:
    """The first crew whose patterns match; GPU stages otherwise share one crew, all the rest another."""
    for name, crew in config.crews.items():
        if any(fnmatch(stage.name, pattern) for pattern in crew.stages):
            return name
    return "gpu" if stage.resources.gpus > 0 else DEFAULT_CREW


def check_crews(config: Config, graph: Graph) -> None:
    """Raises: ConfigError: a crew's pattern matches no stage."""
    names = [node.name for node in graph.nodes]
    for crew, chosen in config.crews.items():
        for pattern in chosen.stages:
            if not any(fnmatch(name, pattern) for name in names):
                raise ConfigError(f"[crews.{crew}]: no stage matches {pattern!r}; stages: {', '.join(names)}")
