"""The FLD-5B graph: which stages a configuration makes, and what each reads. Read it from top to bottom.

ingest ─┬─ detect.* ─ compare.* ─ reliability ─ objects ─┬─ describe.* ─ parse_crops ─ score_regions.* ─┐
        ├─ read.* ─ writing ─────────────────────────────┴─ regions ────────────────────────────────────┴─ region_text ─┐
        ├─ caption.* ─┬─ parse ─ score_texts.* ─ texts ─ phrases ─────────┬─ triplets ──────────────────────────────────┤
        │             └─ chunks ─ ground.* ─ groundings ─┬────────────────┘                                             │
        │                                                └─ mask.* ─ masks ─────────────────────────────────────────────┤
        └─ near_duplicates ─ images ────────────────────────────────────────────────────────────────────────────────────┤
                                              publish ─ (the same from chunks on) ─ details ─ write.* ──────────────────┘

Lines that are not drawn: `objects` reads all that detectors said; `score_regions`, `ground` and `mask` are asked about
`objects`, and about nothing that was read, so one more reader makes nobody look again; `texts` reads `regions` (what was
seen, what is written), `triplets` reads `regions` and `region_text`, `write` reads `texts`, and `masks` reads `objects`
and their detectors.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from consensus import reliability
from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.errors import ConfigError
from engine.graph import INGEST, AnyStage, Estimate, Graph, Resources, Sink, build_graph
from engine.parquet import canonical
from filters.phrases import blacklist
from pipelines.config import Chosen, Config, specialists_of
from pipelines.crews import crew_of
from pipelines.decide import config as settings
from pipelines.stages import compose
from pipelines.stages import decision as decide
from pipelines.stages import specialist as roles
from pipelines.stages.copies import near_duplicate_images
from pipelines.stages.decision import DecisionStage
from pipelines.stages.ingest import Ingest
from pipelines.stages.publish import tables_of
from pipelines.stages.specialist import Answer, Parse, SpecialistStage
from pipelines.weights import weights_of

_CROWD = 2  # from how many detectors on something can be learned about each


def fld_graph(config: Config) -> tuple[Graph, list[str]]:
    """The graph of a configuration, and what it leaves out, in words.

    Raises:
        ConfigError: the configuration makes no graph.
        WeightsMissing: a specialist's file is not there.
    """
    stages, notes = _Builder(config).stages()
    return build_graph(stages, partial(crew_of, config)), notes


class _Builder:
    """Collects stages in reading order."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.chosen = specialists_of(config)
        self._vocabulary = config.consensus.reliability.vocabulary()
        self.made: list[AnyStage] = [Ingest(config.run.limits, config.run.attempts)]

    def stages(self) -> tuple[list[AnyStage], list[str]]:
        consensus, filters = self.config.consensus, self.config.filters
        self._check_weights()
        self._images()
        detect = self._each("detectors", "detect", (), s.PREDICTED_REGIONS, roles.detect)
        read = self._each("readers", "read", (), s.PREDICTED_READINGS, roles.read)
        caption = self._each("captioners", "caption", (), s.PREDICTED_TEXTS, roles.caption)
        learned = self._reliability(detect)
        things = {"config": consensus.objects, **self._detectors(), **self._words(learned)}
        self._decide("objects", [*detect, *learned], s.DECIDED_REGIONS, decide.objects, things, texts=False)
        readings = {"config": consensus.writing, "gold": self._gold("readers")}
        self._decide("writing", read, s.DECIDED_REGIONS, decide.writing, readings)
        regions = {"config": settings.regions_config(filters), "gold": self._gold("detectors", "readers")}
        self._decide("regions", ["objects", "writing"], s.DECIDED_REGIONS, decide.regions, regions)
        crops = self._describe()
        region_text = {"config": settings.region_text_config(filters)}
        self._decide("region_text", ["regions", *crops], s.DECIDED_REGION_TEXTS, decide.region_text, region_text)
        parsed = self._parse("parse", caption)
        scores = self._each("scorers", "score_texts", tuple(caption), s.SIMILARITIES, roles.score_texts)
        texts = {
            "config": settings.texts_config(consensus, filters),
            "parsed": _one(parsed),
            "gold": self._gold("captioners"),
            "vocabularies": self._detectors()["vocabularies"],
        }
        self._decide("texts", ["regions", *detect, *caption, *parsed, *scores], s.DECIDED_TEXTS, decide.texts, texts)
        mask = self._ground("caption.", caption, _one(parsed), ("objects",))
        self._triplets("texts", [""])
        mask += self._details(parsed)
        drawn = {"config": consensus.masks, "gold": self._gold("detectors", "segmenters")}
        self._decide("masks", ["objects", *detect, *mask], s.DECIDED_MASKS, decide.masks, drawn)
        estimates = [stage for stage in self.made if isinstance(stage, Estimate)]
        apart = {INGEST, *(stage.name for stage in estimates)}
        apart |= {name for name in (i for stage in estimates for i in stage.inputs) if name.startswith("compare.")}
        inputs = (INGEST, *(stage.name for stage in self.made if stage.name not in apart))
        self.made.append(Sink("publish", 2, inputs, s.PUBLISHED, tables_of))
        return self.made, self._notes()

    def _each(self, table: str, prefix: str, inputs: tuple[str, ...], schema: pa.Schema, answer: Answer) -> list[str]:
        """One stage for every specialist of a role."""
        return [
            self._specialist(chosen, f"{prefix}.{chosen.name}", inputs, schema, answer) for chosen in self.chosen[table]
        ]

    def _specialist(
        self,
        chosen: Chosen,
        name: str,
        inputs: tuple[str, ...],
        schema: pa.Schema,
        answer: Answer,
        words: bool = False,
    ) -> str:
        """`words`: it is asked about words alone, all of a shard at once, as the parser is."""
        card, config = chosen.card, chosen.config
        words = words or card.role == "parser"
        self.made.append(
            SpecialistStage(
                name=name,
                card=card,
                config=config,
                weights=weights_of(chosen),
                inputs=(INGEST, *inputs),
                schema=schema,
                answer=answer,
                resources=Resources(card.cpus, card.gpus),
                batch_size=None if words else config.batch_size,
                pixels=card.pixels and not words,
            )
        )
        return name

    def _decide(
        self,
        name: str,
        inputs: Sequence[str],
        schema: pa.Schema,
        function: Callable[..., pa.Table],
        given: Mapping[str, Any],
        *,
        texts: bool = True,
    ) -> None:
        """`texts`: it reads or makes texts, so it depends on how they are made."""
        plain = {key: _plain(value) for key, value in given.items()}
        decided = partial(function, **given)
        self.made.append(DecisionStage(name, (INGEST, *inputs), schema, decided, plain, texts=texts))

    def _parse(self, name: str, sources: Sequence[str]) -> list[str]:
        """Parsing the texts of `sources`; nothing without a parser or without texts."""
        parsers = self.chosen["parser"]
        if not parsers or not sources:
            return []
        pairs = tuple((source, source.partition(".")[2]) for source in sources)
        return [self._specialist(parsers[0], name, tuple(sources), s.TOKENS, Parse(pairs))]

    def _details(self, parsed: Sequence[str]) -> list[str]:
        """Detailed texts. Who composes is asked within a decision, and knows what the texts speak of; who writes in words
        of its own is asked as a specialist, and its texts are parsed and grounded as captions are.

        Returns:
            The stages that segment.
        """
        accepted = ("regions", "region_text", "texts")
        composers = [chosen for chosen in self.chosen["writers"] if hasattr(chosen.card.cls, "compose")]
        composed = [self._compose(chosen, (*accepted, *parsed), _one(parsed)) for chosen in composers]
        write = [
            self._specialist(chosen, f"write.{chosen.name}", accepted, s.PREDICTED_TEXTS, roles.write)
            for chosen in self.chosen["writers"]
            if chosen not in composers
        ]
        if not composed and not write:
            return []
        known = {"composers": frozenset(chosen.name for chosen in composers)}
        tokens = self._parse("parse_details", write)
        mask, ends = [], []
        if composed:
            self._decide("tokens_composed", composed, s.TOKENS, compose.tokens, known)
            self._decide("chunks_composed", [*composed, "chunks"], s.DECIDED_PHRASES, compose.chunks, known)
            inputs = [*composed, "chunks", "groundings", "regions"]
            self._decide("groundings_composed", inputs, s.DECIDED_TRIPLETS, compose.groundings, known)
            ends.append(decide.COMPOSED)
        if write:
            mask = self._ground("write.", write, _one(tokens), (), decide.DETAILS)
            ends.append(decide.DETAILS)
        tokens += ["tokens_composed"] if composed else []
        details = {
            **known,
            "config": settings.texts_config(self.config.consensus, self.config.filters),
            "parsed": tuple(tokens),
            "measured": bool(self.chosen["parser"]),
        }
        self._decide("details", [*composed, *write, *parsed, *tokens], s.DECIDED_TEXTS, compose.details, details)
        self._triplets("details", ends, decide.DETAILS, known["composers"])
        return mask

    def _compose(self, chosen: Chosen, inputs: Sequence[str], parsed: str | None) -> str:
        card, config = chosen.card, chosen.config
        identity = {
            "specialist": card.name,
            "revision": card.revision,
            "config": config.model_dump(mode="json", exclude={"batch_size"}),
        }
        answer = partial(compose.compose, writer=card.cls(config), parsed=parsed)
        name = f"write.{chosen.name}"
        self.made.append(DecisionStage(name, (INGEST, *inputs), s.COMPOSED, answer, identity))
        return name

    def _ground(
        self, source: str, said: Sequence[str], parsed: str | None, boxes: tuple[str, ...], end: str = ""
    ) -> list[str]:
        """From the texts that the stages `said` (`source`*) made to the places of their phrases, and masks of these.

        Grounders and segmenters look at every phrase and place, whatever becomes of it, so that no filter makes them
        look again. Written texts are made of what was accepted, so what looks at them follows the filters.

        Returns:
            The stages that segment.
        """
        tokens = [parsed] if parsed else []
        self._decide(f"chunks{end}", [*said, *tokens], s.DECIDED_PHRASES, decide.chunks,
                     {"source": source, "parsed": parsed})  # fmt: skip
        asked = (f"chunks{end}", "objects")
        ground = self._each("grounders", f"ground{end}", asked, s.PREDICTED_PHRASES, roles.ground)
        places = {"config": settings.groundings_config(self.config.consensus)}
        self._decide(f"groundings{end}", [asked[0], *ground], s.DECIDED_TRIPLETS, decide.groundings, places)
        return self._each("segmenters", f"mask{end}", (*boxes, f"groundings{end}"), s.PREDICTED_MASKS, roles.segment)

    def _triplets(
        self, texts: str, ends: Sequence[str], end: str = "", composers: frozenset[str] = frozenset()
    ) -> None:
        """The phrases of the kept texts of the stage `texts`, and their places; `ends` tell where they were found."""
        config, filters = self.config.consensus, self.config.filters
        phrases = {"config": settings.phrases_config(filters), "texts": texts}
        self._decide(
            f"phrases{end}", [texts, *(f"chunks{e}" for e in ends)], s.DECIDED_PHRASES, decide.phrases, phrases
        )
        linked = {
            "config": settings.triplets_config(config, filters),
            "vocabulary": self._vocabulary,
            "blind": composers | {c.name for c in self.chosen["grounders"] if not c.card.pixels},
        }
        inputs = [f"phrases{end}", *(f"groundings{e}" for e in ends), "regions", "region_text"]
        self._decide(f"triplets{end}", inputs, s.DECIDED_TRIPLETS, decide.triplets, linked)

    def _describe(self) -> list[str]:
        """Captions of crops, their tokens, and how well every candidate fits its crop."""
        able = [c for c in self.chosen["captioners"] if c.card.crops]
        said = [self._specialist(c, f"describe.{c.name}", ("objects",), s.CROP_TEXTS, roles.describe) for c in able]
        tokens = []
        if said and self.chosen["parser"]:
            parser = self.chosen["parser"][0]
            tokens = [self._specialist(parser, "parse_crops", tuple(said), s.TOKENS, roles.ParseCrops(tuple(said)))]
        inputs = ("objects", *said, *tokens)
        scores = self._each("scorers", "score_regions", inputs, s.SIMILARITIES, roles.score_regions)
        return [*said, *tokens, *scores]

    def _images(self) -> None:
        """Which images are published. Nobody else reads it, so that specialists look at all, whatever the limits."""
        config = self.config.filters.images
        learned = []
        if config.near_duplicates.max_distance is not None:
            settings_ = {"config": _plain(config)}
            search = partial(near_duplicate_images, config=config)
            self.made.append(Estimate(decide.NEAR_DUPLICATES, 1, (INGEST,), s.COPIES, None, search, settings_))
            learned = [decide.NEAR_DUPLICATES]
        self._decide("images", learned, s.DECIDED_IMAGES, decide.images, {"config": config})

    def _reliability(self, detect: Sequence[str]) -> list[str]:
        """The estimate of how far each detector can be trusted; nothing where a mean of scores is to do.

        Raises:
            ConfigError: it is asked for where there is nothing to learn from.
        """
        objects = self.config.consensus.objects
        people = self._gold("detectors")
        machines = {c.name for c in self.chosen["detectors"]} - people
        enough = len(machines) >= _CROWD or bool(machines and people)
        if objects.method == "learned" and (objects.weights or not enough):
            found = "consensus.objects.weights are given" if enough else f"there are {len(machines)}"
            raise ConfigError(
                f"consensus.objects.method is 'learned', which needs {_CROWD} detectors, or one and people's boxes "
                f"(gold = true), and no consensus.objects.weights; {found}"
            )
        if objects.method != "learned" and (objects.method == "weighted" or objects.weights or not enough):
            return []
        given = {
            "min_score": objects.min_score,
            "fusion": objects.fusion,
            **self._detectors(),
            **self._words((decide.RELIABILITY,)),
            "min_likeness": self.config.consensus.reliability.min_likeness,
        }
        able = [c for c in self.chosen["scorers"] if hasattr(c.card.cls, "likeness")]
        alike = [
            self._specialist(c, f"compare.{c.name}", tuple(detect), s.LIKENESS, roles.compare, words=True) for c in able
        ]
        self.made.append(
            Estimate(
                decide.RELIABILITY,
                4,
                (INGEST, *detect, *alike),
                reliability.SCHEMA,
                self.config.consensus.reliability.sample,
                partial(decide.reliability, **given),
                {key: _plain(value) for key, value in given.items()},
            )
        )
        return [decide.RELIABILITY]

    def _words(self, learned: Sequence[str]) -> dict[str, Any]:
        """Which words are one thing, where it is used."""
        return {"vocabulary": self._vocabulary} if learned else {}

    def _detectors(self) -> dict[str, Any]:
        """Whose boxes are human, and which words each detector knows."""
        return {
            "gold": self._gold("detectors"),
            "vocabularies": {c.name: _vocabulary(c) for c in self.chosen["detectors"]},
        }

    def _gold(self, *tables: str) -> frozenset[str]:
        """Names of those whose answers are people's."""
        chosen = (c for table in tables for c in self.chosen[table])
        return frozenset(c.name for c in chosen if getattr(c.config, "gold", False))

    def _check_weights(self) -> None:
        """Raises: ConfigError: a weight for somebody who does not take part, or a word list that is not shipped."""
        consensus = self.config.consensus
        for key, table, weights in (
            ("objects", "detectors", consensus.objects.weights),
            ("writing", "readers", consensus.writing.weights),
            ("phrases", "grounders", consensus.phrases.weights),
        ):
            names = [c.name for c in self.chosen[table]]
            for name in weights:
                if name not in names:
                    known = ", ".join(names) or "none"
                    raise ConfigError(f"consensus.{key}.weights: there is no {name!r} in [{table}]; there: {known}")
        blacklist(self.config.filters.phrases)

    def _notes(self) -> list[str]:
        """Parts of the graph that have nobody to do them."""
        missing = {
            "detectors": "no detectors: no object regions, no region-text, no triplets",
            "captioners": "no captioners: no brief texts",
            "parser": "no parser: no text measures, no phrases and triplets of captions",
            "grounders": "no grounders: no triplets of captions",
            "writers": "no writers: no detailed texts",
            "segmenters": "no segmenters: masks only where a detector gives them",
        }
        return [text for table, text in missing.items() if not self.chosen[table]]


def _vocabulary(chosen: Chosen) -> list[str] | None:
    specialist = chosen.card.cls(chosen.config)
    words = specialist.vocabulary() if hasattr(specialist, "vocabulary") else None
    return None if words is None else sorted(set(words))


def _one(names: Sequence[str]) -> str | None:
    return names[0] if names else None


def _plain(value: Any) -> Any:
    """A setting as JSON, in a fixed order."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Vocabulary):
        words = {"names": dict(value.names), "broader": dict(value.broader)}
        return hashlib.sha256(canonical(words).encode()).hexdigest()[:16]
    return sorted(value) if isinstance(value, (set, frozenset)) else value
