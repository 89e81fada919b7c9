"""Local paths and fsspec URLs alike: what is there, in a fixed order, and how to open it."""

import glob
import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

import fsspec

from engine.errors import SourceError

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")
_MAX_EXPANSION: Final = 1_000_000

HIDDEN: Final = "(hidden)"
LOOP: Final = "(link to a folder above)"
NOT_A_FILE: Final = "(not a file)"
NO_ENDING: Final = "(no ending)"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder. `name` is relative to where the walk began; `size` is None where it was not asked for."""

    name: str
    uri: str
    is_folder: bool
    size: int | None = None
    is_file: bool = True
    is_link: bool = False


def is_url(uri: str) -> bool:
    return "://" in uri


def absolute(uri: str) -> str:
    """A URL as it is, a local path from the root, so that a worker elsewhere finds it."""
    return uri if is_url(uri) else os.path.abspath(uri)


def beside(container: str, reference: str) -> str:
    """A path or URL found inside the file `container`; relative ones count from its folder."""
    if is_url(reference) or os.path.isabs(reference):
        return reference
    folder = container.rsplit("/", 1)[0]
    return f"{folder}/{reference}" if is_url(container) else os.path.normpath(os.path.join(folder, reference))


def suffix(name: str) -> str:
    """The ending of a name, in lower case with its dot; "" where there is none."""
    return os.path.splitext(name)[1].lower()


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it.

    Raises:
        SourceError: the protocol is unknown, or its package is not installed.
    """
    try:
        return cast(tuple[Any, str], fsspec.core.url_to_fs(uri))
    except (ImportError, ValueError) as error:
        raise SourceError(f"cannot open {uri}: {error}") from error


def find(uri: str) -> Entry | None:
    """The file or folder at `uri`, with its size; None where there is nothing.

    Raises:
        SourceError: it cannot be looked at.
    """
    try:
        if not is_url(uri):
            if not os.path.exists(uri):
                return None
            return Entry(os.path.basename(uri), uri, os.path.isdir(uri), os.path.getsize(uri), os.path.isfile(uri))
        system, path = filesystem(uri)
        if not system.exists(path):
            return None
        info = system.info(path)
        return Entry(path.rsplit("/", 1)[-1], uri, info["type"] == "directory", info.get("size"))
    except SourceError:
        raise
    # The first touch of a store: missing credentials and the like are errors of its library, not of the system.
    except Exception as error:
        raise SourceError(
            f"cannot look at {uri} ({type(error).__name__}: {error}). Check the address and your access."
        ) from error


def open_file(uri: str) -> BinaryIO:
    """For reading, with seeking. Raises OSError as `open` does."""
    if not is_url(uri):
        return open(uri, "rb")
    system, path = filesystem(uri)
    return cast(BinaryIO, system.open(path, "rb"))


def walk(folder: str, skipped: Counter[str], *, sizes: bool = False) -> Iterator[Entry]:
    """Every file below `folder`, sorted by the code points of its relative path; holds one folder a level.

    Hidden files and folders, links to a folder above and what is not a file are counted in `skipped`.

    Raises:
        SourceError: a folder cannot be read.
    """
    real = folder if is_url(folder) else os.path.realpath(folder)
    open_folders = [("", real, iter(_children(folder, sizes)))]
    while open_folders:
        prefix, here, entries = open_folders[-1]
        entry = next(entries, None)
        if entry is None:
            open_folders.pop()
        elif entry.name.startswith("."):
            skipped[HIDDEN] += 1
        elif entry.is_folder:
            real = os.path.realpath(entry.uri) if entry.is_link else f"{here.rstrip('/')}/{entry.name}"
            if any(real == above for _, above, _ in open_folders):
                skipped[LOOP] += 1
                continue
            open_folders.append((f"{prefix}{entry.name}/", real, iter(_children(entry.uri, sizes))))
        elif not entry.is_file:
            skipped[NOT_A_FILE] += 1
        else:
            yield Entry(prefix + entry.name, entry.uri, False, entry.size)


