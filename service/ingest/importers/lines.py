"""The lines of a file that somebody wants imported, whatever it is: a folder, an archive, one endless line."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import InputError, NotFound

MAX_LINE_BYTES = 32 << 20
_SKIPPED_BYTES = 1 << 20
# How files begin that hold no lines of JSON, what they are, and what to do about it.
_OTHERS = (
    (b"\x1f\x8b", "is packed with gzip; unpack it (gunzip)"),
    (b"PK\x03\x04", "is a zip archive; unpack it (unzip)"),
    (b"BZh", "is packed with bzip2; unpack it (bunzip2)"),
    (b"\xfd7zXZ\x00", "is packed with xz; unpack it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstd; unpack it (unzstd)"),
    (b"PAR1", "is a Parquet file; write it out as lines of JSON"),
    (b"SQLite format 3\x00", "is a SQLite database; write it out as lines of JSON"),
    (b"\xff\xfe", "is UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text; save it as UTF-8"),
)


def check_file(path: Path) -> None:
    """Passes if this may be a file of lines.

    Raises:
        NotFound: there is no such file.
        InputError: it is a folder, or of a kind that holds no lines of JSON.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name one file")
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    with path.open("rb") as file:
        head = file.read(32)
    for beginning, sentence in _OTHERS:
        if head.startswith(beginning):
            raise InputError(f"{path} {sentence} and import what comes out")


def read_lines(path: Path, offset: int) -> Iterator[tuple[int, bytes | None]]:
    """Each line from a byte of the file on, with the offset behind it; None for one longer than MAX_LINE_BYTES."""
    with path.open("rb") as file:
        file.seek(offset)
        while line := file.readline(MAX_LINE_BYTES + 1):
            offset += len(line)
            if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
                yield offset, line
                continue
            while not line.endswith(b"\n") and (line := file.readline(_SKIPPED_BYTES)):
                offset += len(line)
            yield offset, None
