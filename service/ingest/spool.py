"""Chats on disk, sealed, from their last byte until the database has them: nothing is lost while that is away.

    <home>/spool/00001764244800123456789-5f0c9a....chat     nonce (12 bytes) + AES-256-GCM ciphertext, bound to the name

Names sort by time. A file appears whole, or not at all, and is removed once what it holds is committed. They are sealed
under a key of their own from the master key, because the person whose chat it is may not be known yet.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipelines.errors import ArtifactError, NoSpace
from service.vault import Vault

_SUFFIX, _DRAFT, _DAMAGED, _LOCK = ".chat", ".tmp", ".damaged", "lock"
_COUNT_SECONDS = 2.0
_NONCE_BYTES = 12
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Waiting:
    """What lies in a spool: how many chats, their bytes, and since when the oldest does (seconds since 1970)."""

    count: int = 0
    bytes: int = 0
    oldest: float | None = None


class Spool:
    """One home's chats on their way. Several processes may put; whoever holds `only_drain` takes out."""

    def __init__(self, folder: Path, vault: Vault, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._aes = AESGCM(vault.key_for("spool"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._bytes, self._counted_at = waiting(folder).bytes, time.monotonic()

    def put(self, chats: Iterable[tuple[str, bytes]]) -> int:
        """Keep chats by name; on disk when this returns. How many are: the others found no room there, or were not let."""
        kept = 0
        if time.monotonic() - self._counted_at > _COUNT_SECONDS:  # others put and take out too
            self._bytes, self._counted_at = waiting(self._folder).bytes, time.monotonic()
        try:
            for name, plain in chats:
                self._write(f"{name}{_SUFFIX}", plain)
                kept += 1
            _sync(self._folder)
        except (NoSpace, OSError) as error:
            _log.warning("spool_not_written", error=type(error).__name__, bytes=self._bytes)
        return kept

    def names(self) -> list[str]:
        """The chats that wait, oldest first."""
        return sorted(name.removesuffix(_SUFFIX) for name in os.listdir(self._folder) if name.endswith(_SUFFIX))

    def read(self, name: str) -> bytes:
        """What was put.

        Raises:
            ArtifactError: the file is damaged, or was sealed under another master key.
        """
        try:
            sealed = (self._folder / f"{name}{_SUFFIX}").read_bytes()
            return self._aes.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise ArtifactError(f"the chat {name} in {self._folder} is damaged, or of another master key") from error

    def remove(self, names: Iterable[str]) -> None:
        """Forget chats that are stored, or that nothing can be made of."""
        for name in names:
            (self._folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Keep a chat that cannot be opened where nobody tries it again."""
        os.replace(self._folder / f"{name}{_SUFFIX}", self._folder / f"{name}{_DAMAGED}")

    def drop_set_aside(self, before: float) -> None:
        """Delete what was set aside before then (seconds since 1970): nobody's key goes with its person there."""
        for path in self._folder.glob(f"*{_DAMAGED}"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    @contextmanager
    def only_drain(self) -> Iterator[bool]:
        """Whether nobody else takes chats out of this spool until the block ends."""
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)

    def _write(self, name: str, plain: bytes) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._aes.encrypt(nonce, plain, name.removesuffix(_SUFFIX).encode())
        if self._bytes + len(sealed) > self._most_bytes:
            raise NoSpace(f"the spool holds {self._bytes} bytes, and PERENNIAL_SPOOL_BYTES allows {self._most_bytes}")
        draft = self._folder / f"{name}{_DRAFT}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._folder / name)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._bytes += len(sealed)


def waiting(folder: Path) -> Waiting:
    """What lies in the spool at this folder, which need not be there."""
    count, size, oldest = 0, 0, None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    with suppress(FileNotFoundError):  # it was stored meanwhile
                        found = entry.stat()
                        count, size = count + 1, size + found.st_size
                        oldest = found.st_mtime if oldest is None else min(oldest, found.st_mtime)
    except FileNotFoundError:
        return Waiting()
    return Waiting(count, size, oldest)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
