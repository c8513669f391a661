"""Who was erased, apart from every database: only added to, and carried out again on whatever is restored.

<home>/keys/erasures.ndjson (or PERENNIAL_ERASURE_LIST)
{"id": "<receipt>", "at": "2026-11-27T09:12:00+00:00", "app": "<app's id>", "person": "<person's id>", "hash": "5f0c..."}

`hash` is the keyed hash of the user's id, empty where only the rows were left to tell of it. Two copies of the list are
joined by writing one behind the other: a line that comes twice counts once.
"""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from pipelines.errors import ArtifactError


class Erasure(msgspec.Struct, frozen=True):
    """One erasure; `id` is that of its receipt."""

    id: str
    at: datetime
    app: str
    person: str
    hash: str = ""


@dataclass(frozen=True)
class ErasureList:
    """The list in a file, which need not be there yet."""

    path: Path

    def read(self) -> dict[str, Erasure]:
        """Every erasure by its id, oldest first.

        Raises:
            ArtifactError: a line cannot be read; a half-written last one is passed over, as its receipt tells of it.
        """
        try:
            whole = self.path.read_bytes().rpartition(b"\n")[0]
        except FileNotFoundError:
            return {}
        found: dict[str, Erasure] = {}
        for number, line in enumerate(whole.split(b"\n"), 1):
            if line.strip():
                one = self._parse(number, line)
                if one.id not in found or not found[one.id].hash:
                    found[one.id] = one
        return dict(sorted(found.items(), key=lambda item: item[1].at))

    def append(self, erasures: Sequence[Erasure]) -> None:
        """Adds these behind the others, on the disk when this returns; a half-written last line goes."""
        if not erasures:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in erasures)
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            kept = file.read()
            if not kept.endswith(b"\n"):
                file.truncate(kept.rfind(b"\n") + 1)
            file.write(lines)
            os.fsync(file.fileno())

    def _parse(self, number: int, line: bytes) -> Erasure:
        try:
            return msgspec.json.decode(line, type=Erasure)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ArtifactError(
                f"line {number} of the erasure list {self.path} cannot be read, so who was forgotten there is not known: "
                "put back a copy of the list in which it can"
            ) from error
