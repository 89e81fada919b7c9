"""`[consensus.*]` and `[filters.*]` of the configuration, and how each decision's own settings are made of them."""

from pydantic import BaseModel, ConfigDict, Field

from consensus.vocabulary import Vocabulary
from filters.phrases import PhraseFilterConfig
from filters.regions import RegionFilterConfig, ThingFilterConfig
from filters.texts import TextFilterConfig
from pipelines.decide.groundings import GroundingsConfig
from pipelines.decide.images import ImageFilterConfig
from pipelines.decide.masks import MasksConfig
from pipelines.decide.objects import ObjectsConfig
from pipelines.decide.phrases import PhrasesConfig
from pipelines.decide.region_text import RegionTextConfig
from pipelines.decide.regions import RegionsConfig
from pipelines.decide.texts import TextChecks, TextsConfig
from pipelines.decide.triplets import TripletsConfig
from pipelines.decide.writing import WritingConfig

_REGIONS, _TEXTS, _TRIPLETS = RegionsConfig(), TextsConfig(), TripletsConfig()


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhraseConsensus(GroundingsConfig):
    """The same, and when a place is a region."""

    region_iou: float = Field(
        _TRIPLETS.region_iou, gt=0.0, le=1.0, description="a box is an accepted region from this IoU on (our choice)"
    )


class TextConsensus(_Table):
    """Which of an image's texts are chosen."""

    max_per_granularity: int | None = Field(
        None, ge=1, description="most texts of one granularity for an image; none keeps all that pass (our choice)"
    )


class ReliabilityConfig(_Table):
    """From what specialists are learned to be right or wrong, and which words mean the same."""

    sample: int = Field(
        8,
        ge=1,
        description="shards, the first of the plan, that are learned from; while a source has fewer, its growth "
        "is learned from, and what follows is computed anew (our choice)",
    )
    min_likeness: float = Field(
        0.9,
        ge=0.5,
        le=1.0,
        description="words that the table does not know mean the same from this cosine of a scorer's on, unless one "
        "detector knows both (our choice)",
    )
    words: tuple[str, ...] = Field(
        (), description="lines `name < broader : alias, alias` beside the shipped table of words for things"
    )

    def vocabulary(self) -> Vocabulary:
        """The shipped words and these.

        Raises:
            ConfigError: a line cannot be read.
        """
        return Vocabulary.shipped().extended(self.words)


class Consensus(_Table):
    """How specialists are weighed."""

    objects: ObjectsConfig = Field(ObjectsConfig(), description="boxes of detectors")
    writing: WritingConfig = Field(WritingConfig(), description="quads of readers")
    masks: MasksConfig = Field(MasksConfig(), description="masks of segmenters and detectors")
    reliability: ReliabilityConfig = Field(ReliabilityConfig(), description="what is learned about specialists")
    texts: TextConsensus = Field(TextConsensus(), description="texts of captioners and writers")
    phrases: PhraseConsensus = Field(PhraseConsensus(), description="boxes of grounders")


class RegionTextFilters(_Table):
    """Which regions' texts are rejected."""

    min_similarity: float | None = Field(
        None, description="a region whose best text is less similar than this is rejected; none keeps all (our choice)"
    )


class TextFilters(_Table):
    """Which texts are rejected."""

    limits: TextFilterConfig = Field(_TEXTS.filters, description="limits by granularity")
    checks: TextChecks = Field(
        {}, validate_default=True, description="settings of the declared filters of texts, by name"
    )
    min_thing: float = Field(
        _TEXTS.min_thing,
        ge=0.0,
        le=1.0,
        description="lowest probability that a thing is there that a text names and detectors know (our choice)",
    )
    min_about: float = Field(
        _TEXTS.min_about,
        ge=0.0,
        le=1.0,
        description="lowest probability that a text is about its image and no other, by what detectors saw (our choice)",
    )
    min_similarity: float | None = Field(
        None, description="lowest mean similarity of image and text; none keeps all (our choice)"
    )


class TripletFilters(_Table):
    """Which boxes of phrases are rejected. The paper names thresholds on phrase and box and gives no value."""

    min_phrase_score: float = Field(
        _TRIPLETS.min_phrase_score, ge=0.0, le=1.0, description="lowest score of a phrase's best box (our choice)"
    )
    min_box_score: float = Field(
        _TRIPLETS.min_box_score, ge=0.0, le=1.0, description="lowest mean score of a box (our choice)"
    )


class Filters(_Table):
    """What is rejected."""

    images: ImageFilterConfig = Field(ImageFilterConfig(), description="images, with all that is said about them")
    objects: ThingFilterConfig = Field(ThingFilterConfig(), description="regions of detectors")
    writing: RegionFilterConfig = Field(_REGIONS.writing, description="text regions of readers")
    region_text: RegionTextFilters = Field(RegionTextFilters(), description="texts of regions")
    texts: TextFilters = Field(TextFilters(), description="texts of images")
    phrases: PhraseFilterConfig = Field(PhraseFilterConfig(), description="phrases, before they are looked for")
    triplets: TripletFilters = Field(TripletFilters(), description="boxes of phrases")


def regions_config(filters: Filters) -> RegionsConfig:
    """Settings of `pipelines.decide.regions`."""
    return RegionsConfig(objects=filters.objects, writing=filters.writing)


def region_text_config(filters: Filters) -> RegionTextConfig:
    """Settings of `pipelines.decide.region_text`."""
    return RegionTextConfig(min_similarity=filters.region_text.min_similarity)


def texts_config(consensus: Consensus, filters: Filters) -> TextsConfig:
    """Settings of `pipelines.decide.texts`."""
    return TextsConfig(
        filters=filters.texts.limits,
        checks=filters.texts.checks,
        min_thing=filters.texts.min_thing,
        min_about=filters.texts.min_about,
        min_similarity=filters.texts.min_similarity,
        max_per_granularity=consensus.texts.max_per_granularity,
    )


def phrases_config(filters: Filters) -> PhrasesConfig:
    """Settings of `pipelines.decide.phrases`."""
    return PhrasesConfig(filters=filters.phrases)


def groundings_config(consensus: Consensus) -> GroundingsConfig:
    """Settings of `pipelines.decide.groundings`."""
    given = consensus.phrases
    return GroundingsConfig(min_score=given.min_score, fusion=given.fusion, weights=given.weights, ask=given.ask)


def triplets_config(consensus: Consensus, filters: Filters) -> TripletsConfig:
    """Settings of `pipelines.decide.triplets`."""
    limits = filters.triplets
    return TripletsConfig(
        min_phrase_score=limits.min_phrase_score,
        min_box_score=limits.min_box_score,
        region_iou=consensus.phrases.region_iou,
    )
