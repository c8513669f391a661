"""Files as tests of importers need them: read to things without a database, or imported whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.ingest.importers.counts import Counts
from service.ingest.importers.items import Options, Thing
from service.ingest.importers.post import Post
from service.ingest.importers.reading import Mark, find_work, read_work
from service.ingest.importers.ready import Rating, Terms
from service.ingest.importers.run import import_work, scratch_folder
from service.ingest.importers.table import FORMATS, AnyFormat


def read_items(path: Path, one: AnyFormat | None = None, options: Options | None = None) -> list[Thing]:
    """Everything that is found at a path, in order; of a format, or of the one that it looks like."""
    work = find_work(path, FORMATS if one is None else (one,), path.parent / "scratch", is_named=one is not None)
    given = options or Options("default", "each")
    return [thing for _, _, thing in read_work(work, given, path.parent / "scratch", Mark(0, 0))]


def write(path: Path, content: bytes | str) -> Path:
    """The file, written."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def import_file(
    path: Path,
    post: Post,
    home: Path,
    *,
    consent: bool | None = None,
    rating: Rating | None = None,
    user: str | None = "archive",
    app: str | None = None,
    target: str = "",
    progress: Callable[[int, int, float], Any] = lambda done, total, rate: None,
) -> Counts:
    """What became of an import, as the command does it."""
    options, terms = Options(app or "default", user), Terms(consent, rating, app)
    work = find_work(path, FORMATS, scratch_folder(home))
    return import_work(path, work, post, home, options, terms, target=target, progress=progress)[0]


def figures(counts: Counts) -> tuple[int, ...]:
    """Conversations created, unchanged and appended, and what was refused."""
    return (
        *(counts.of("conversations", name) for name in ("created", "unchanged", "appended")),
        sum(counts.refused.values()),
    )
