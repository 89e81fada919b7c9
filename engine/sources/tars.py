"""WebDataset tars: members that share a key, one after another, are one sample.

The key is the member's path up to the first dot of its last part, as in the webdataset library; what follows is the
field. Key "a/0001" of `a/0001.jpg` is the image_id. The image is the first member whose field is an image ending
("jpg"), else the first that ends in one ("left.jpg"). `.json`, `.txt` and `.cls` members become meta under their field:
{"json": {...}, "txt": "...", "cls": 3}.

Headers are read here and not by tarfile, which takes a damaged header in the middle for the end of the archive.
Nothing is ever written to disk, so a member's path is only a name, whatever it says.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from engine.errors import SourceError
from engine.images import IMAGE_SUFFIXES
from engine.sources import files, locators
from engine.sources.base import Item, checked, to_meta

COMPRESSED: Final = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
_BLOCK: Final = 512
_MAX_HEADER: Final = 1 << 20  # bytes of one extended header; real ones have some hundred
_MAX_META: Final = 1 << 20  # bytes of one meta member
_META_FIELDS: Final = ("json", "txt", "cls")
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX: Final = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENSIONS: Final = (*_PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
# Whatever size their headers state, nothing follows them.
_WITHOUT_DATA: Final = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a tar: `offset` and `size` of its data in bytes. `regular`: a plain file."""

    name: str
    offset: int
    size: int
    regular: bool


@dataclass(slots=True)
class _Sample:
    key: str
    image: tuple[str, Member] | None = None
    meta: dict[str, Any] = field(default_factory=dict)


class TarSource:
    """One tar or several, in order."""

    kind = "webdataset"

    def __init__(self, uri: str, tars: list[files.Entry], ignored: Counter[str]) -> None:
        """`ignored`: what was left aside in finding the tars."""
        self.uri = uri
        self.ignored: dict[str, int] = dict(ignored)
        self._tars = tars
        self._aside = ignored

    def items(self) -> Iterator[Item]:
        """See Source; in the order of the tars and of their members."""
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        nothing = f"{self.uri} has no images: no member of its {len(self._tars)} tar(s) ends like one ({endings})."
        return checked(self._items(), nothing)

    def signature(self) -> str:
        """See Source."""
        return files.signature(self.kind, self._tars)

    def _items(self) -> Iterator[Item]:
        ignored = self._aside.copy()
        for tar in self._tars:
            try:
                with files.open_file(tar.uri) as file:
                    for sample in _samples(tar.uri, file, ignored):
                        if sample.image is None:
                            ignored["(sample without an image)"] += 1
                            continue
                        member = sample.image[1]
                        yield Item(
                            sample.key, locators.of_range(tar.uri, member.offset, member.size), to_meta(sample.meta)
                        )
            except OSError as error:
                raise SourceError(f"cannot read {tar.uri}: {error}") from error
        self.ignored = dict(sorted(ignored.items()))


def _samples(uri: str, file: BinaryIO, ignored: Counter[str]) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in members(uri, file):
        if not member.regular:
            ignored["(not a plain file)"] += 1
            continue
        key, ending = _split(member.name)
        if key.rsplit("/", 1)[-1] == "":  # a hidden file has nothing before its first dot
            ignored[files.HIDDEN] += 1
            continue
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        _add(sample, ending.lower(), member, file, ignored)
    if sample is not None:
        yield sample


