"""What a round leaves on disk: stage folders, and files and folders that appear complete and flushed, or not at all.

A stage folder is written under a temporary name, its manifest last, and renamed under a fence check:

var/rounds/0001/attempt-1/
├── snapshot/            finished: holds manifest.json
│   ├── items.jsonl
│   └── manifest.json    {"stage": "snapshot", "input": "<digest>", "output": {...}, "files": {...}, ...}
├── train.7.tmp/         being written by the worker with fence 7
│   └── reads.sha256     the digest of what the stage reads; another input does not go on from these files
└── scratch/             text; deleted when the attempt ends
"""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import ArtifactError, DataError, NoSpace
from pipelines.progress import PROGRESS_FILE

Output = TypeVar("Output", bound=BaseModel)
Line = TypeVar("Line", bound=BaseModel)
_CHUNK_BYTES = 1 << 20
_READS = "reads.sha256"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Manifest(BaseModel):
    """What a finished stage left: its output record, its files' sha256, and the digest of what it read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    input: str
    output: dict[str, Any]
    files: dict[str, str]
    seconds: float
    finished_at: float

    @property
    def digest(self) -> str:
        """What later stages are keyed by: the output and the digests of the files."""
        return digest_of({"output": self.output, "files": self.files})


class Attempt:
    """One try at a round: its folder, the fence it was claimed with, and the check that the claim still holds.

    `still_ours` raises Cancelled when the lease was lost or the round cancelled.
    """

    def __init__(self, folder: Path, fence: int, still_ours: Callable[[], None]) -> None:
        self.folder, self.fence, self.still_ours = folder, fence, still_ours
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def scratch(self) -> Path:
        """Where stages may write text; mode 0700."""
        path = self.folder / "scratch"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def clear_scratch(self) -> None:
        """Delete what only this run needed, texts among it."""
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)

    def finished(self, stage: str, read: str, output: type[Output]) -> Output | None:
        """The output of a stage that already ran on the same input with its files unchanged, else None."""
        manifest = read_manifest(self.folder / stage)
        if manifest is None or manifest.input != read:
            return None
        verify_files(self.folder / stage, manifest.files)
        return output.model_validate(manifest.output)

    @contextmanager
    def writing(self, stage: str, read: str) -> Iterator[Path]:
        """A folder to write a stage into. It survives a crash, so a stage may resume from what it finds there.

        `read` is the digest of the stage's input: what was left over another input is deleted.
        """
        self.still_ours()
        folder = self.folder / f"{stage}.{self.fence}.tmp"
        self._adopt_leftovers(stage, folder, read)
        folder.mkdir(exist_ok=True)
        write_atomic(folder / _READS, read)
        yield folder

    def seal(self, stage: str, folder: Path, read: str, output: BaseModel, seconds: float) -> Manifest:
        """Write the manifest last and rename the folder into place, if the claim still holds."""
        (folder / _READS).unlink(missing_ok=True)  # the manifest says the same
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in paths:  # before the manifest, so that no power cut leaves one that speaks of lost bytes
            sync(path)
        results = [path for path in paths if path.name != PROGRESS_FILE]  # when it was made is no part of what was made
        files = {str(path.relative_to(folder)): sha256_of(path) for path in results}
        manifest = Manifest(
            stage=stage,
            input=read,
            output=output.model_dump(mode="json"),
            files=files,
            seconds=seconds,
            finished_at=time.time(),
        )
        write_atomic(folder / "manifest.json", manifest.model_dump_json(indent=1))
        self.still_ours()
        target = self.folder / stage
        shutil.rmtree(target, ignore_errors=True)
        os.replace(folder, target)
        sync(self.folder)
        return manifest

    def _adopt_leftovers(self, stage: str, folder: Path, read: str) -> None:
        """Take over the newest unfinished folder of the same input (its checkpoints count); drop the others."""
        left = sorted(self.folder.glob(f"{stage}.*.tmp"), key=lambda p: int(p.name.split(".")[-2]))
        newest = next((path for path in reversed(left) if _was_reading(path) == read), None)
        for path in left:
            if path != newest:
                shutil.rmtree(path, ignore_errors=path != folder)
        if newest is not None and newest != folder:
            os.replace(newest, folder)


def _was_reading(folder: Path) -> str | None:
    path = folder / _READS
    return path.read_text(encoding="utf-8") if path.is_file() else None


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a stage folder, or None if the stage did not finish."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path} is not a manifest of this version: {error}") from error


def verify_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raise ArtifactError if a file of a finished stage is missing or was changed."""
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(
                f"{path} is missing, though its stage finished; nothing built on it can be trusted, so ask for a new round"
            )
        if sha256_of(path) != expected:
            raise ArtifactError(
                f"{path} was changed after its stage finished; nothing built on it can be trusted, so ask for a new round"
            )


