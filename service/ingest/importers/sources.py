"""The files at a path that somebody wants imported, whatever it is: one file, a folder, a ZIP archive, each perhaps packed.

An archive is read where it lies: nothing is written by the names in it, and what unpacks to far more than it weighs, or
breaks off, is refused.
"""

import bz2
import gzip
import lzma
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from pipelines.errors import DataError, InputError, NotFound

HEAD_BYTES = 64 << 10
_BUFFER_BYTES, _STEP_BYTES = 1 << 20, 64 << 10
_BOMB_BYTES, _BOMB_RATIO = 256 << 20, 200  # text that people wrote packs to a tenth; deflate ends at a thousandth
_PACKED: Mapping[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
Bytes = Callable[[int], None]


class Damaged(DataError):
    """A file that breaks off, or does not unpack; the sentence goes on behind its name."""


@dataclass(frozen=True)
class Source:
    """A file: its name for people, the bytes by which progress is measured, where it lies, and its name in an archive."""

    name: str
    size: int
    path: Path
    member: str | None = None

    @contextmanager
    def open(self, read: Bytes = lambda count: None) -> Iterator[BinaryIO]:
        """Its bytes, unpacked; `read` is called with the bytes of `size` that each step took.

        Raises while it is read:
            Damaged: it breaks off, does not unpack, or unpacks to far more than it weighs.
        """
        with ExitStack() as stack:
            raw = stack.enter_context(self._raw())
            counted = BufferedReader(cast(RawIOBase, _Counted(raw, read, self._most())), _BUFFER_BYTES)
            head = counted.peek(8)
            unpack = next((open_packed for magic, open_packed in _PACKED.items() if head.startswith(magic)), None)
            if unpack is None:
                yield cast(BinaryIO, counted)
            else:
                most = max(_BOMB_BYTES, _BOMB_RATIO * self.size)
                unpacked = _Counted(unpack(cast(IO[bytes], counted)), lambda count: None, most)
                yield cast(BinaryIO, BufferedReader(cast(RawIOBase, unpacked), _BUFFER_BYTES))

    def head(self) -> bytes:
        """How it begins, at most 64 KiB; raises Damaged."""
        with self.open() as file:
            return cast(BufferedReader, file).peek(HEAD_BYTES)[:HEAD_BYTES]

    @contextmanager
    def on_disk(self, folder: Path) -> Iterator[Path]:
        """A path of its unpacked bytes; a copy under `folder` lives as long as the block where it lies in an archive."""
        with self.path.open("rb") as file:
            is_packed = self.member is not None or any(file.read(8).startswith(magic) for magic in _PACKED)
        if not is_packed:
            yield self.path
            return
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"unpacked-{os.getpid()}"
        try:
            with self.open() as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, _BUFFER_BYTES)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    @contextmanager
    def _raw(self) -> Iterator[IO[bytes]]:
        if self.member is None:
            with self.path.open("rb", buffering=0) as file:
                yield cast(IO[bytes], file)
            return
        with _archive(self.path) as archive:
            try:
                opened = archive.open(self.member)
            except (
                *_DAMAGES,
                NotImplementedError,
            ) as error:  # the latter, a RuntimeError too, for a method it does not know
                raise Damaged(f"cannot be unpacked ({error})") from None
            except RuntimeError:  # what zipfile raises where a password is asked for
                raise Damaged("is locked with a password; unpack it and import what comes out") from None
            with opened:
                yield opened

    def _most(self) -> int | None:
        if self.member is None:
            return None
        with _archive(self.path) as archive:
            return max(_BOMB_BYTES, _BOMB_RATIO * archive.getinfo(self.member).compress_size)


class _Counted(RawIOBase):
    """A stream that says what was read of it, and ends with a sentence where it breaks off or grows beyond `most` bytes.

    Parquet is read from its end, so it can be wound.
    """

    def __init__(self, inner: IO[bytes], read: Bytes, most: int | None) -> None:
        self._inner, self._read, self._most, self._size = inner, read, most, 0
        self._damage: Damaged | None = None
        # one step at a time: what unpacks well before the damage is not lost with it
        self._step = getattr(inner, "read1", inner.read)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._inner.seekable()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def readinto(self, buffer: Any) -> int:
        if self._damage is not None:
            raise self._damage
        size = 0
        try:
            while size < len(buffer) and (chunk := self._step(min(_STEP_BYTES, len(buffer) - size))):
                buffer[size : size + len(chunk)] = chunk
                size += len(chunk)
        except _DAMAGES as error:
            self._damage = Damaged(f"is damaged or was cut off ({type(error).__name__}): copy it again")
            if not size:  # else what came before the damage goes first
                raise self._damage from None
        self._size += size
        self._read(size)
        if self._most is not None and self._size > self._most:
            raise Damaged(
                f"unpacks to more than {_BOMB_RATIO} times its size, as no text does: unpack it yourself if you "
                "trust it, and import what comes out"
            )
        return size


def find_sources(path: Path) -> list[Source]:
    """The files at a path, by name; in a folder and an archive without hidden ones.

    Raises:
        NotFound: there is nothing at this path.
        InputError: a folder or an archive with no files in it, or an archive that is not whole.
    """
    if path.is_dir():
        found = list(_in_folder(path))
    elif not path.is_file():
        raise NotFound(f"there is no file {path}")
    elif _is_zip(path):
        found = list(_in_archive(path))
    else:
        return [Source(_shown(path.name), path.stat().st_size, path)]
    if not found:
        raise InputError(f"there are no files in {path}")
    return found


def _in_folder(path: Path) -> Iterator[Source]:
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith(".") or not file.is_file():
                continue
            shown = _shown(str(file.relative_to(path)))
            if _is_zip(file):
                yield from (Source(f"{shown}/{one.name}", one.size, file, one.member) for one in _in_archive(file))
            else:
                yield Source(shown, file.stat().st_size, file)


def _in_archive(path: Path) -> Iterator[Source]:
    with _archive(path) as archive:
        for one in sorted(archive.infolist(), key=lambda info: info.filename):
            parts = [part for part in one.filename.split("/") if part not in (".", "..")]
            hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
            if not one.is_dir() and not hidden:
                yield Source(_shown(one.filename), one.file_size, path, one.filename)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (*_DAMAGES, ValueError) as error:
        raise InputError(f"{path} is no whole ZIP archive ({error}): copy it again") from None
    with archive:
        yield archive


def _shown(name: str) -> str:
    """A name that a terminal can show, whatever somebody called the file."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
