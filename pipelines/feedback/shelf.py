"""The conversations of a round laid aside: read back one at a time, so that memory does not grow with what they say.

Up to HELD of them stay in memory. More go to a file that has no name, sealed with a key that only this process has:
nothing of it can be read once the process ends, however it ends.
"""

import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipelines.records import RatedConversation

HELD = 1_000
_NONCE_BYTES = 12
_BUFFER_BYTES = 1 << 20
_Kept = TypeVar("_Kept")
_Shown = TypeVar("_Shown")


class Lazy(Sequence[_Shown], Generic[_Kept, _Shown]):
    """A sequence whose items are made of small ones whenever they are asked for, and kept by nobody."""

    def __init__(self, kept: Sequence[_Kept], show: Callable[[_Kept], _Shown]) -> None:
        self._kept, self._show = kept, show

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, place: int) -> _Shown: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[_Shown]: ...
    def __getitem__(self, place: int | slice) -> _Shown | Sequence[_Shown]:
        if isinstance(place, slice):
            return Lazy(self._kept[place], self._show)
        return self._show(self._kept[place])

    def __iter__(self) -> Iterator[_Shown]:
        return map(self._show, self._kept)


class Shelf(Sequence[RatedConversation]):
    """These conversations in the order of their names, each unsealed when it is asked for."""

    def __init__(self, candidates: Iterable[RatedConversation], folder: Path | None = None) -> None:
        """`folder` is where the file is made that has no name; None: where the system keeps temporary files."""
        self._held: list[RatedConversation] = []
        self._file: _SealedFile | None = None
        names = []
        for candidate in candidates:
            names.append(candidate.conversation)
            self._held.append(candidate)
            if len(self._held) > HELD or self._file:
                self._lay_down(folder)
        self._order = array("Q", sorted(range(len(names)), key=names.__getitem__))
        self._names = [names[place] for place in self._order]

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> RatedConversation: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[RatedConversation]: ...
    def __getitem__(self, place: int | slice) -> RatedConversation | Sequence[RatedConversation]:
        if isinstance(place, slice):
            return Lazy(range(len(self))[place], self.__getitem__)
        stored = self._order[place]
        if self._file is None:
            return self._held[stored]
        candidate: RatedConversation = pickle.loads(self._file.read(stored))
        return candidate

    def places_of(self, names: Container[str]) -> list[int]:
        """Where those of these names stand, in order."""
        return [place for place, name in enumerate(self._names) if name in names]

    def named(self, names: Container[str]) -> Iterator[RatedConversation]:
        """Those of these names, in order; no other one is read."""
        return map(self.__getitem__, self.places_of(names))

    def _lay_down(self, folder: Path | None) -> None:
        self._file = self._file or _SealedFile(folder)
        for candidate in self._held:
            self._file.append(pickle.dumps(candidate, pickle.HIGHEST_PROTOCOL))
        self._held.clear()


class _SealedFile:
    """Records in a file that has no name, by the order in which they came; it goes when nobody refers to it any more."""

    def __init__(self, folder: Path | None) -> None:
        handle, path = tempfile.mkstemp(dir=folder)
        os.unlink(path)
        self._handle = handle
        self._close = weakref.finalize(self, os.close, handle)
        self._aead = AESGCM(AESGCM.generate_key(bit_length=256))
        self._ends = array("Q", [0])
        self._buffer = bytearray()
        self._written = 0

    def append(self, record: bytes) -> None:
        sealed = self._aead.encrypt(self._nonce(len(self._ends) - 1), record, None)
        self._buffer += sealed
        self._ends.append(self._ends[-1] + len(sealed))
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()

    def read(self, place: int) -> bytes:
        self._flush()
        start, end = self._ends[place], self._ends[place + 1]
        return self._aead.decrypt(self._nonce(place), os.pread(self._handle, end - start, start), None)

    def _nonce(self, place: int) -> bytes:
        """A number that no other record under this key has."""
        return place.to_bytes(_NONCE_BYTES, "big")

    def _flush(self) -> None:
        while self._buffer:
            written = os.pwrite(self._handle, self._buffer, self._written)
            self._written += written
            del self._buffer[:written]