def write_atomic(path: Path, text: str) -> None:
    """Write, flush to disk, rename: readers see the old file or the whole new one, also of two that write at once."""
    temporary = path.with_name(f"{path.name}.{threading.get_native_id()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries so that a rename survives a power cut, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_records(path: Path, records: Iterable[BaseModel]) -> int:
    """How many records were written to a JSONL file, one to a line; the same records give the same bytes everywhere."""
    return sum(1 for _ in writing_records(path, records))


def writing_records(path: Path, records: Iterable[Line]) -> Iterator[Line]:
    """The same records, each written to a JSONL file as it passes; the file is whole once all have."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(record.model_dump_json() + "\n")
            yield record


def read_records(path: Path, kind: type[Line]) -> Iterator[Line]:
    """The records of a JSONL file in its order, one at a time; blank lines are passed over.

    Only a line feed ends a line: text may hold the other separators that str.splitlines knows, such as U+2028.

    Raises:
        DataError: the file cannot be read, or a line is not such a record; the sentence names the line, never its text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parsed(line, kind, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason}") from error


def _parsed(line: str, kind: type[Line], place: str) -> Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the line"
        name = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()
        article = "an" if name[0] in "aeiou" else "a"
        raise DataError(f"{place} is not {article} {name} of this version: {where}: {problem['msg']}") from error


def sha256_of(path: Path) -> str:
    """The hex sha256 of a file, read in chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()


def digest_of(value: Any) -> str:
    """The hex sha256 of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def digest_of_records(lists: Iterable[Iterable[BaseModel]]) -> str:
    """`digest_of` these lists of records, one record in memory at a time."""
    digest = hashlib.sha256(b"[")
    for place, records in enumerate(lists):
        digest.update(b", [" if place else b"[")
        for number, record in enumerate(records):
            text = json.dumps(record.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
            digest.update(f"{', ' if number else ''}{text}".encode())
        digest.update(b"]")
    digest.update(b"]")
    return digest.hexdigest()


@contextmanager
def new_folder(out: Path, needed_bytes: int) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` if the block ends without an error.

    Raises:
        ArtifactError: `out` exists already, or the disk is too small or failed.
    """
    if out.exists():
        raise ArtifactError(f"{out} exists already; artifacts are never overwritten")
    with _written(out, needed_bytes) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        os.rename(temporary, out)


@contextmanager
def new_file(out: Path, needed_bytes: int) -> Iterator[Path]:
    """A temporary path beside `out`, to be written by the block, that then replaces `out` in one step.

    Raises:
        ArtifactError: the disk is too small or failed.
    """
    with _written(out, needed_bytes) as temporary:
        yield temporary
        sync(temporary)
        os.replace(temporary, out)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raises NoSpace if the disk under `folder` lacks that many bytes and a margin of 1 percent + 1 MB."""
    free = shutil.disk_usage(folder).free
    wanted = needed_bytes + needed_bytes // 100 + (1 << 20)
    if free < wanted:
        raise NoSpace(
            f"{folder} has {free >> 20} MB free where {(wanted >> 20) + 1} MB are needed; make room on that disk"
        )


@contextmanager
def naming_full_disks(folder: Path) -> Iterator[None]:
    """Make NoSpace of the error of a full disk, whatever was being written under the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"the disk under {folder} is full") from error
        raise


@contextmanager
def _written(out: Path, needed_bytes: int) -> Iterator[Path]:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        require_space(out.parent, needed_bytes)
        yield temporary
        sync(out.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"cannot write {out}: the disk is full") from error
        raise ArtifactError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        _remove(temporary)


def _remove_leftovers(out: Path) -> None:
    """What a killed writer of the same file left: the temporary name holds its process id."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
        writer = left.name.split(".")[-2]
        if writer.isdigit() and (int(writer) == os.getpid() or not _is_running(int(writer))):
            _remove(left)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
