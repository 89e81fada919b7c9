"""`[consensus.*]` and `[filters.*]` of the configuration, and how each decision's own settings are made of them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxFusionConfig
from consensus.phrases import PhraseFusionConfig
from filters.phrases import PhraseFilterConfig
from filters.regions import RegionFilterConfig
from filters.texts import TextFilterConfig, TextLimits
from pipelines.decide.phrases import PhrasesConfig
from pipelines.decide.region_text import RegionTextConfig
from pipelines.decide.regions import KindConfig, RegionsConfig
from pipelines.decide.texts import TextsConfig
from pipelines.decide.triplets import TripletsConfig

Weights = dict[str, Annotated[float, Field(gt=0.0)]]
_OBJECTS, _WRITING = RegionsConfig().objects, RegionsConfig().writing
_TEXTS, _TRIPLETS = TextsConfig(), TripletsConfig()


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BoxConsensus(_Table):
    """How boxes of one kind are fused."""

    fusion: BoxFusionConfig = Field(_OBJECTS.fusion, description="when boxes are one thing")
    weights: Weights = Field({}, description="how much a specialist's score counts; 1 for those not named (our choice)")


class PhraseConsensus(_Table):
    """How the boxes of several grounders are fused."""

    fusion: PhraseFusionConfig = Field(_TRIPLETS.fusion, description="when boxes of a phrase are one")
    region_iou: float = Field(
        _TRIPLETS.region_iou, gt=0.0, le=1.0, description="a box is an accepted region from this IoU on (our choice)"
    )
    weights: Weights = Field({}, description="how much a grounder's score counts; 1 for those not named (our choice)")


class TextConsensus(_Table):
    """Which of an image's texts are chosen."""

    max_per_granularity: int | None = Field(
        None, ge=1, description="most texts of one granularity for an image; none keeps all that pass (our choice)"
    )


class Consensus(_Table):
    """How specialists are weighed."""

    objects: BoxConsensus = Field(BoxConsensus(), description="boxes of detectors")
    writing: BoxConsensus = Field(BoxConsensus(fusion=_WRITING.fusion), description="quads of readers")
    texts: TextConsensus = Field(TextConsensus(), description="texts of captioners and writers")
    phrases: PhraseConsensus = Field(PhraseConsensus(), description="boxes of grounders")


class RegionFilters(_Table):
    """What is rejected before and after boxes of one kind are fused."""

    min_score: float = Field(
        _OBJECTS.min_score, ge=0.0, le=1.0, description="a prediction under this score does not take part (our choice)"
    )
    fused: RegionFilterConfig = Field(_OBJECTS.filters, description="limits on the fused regions")


class RegionTextFilters(_Table):
    """Which regions' texts are rejected."""

    min_similarity: float | None = Field(
        None, description="a region whose best text is less similar than this is rejected; none keeps all (our choice)"
    )


class TextFilters(_Table):
    """Which texts are rejected."""

    limits: TextFilterConfig = Field(_TEXTS.filters, description="limits by granularity")
    min_similarity: float | None = Field(
        None, description="lowest mean similarity of image and text; none keeps all (our choice)"
    )


class TripletFilters(_Table):
    """Which boxes of phrases are rejected. The paper names thresholds on phrase and box and gives no value."""

    min_score: float = Field(
        _TRIPLETS.min_score, ge=0.0, le=1.0, description="a box under this score does not take part (our choice)"
    )
    min_phrase_score: float = Field(
        _TRIPLETS.min_phrase_score, ge=0.0, le=1.0, description="lowest score of a phrase's best box (our choice)"
    )
    min_box_score: float = Field(
        _TRIPLETS.min_box_score, ge=0.0, le=1.0, description="lowest mean score of a box (our choice)"
    )


class Filters(_Table):
    """What is rejected."""

    objects: RegionFilters = Field(RegionFilters(), description="regions of detectors")
    writing: RegionFilters = Field(
        RegionFilters(min_score=_WRITING.min_score, fused=_WRITING.filters), description="text regions of readers"
    )
    region_text: RegionTextFilters = Field(RegionTextFilters(), description="texts of regions")
    texts: TextFilters = Field(TextFilters(), description="texts of images")
    phrases: PhraseFilterConfig = Field(PhraseFilterConfig(), description="phrases, before they are looked for")
    triplets: TripletFilters = Field(TripletFilters(), description="boxes of phrases")


def regions_config(consensus: Consensus, filters: Filters) -> RegionsConfig:
    """Settings of `pipelines.decide.regions`."""
    kinds = [
        KindConfig(min_score=f.min_score, weights=c.weights, fusion=c.fusion, filters=f.fused)
        for c, f in ((consensus.objects, filters.objects), (consensus.writing, filters.writing))
    ]
    return RegionsConfig(objects=kinds[0], writing=kinds[1])


def region_text_config(filters: Filters) -> RegionTextConfig:
    """Settings of `pipelines.decide.region_text`."""
    return RegionTextConfig(min_similarity=filters.region_text.min_similarity)


def texts_config(consensus: Consensus, filters: Filters, *, parsed: bool) -> TextsConfig:
    """Settings of `pipelines.decide.texts`; texts that nobody parsed have no measures that could be limited."""
    unlimited = TextLimits(min_tokens=0, min_object_complexity=0.0, min_action_complexity=0.0)
    unmeasured = TextFilterConfig(
        brief=unlimited,
        detailed=unlimited,
        more_detailed=unlimited,
        drop_duplicates=filters.texts.limits.drop_duplicates,
    )
    return TextsConfig(
        filters=filters.texts.limits if parsed else unmeasured,
        min_similarity=filters.texts.min_similarity,
        max_per_granularity=consensus.texts.max_per_granularity,
    )


def phrases_config(filters: Filters) -> PhrasesConfig:
    """Settings of `pipelines.decide.phrases`."""
    return PhrasesConfig(filters=filters.phrases)


def triplets_config(consensus: Consensus, filters: Filters) -> TripletsConfig:
    """Settings of `pipelines.decide.triplets`."""
    chosen, limits = consensus.phrases, filters.triplets
    return TripletsConfig(
        min_score=limits.min_score,
        min_phrase_score=limits.min_phrase_score,
        min_box_score=limits.min_box_score,
        region_iou=chosen.region_iou,
        weights=chosen.weights,
        fusion=chosen.fusion,
    )