def _split(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending


def _add(sample: _Sample, ending: str, member: Member, file: BinaryIO, ignored: Counter[str]) -> None:
    exact = f".{ending}" in IMAGE_SUFFIXES
    if exact or files.suffix(f"x.{ending}") in IMAGE_SUFFIXES:
        old, new = sample.image, (ending, member)
        if old is None:
            sample.image = new
            return
        better = exact and f".{old[0]}" not in IMAGE_SUFFIXES
        sample.image, further = (new, old) if better else (old, new)
        ignored[f"(further image .{further[0]})"] += 1
    elif ending in _META_FIELDS and member.size <= _MAX_META:
        file.seek(member.offset)
        sample.meta[ending] = _meta(ending, file.read(member.size))
    elif ending in _META_FIELDS:
        ignored[f".{ending} (more than {_MAX_META} bytes)"] += 1
    else:
        ignored[f".{ending}" if ending else files.NO_ENDING] += 1


def _meta(ending: str, data: bytes) -> Any:
    """JSON where it is JSON, a class as a number, else the text, so that nothing is lost."""
    text = data.decode("utf-8", "replace")
    try:
        if ending == "json":
            return json.loads(text)
        return int(text) if ending == "cls" else text
    except (ValueError, RecursionError):
        return text


def members(uri: str, file: BinaryIO) -> Iterator[Member]:
    """Every entry of an uncompressed tar (ustar, GNU and pax), in order; only headers are read.

    Raises:
        SourceError: the tar is damaged or truncated; the message names the tar and the byte.
    """
    tar = _Tar(uri, file, file.seek(0, 2))
    at, extended = 0, {}  # type: tuple[int, dict[str, str]]
    while (block := tar.read(at, _BLOCK, "without its end mark")).count(0) != _BLOCK:
        header = tar.header(block, at)
        data = at + _BLOCK
        if header.type in _EXTENSIONS:
            body = tar.extension(header, data)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = _name(body)
            elif header.type in _PAX:
                extended |= tar.pax(body, data)
            at = _next(data, header.size)
            continue
        if header.type == tarfile.GNUTYPE_SPARSE:
            data = tar.skip_sparse(block, data)
        length = 0 if header.type in _WITHOUT_DATA else tar.length(extended.get("size"), header, at)
        tar.check_inside(at, data + length)
        sparse = any(key.startswith("GNU.sparse") for key in extended)
        # Old tars mark a folder only by the slash at the end of its name.
        regular = header.type in _REGULAR and not sparse and not _name(block[:100]).endswith("/")
        yield Member(extended.get("path", header.name), data, length, regular)
        at, extended = _next(data, length), {}


@dataclass(frozen=True, slots=True)
class _Tar:
    """An open tar of `size` bytes, and every way in which it can be damaged."""

    uri: str
    file: BinaryIO
    size: int

    def read(self, at: int, length: int, where: str) -> bytes:
        self.file.seek(at)
        data = self.file.read(length)
        if len(data) != length:
            raise SourceError(
                f"{self.uri} is truncated: it ends at byte {self.size} {where}. Copy or download it again."
            )
        return data

    def header(self, block: bytes, at: int) -> tarfile.TarInfo:
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise SourceError(
                f"{self.uri} is damaged: no valid tar header at byte {at} ({error}). Make or download it again."
            ) from error
        if header.size < 0:
            raise self._damaged(at, "the member has a negative size")
        return header

    def extension(self, header: tarfile.TarInfo, data: int) -> bytes:
        if header.size > _MAX_HEADER:
            raise self._damaged(data - _BLOCK, f"an extended header of {header.size} bytes")
        return self.read(data, header.size, "in an extended header")

    def length(self, stated: str | None, header: tarfile.TarInfo, at: int) -> int:
        """The size of a member, which an extended header may state."""
        if stated is None:
            return header.size
        if not (stated.isascii() and stated.isdigit() and len(stated) < 20):
            raise self._damaged(at, f"the member has the size {stated[:40]!r}")
        return int(stated)

    def check_inside(self, at: int, end: int) -> None:
        if end > self.size:
            raise SourceError(
                f"{self.uri} is truncated: the member at byte {at} goes on to byte {end}, but the file has "
                f"{self.size}. Copy or download it again."
            )

    def skip_sparse(self, block: bytes, at: int) -> int:
        """Past the maps of an old GNU sparse file: byte 482 of the header, and 504 of each map, say if one follows."""
        more = block[482]
        while more:
            more = self.read(at, _BLOCK, "in a sparse header")[504]
            at += _BLOCK
        return at

    def pax(self, body: bytes, at: int) -> dict[str, str]:
        """Records "length key=value" and a line end, the length counting all of it (POSIX.1-2001, pax)."""
        found, start = {}, 0
        while start < len(body) and body[start]:
            space = body.find(b" ", start, start + 9)
            digits = body[start:space] if space > start else b""
            end = start + int(digits) if digits.isdigit() else 0
            key, equals, value = body[space + 1 : end - 1].partition(b"=")
            if not equals or end > len(body) or body[end - 1 : end] != b"\n":
                raise self._damaged(at, "the extended header cannot be read")
            found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
            start = end
        return found

    def _damaged(self, at: int, what: str) -> SourceError:
        return SourceError(f"{self.uri} is damaged at byte {at}: {what}. Make or download it again.")


def _next(data: int, length: int) -> int:
    return data + -(-length // _BLOCK) * _BLOCK


def _name(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
