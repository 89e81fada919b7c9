"""Predictions that somebody already has, as a specialist: COCO, Pascal VOC, YOLO and Parquet files.

The file is streamed once into an index on disk (`specialists.recorded_formats`); afterwards only the records of the
images at hand are read. Nothing looks at pixels. A broken record becomes a fault of its image; its neighbours stay.

An image that the file lists without records was looked at: nothing is there. One that it does not list, or of which it
is not clear which entry it is, or of another size, was not, and the answer says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from engine.errors import ConfigError, WeightsMissing
from engine.records import Captions, Granularity, Image, Readings, Regions
from specialists.base import SpecialistConfig, specialist
from specialists.recorded_formats import coco, table, voc, yolo
from specialists.recorded_formats.convert import to_captions, to_readings, to_regions
from specialists.recorded_formats.index import Builder, Index, Row, ambiguity, open_index
from specialists.recorded_formats.json_stream import NotStrictError
from specialists.recorded_formats.names import Entry

Format = Literal["coco", "coco_results", "coco_captions", "voc", "yolo", "parquet"]


class RecordedConfig(SpecialistConfig):
    """Where the records are and what they mean."""

    batch_size: int = Field(256, ge=1, description="images for one look-up")
    path: Path = Field(description="the file, or the folder of voc, yolo and parquet files")
    format: Format = Field(description="coco, coco_results, coco_captions, voc, yolo or parquet")
    index: Path | None = Field(None, description="COCO file that names the images and categories (coco_results)")
    gold: bool = Field(False, description="human labels: consensus takes them for the truth")
    granularity: Granularity = Field("brief", description="of captions whose file does not say")
    names: tuple[str, ...] | None = Field(None, description="class names of yolo, by number")
    vocabulary: tuple[str, ...] | None = Field(None, description="labels it could have given; default: those it names")


class _Found(NamedTuple):
    """The records of one image, the reasons why there are none, and whether the file is about this image at all."""

    rows: list[Row]
    faults: list[str]
    answered: bool = True


class _Recorded:
    """What the three roles share: the files, the index, and which entry of it an image is."""

    Config = RecordedConfig
    role = ""
    formats: tuple[str, ...] = ()

    def __init__(self, config: RecordedConfig) -> None:
        if config.format not in self.formats:
            raise ConfigError(
                f"a recorded {self.role} cannot be read from format {config.format!r}; "
                f"it can be one of {', '.join(self.formats)}."
            )
        if config.format == "coco_results" and config.index is None:
            raise ConfigError(
                f"{config.path} holds COCO results, which name no files and no categories: "
                'add index = "instances.json".'
            )
        if config.index is not None and not config.format.startswith("coco"):
            raise ConfigError(f"`index` belongs to COCO files; format {config.format!r} has no use for it.")
        if config.names is not None and config.format != "yolo":
            raise ConfigError(f"`names` belongs to yolo files; format {config.format!r} names its own classes.")
        self.config = config
        self._index: Index | None = None

    def load(self, device: str) -> None:  # noqa: ARG002 (files need none)
        """Index the files, unless the cache holds their index already.

        Raises:
            WeightsMissing: a file is not there.
            ConfigError: a file is not what `format` says, or the cache folder cannot be written.
        """
        self._index = self._open()

    def weights(self) -> Sequence[Path]:
        """The recorded files, sorted; their content is part of the fingerprint.

        Raises:
            WeightsMissing: a file is not there.
        """
        return self._files()

    def survey(self, image_ids: Iterable[str]) -> Sequence[str]:
        """How these images and the file fit: images it does not know, records for other images, broken records.

        Raises:
            WeightsMissing, ConfigError: as `load`.
        """
        index = self._opened()
        messages = index.survey(image_ids).messages(str(self.config.path))
        if index.orphans:
            examples = "; ".join(index.orphan_examples)
            messages.append(f"{index.orphans} entries of {self.config.path} cannot be used at all: {examples}.")
        return messages

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_index": None}  # a connection cannot travel; the next use opens another

    def _look_up(self, images: Sequence[Image]) -> list[_Found]:
        """What the file has for each image."""
        index = self._opened()
        found = index.find([image.image_id for image in images])
        records = index.records(entries[0] for entries in found if len(entries) == 1)
        return [_found(image, entries, records) for image, entries in zip(images, found, strict=True)]

    def _opened(self) -> Index:
        if self._index is None:
            self._index = self._open()
        return self._index

    def _open(self) -> Index:
        config = self.config
        names = _yolo_names(config) if config.format == "yolo" else {}
        identity = [self.role, config.format, config.gold, config.granularity, sorted(names.items())]
        try:
            files = self._files()
            root = config.path.expanduser()
            for tolerant in (False, True):
                try:
                    fill = partial(_fill, _Source(config, self.role, files, names, tolerant))
                    return open_index(files, root, identity, fill)
                except NotStrictError:
                    continue
        except OSError as error:
            raise WeightsMissing(f"{config.path} cannot be read: {error}.") from error
        raise ConfigError(f"{config.path} cannot be read as {config.format}.")

    def _files(self) -> list[Path]:
        config = self.config
        path = config.path.expanduser()
        suffixes = {"voc": voc.SUFFIX, "yolo": yolo.SUFFIX, "parquet": table.SUFFIX}
        suffix = suffixes.get(config.format)
        files = [path]
        if suffix and path.is_dir():
            files = sorted(p for p in path.rglob(f"*{suffix}") if p.is_file() and p.name not in yolo.NAME_FILES)
            if not files:
                raise WeightsMissing(f"{path} holds no {suffix} file, so there are no {config.format} records in it.")
        extra = [config.index.expanduser()] if config.index else []
        if config.format == "yolo" and config.names is None and (named := yolo.names_file(path)):
            extra = [named]
        for file in [*files, *extra]:
            if not file.is_file():
                raise WeightsMissing(f"{file} is not a file, and the recorded {self.role} needs it. Is the path right?")
        return files + extra


@specialist("recorded", "detector", pixels=False, licence="as the file", weights="the file", revision=3)
class RecordedDetector(_Recorded):
    """Boxes and masks from a COCO, Pascal VOC, YOLO or Parquet file."""

    role = "detector"
    formats = ("coco", "coco_results", "voc", "yolo", "parquet")

    def detect(self, images: Sequence[Image]) -> list[Regions]:
        """The recorded regions of each image, clipped to it, in the order of the file."""
        categories = self._opened().categories
        relative = self.config.format == "yolo"
        return [
            replace(to_regions(found.rows, found.faults, image, categories, relative), answered=found.answered)
            for image, found in zip(images, self._look_up(images), strict=True)
        ]

    def vocabulary(self) -> tuple[str, ...] | None:
        """The labels that this specialist could have given, in the order of the file; None where it names none.

        Raises:
            WeightsMissing, ConfigError: as `load`.
        """
        if self.config.vocabulary is not None:
            return self.config.vocabulary
        return tuple(dict.fromkeys(self._opened().categories.values())) or None


@specialist("recorded", "captioner", pixels=False, licence="as the file", weights="the file", revision=2)
class RecordedCaptioner(_Recorded):
    """Texts from a COCO captions file (annotations or results) or a Parquet file."""

    role = "captioner"
    formats = ("coco_captions", "parquet")

    def caption(self, images: Sequence[Image]) -> list[Captions]:
        """The recorded texts of each image, in the order of the file."""
        return [
            replace(to_captions(found.rows, found.faults), answered=found.answered) for found in self._look_up(images)
        ]


@specialist("recorded", "reader", pixels=False, licence="as the file", weights="the file", revision=2)
class RecordedReader(_Recorded):
    """Text regions from a Parquet file."""

    role = "reader"
    formats = ("parquet",)

    def read(self, images: Sequence[Image]) -> list[Readings]:
        """The recorded text regions of each image, clipped to it, in the order of the file."""
        return [
            replace(to_readings(found.rows, found.faults, image), answered=found.answered)
            for image, found in zip(images, self._look_up(images), strict=True)
        ]


@dataclass(frozen=True)
class _Source:
    config: RecordedConfig
    role: str
    files: Sequence[Path]
    names: Mapping[str, str]
    tolerant: bool


def _fill(source: _Source, build: Builder) -> None:
    config, files, tolerant = source.config, source.files, source.tolerant
    path = config.path.expanduser()
    index = config.index.expanduser() if config.index else None
    granularity, gold = config.granularity, config.gold
    records = [file for file in files if file.suffix == yolo.SUFFIX and file.name not in yolo.NAME_FILES]
    match (config.format, source.role):
        case ("coco", _):
            coco.instances(path, index, build, tolerant)
        case ("coco_results", _):
            coco.results(path, index or path, build, tolerant)
        case ("coco_captions", _):
            coco.captions(path, index, granularity, build, tolerant)
        case ("voc", _):
            voc.read(files, path, build)
        case ("yolo", _):
            yolo.read(records, path, source.names, build)
        case (_, "detector"):
            table.regions(files, gold, build)
        case (_, "captioner"):
            table.texts(files, granularity, build)
        case _:
            table.readings(files, gold, build)


def _yolo_names(config: RecordedConfig) -> dict[str, str]:
    if config.names is not None:
        return {str(number): name for number, name in enumerate(config.names)}
    path = config.path.expanduser()
    file = yolo.names_file(path)
    if file is None:
        raise ConfigError(
            f"nothing names the classes of {path}: add names = [...], or put {' or '.join(yolo.NAME_FILES[:4])} there."
        )
    return yolo.class_names(file)


def _found(image: Image, entries: Sequence[Entry], records: Mapping[str, list[Row]]) -> _Found:
    if len(entries) > 1:
        return _Found([], [ambiguity(image.image_id, entries)], answered=False)
    if not entries:
        return _Found([], [], answered=False)
    [entry] = entries
    rows = records.get(entry.id, [])
    if _same_frame(entry, image):
        return _Found(rows, [])
    return _Found([], [_other_frame(entry, image)] if rows else [], answered=False)


def _same_frame(entry: Entry, image: Image) -> bool:
    """Boxes of another frame would all be wrong, so none is used; a file that gives no size is trusted."""
    return not entry.width or not entry.height or (entry.width, entry.height) == (image.width, image.height)


def _other_frame(entry: Entry, image: Image) -> str:
    return (
        f"its records are for {entry.width} x {entry.height} pixels, but the image has {image.width} x {image.height} "
        "(after EXIF orientation), so none of them is used"
    )
