"""Storage with two ways to write: create-if-absent and replace, both atomic. Nothing else keeps state.

A local store writes under a temporary name and links it into place, so that a process killed at any instant
leaves either the whole file or nothing. Any fsspec store works whose `pipe_file(mode="create")` is atomic
(S3, GCS and Azure have conditional puts; `memory://` is used by the tests).
"""

import contextlib
import os
import platform
import secrets
from pathlib import Path
from typing import Any, Protocol

from engine.errors import OutError, StoreError

TEMPORARY = ".tmp"


class Store(Protocol):
    """Files below one root, by relative POSIX path."""

    root: str

    def prepare(self) -> None:
        """Check that the root can be written. Raises: OutError: it cannot."""
        ...

    def sweep(self) -> None:
        """Remove what killed processes left half-written."""
        ...

    def read(self, path: str) -> bytes:
        """Raises: StoreError: there is no such file."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Atomically create; False when the file is there already (somebody else did the same work)."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Atomically create or replace."""
        ...

    def list(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, sorted; none when it does not exist."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""
        ...


def open_store(root: str) -> Store:
    """The store at a path or any fsspec URL."""
    protocol, separator, path = root.partition("://")
    if not separator:
        return LocalStore(root)
    return LocalStore(path) if protocol in ("file", "local") else FsspecStore(root)


class LocalStore:
    """A folder on a local (or POSIX network) file system."""

    def __init__(self, root: str) -> None:
        self.root = str(Path(root).absolute())

    def prepare(self) -> None:
        """Make the root.

        Raises:
            OutError: the folder cannot be made or written.
        """
        try:
            os.makedirs(f"{self.root}/{TEMPORARY}", exist_ok=True)
            probe = self._temporary(b"")
            os.link(probe, f"{probe}-link")
            os.unlink(f"{probe}-link")
            os.unlink(probe)
        except OSError as error:
            raise OutError(
                f"cannot write to {self.root}: {error.strerror or error}. "
                "Choose an OUT that you may write to, or change its permissions."
            ) from error

    def sweep(self) -> None:
        """Remove temporary files of this machine's processes that are no longer there."""
        for name in self.list(TEMPORARY):
            host, _, rest = name.rpartition("~")
            if host == _host() and not os.path.exists(f"/proc/{rest.partition('-')[0]}"):
                self.delete(f"{TEMPORARY}/{name}")

    def local_path(self, path: str) -> str:
        return f"{self.root}/{path}"

    def read(self, path: str) -> bytes:
        try:
            with open(self.local_path(path), "rb") as file:
                return file.read()
        except OSError as error:
            raise StoreError(f"cannot read {self.local_path(path)}: {error.strerror or error}") from error

    def create(self, path: str, data: bytes) -> bool:
        temporary = self._temporary(data)
        target = self.local_path(path)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        return True

    def put(self, path: str, data: bytes) -> None:
        temporary = self._temporary(data)
        target = self.local_path(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(temporary, target)
        # A marker must not outlive, in a power cut, the names of the tables that it speaks of.
        folder = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def list(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.local_path(folder)) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot list {self.local_path(folder)}: {error.strerror or error}") from error

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.local_path(path))

    def _temporary(self, data: bytes) -> str:
        """Write and sync `data` under a name of this process's own, on the file system of the target."""
        name = f"{self.root}/{TEMPORARY}/{_host()}~{os.getpid()}-{secrets.token_hex(8)}"
        try:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            with os.fdopen(file, "wb") as handle:
                handle.write(data)
                handle.flush()
                # Without this a power cut can leave a complete name on an empty file.
                os.fdatasync(handle.fileno())
        except BaseException:
            os.unlink(name)
            raise
        return name


class FsspecStore:
    """Any fsspec file system with create-if-absent."""

    def __init__(self, root: str, **options: Any) -> None:
        import fsspec

        self.root = root.rstrip("/")
        try:
            self._fs, self._base = fsspec.core.url_to_fs(self.root, **options)
        except (ImportError, ValueError) as error:
            raise OutError(f"cannot open {root}: {error}. Install the fsspec package for this kind of URL.") from error

    def prepare(self) -> None:
        """Check that the root can be written, atomically.

        Raises:
            OutError: it cannot.
        """
        from fsspec.spec import AbstractFileSystem

        if type(self._fs).pipe_file is AbstractFileSystem.pipe_file:
            kind = self.root.partition("://")[0]
            raise OutError(
                f"{self.root}: fsspec's {kind} cannot create a file only where there is none, so two runs (or one that "
                "is killed) could leave half a file. Use a local path, S3, GCS or Azure for OUT."
            )
        probe = f"{self._base}/{TEMPORARY}-{secrets.token_hex(8)}"
        try:
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)
        except Exception as error:
            raise OutError(f"cannot write to {self.root}: {type(error).__name__}: {error}") from error

    def sweep(self) -> None:
        """Object stores leave nothing half-written."""

    def read(self, path: str) -> bytes:
        try:
            return bytes(self._fs.cat_file(f"{self._base}/{path}"))
        except FileNotFoundError as error:
            raise StoreError(f"cannot read {self.root}/{path}: there is no such file") from error

    def create(self, path: str, data: bytes) -> bool:
        target = f"{self._base}/{path}"
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            self._fs.pipe_file(target, data, mode="create")
        except FileExistsError:
            return False
        return True

    def put(self, path: str, data: bytes) -> None:
        target = f"{self._base}/{path}"
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(target, data)

    def list(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(f"{self._base}/{folder}", detail=True)
        except FileNotFoundError:
            return []
        return sorted(f["name"].rstrip("/").rpartition("/")[2] for f in found if f["type"] == "file")

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._base}/{path}")


def _host() -> str:
    """Machines may share a folder, and their process numbers overlap."""
    return platform.node().replace("/", "_") or "host"