def folders(folder: str) -> Iterator[list[Entry]]:
    """The files of every folder, the upper ones first; hidden ones and links to folders are left out.

    Raises:
        SourceError: a folder cannot be read.
    """
    waiting = deque([folder])
    while waiting:
        entries = [entry for entry in _children(waiting.popleft(), False) if not entry.name.startswith(".")]
        yield [entry for entry in entries if entry.is_file and not entry.is_folder]
        waiting.extend(entry.uri for entry in entries if entry.is_folder and not entry.is_link)


def _children(folder: str, sizes: bool) -> list[Entry]:
    """Sorted as if a folder's name ended in "/", which makes the whole walk sorted by path."""
    try:
        found = _remote_children(folder) if is_url(folder) else _local_children(folder, sizes)
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error}. Make it readable, or move it away.") from error
    return sorted(found, key=lambda entry: entry.name + "/" * entry.is_folder)


def _local_children(folder: str, sizes: bool) -> list[Entry]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder, is_file = entry.is_dir(), entry.is_file()
            size = entry.stat().st_size if sizes and is_file else None
            found.append(Entry(entry.name, entry.path, is_folder, size, is_file, entry.is_symlink()))
    return found


def _remote_children(folder: str) -> list[Entry]:
    system, path = filesystem(folder)
    found = []
    for info in system.ls(path, detail=True):
        name = info["name"].rstrip("/").rsplit("/", 1)[-1]
        if info["name"].rstrip("/") == path.rstrip("/"):  # object stores list a folder's own marker
            continue
        is_folder = info["type"] == "directory"
        uri = f"{folder.rstrip('/')}/{name}"
        found.append(Entry(name, uri, is_folder, info.get("size"), is_folder or info["type"] == "file"))
    return found


def expand(pattern: str) -> list[Entry]:
    """The files that a pattern with braces ({000..009}, {a,b}) and wildcards (*, ?, [..]) stands for, in order.

    Raises:
        SourceError: something that the braces name is not there, or a wildcard matches nothing.
    """
    found: list[Entry] = []
    for name in _expand_braces(pattern):
        matches = [name] if not _has_wildcards(name) else _matches(name)
        entries = [find(match) for match in matches]
        present = [entry for entry in entries if entry is not None and not entry.is_folder]
        if not present:
            raise SourceError(f"{name} (from {pattern}) does not exist or matches no file; correct the pattern")
        found.extend(present)
    return found


def is_pattern(uri: str) -> bool:
    return bool(_BRACES.search(uri)) or _has_wildcards(uri)


def _has_wildcards(uri: str) -> bool:
    # A question mark in a URL begins its query.
    return any(c in uri for c in ("*[" if is_url(uri) else "*?["))


def _matches(pattern: str) -> list[str]:
    if not is_url(pattern):
        return sorted(glob.glob(pattern, recursive=True))
    system, path = filesystem(pattern)
    return sorted(system.unstrip_protocol(name) for name in system.glob(path))


def _expand_braces(pattern: str) -> list[str]:
    names = [pattern]
    while len(names) <= _MAX_EXPANSION:
        braces = _BRACES.search(names[0])
        if braces is None:
            return names
        names = [
            name[: match.start()] + choice + name[match.end() :]
            for name in names
            if (match := _BRACES.search(name)) is not None
            for choice in _choices(match.group(1))
        ]
    raise SourceError(f"{pattern} stands for more than {_MAX_EXPANSION} files; give their folder instead")


def _choices(inside: str) -> Iterable[str]:
    span = _RANGE.fullmatch(inside)
    if span is None:
        return inside.split(",")
    first, last = span.groups()
    count = int(last) - int(first) + 1
    if not 0 < count <= _MAX_EXPANSION:
        raise SourceError(f"the range {{{inside}}} has {count} members; it must have 1 to {_MAX_EXPANSION}")
    return (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))


def signature(kind: str, files: Iterable[Entry]) -> str:
    """SHA-256 over a kind and the names and sizes of files, in their order."""
    digest = hashlib.sha256(kind.encode())
    for entry in files:
        digest.update(f"\0{entry.name}\0{entry.size}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
