"""The files of a round that people may take away: its report, scores and plots, the adapter, its logs.

Only what lies under the round's own folder, by the names below; nothing that holds text of users ever stands there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.errors import NotFound
from service.settings import Settings

Access = Literal["read", "operate"]
# What may be taken, and by whom: figures by all who may read, weights and logs by those who run the machine.
_FILES: tuple[tuple[str, Access], ...] = (
    ("recipe.json", "read"),
    ("report/report.md", "read"),
    ("report/report.json", "read"),
    ("report/*.png", "read"),
    ("gate/manifest.json", "read"),
    ("evaluate/scores.json", "read"),
    ("evaluate/items.jsonl.gz", "operate"),
    ("train/loss_history.csv", "read"),
    ("prefer/preference_history.csv", "read"),
    ("train/adapter/*", "operate"),
    ("prefer/adapter/*", "operate"),
    ("train/*.log", "operate"),
    ("prefer/*.log", "operate"),
)


@dataclass(frozen=True)
class RoundFile:
    """A file of an attempt: its path from the attempt's folder, its size in bytes, the scope that it takes."""

    name: str
    size_bytes: int
    scope: Access


def list_files(settings: Settings, round_id: int, attempt: int) -> list[RoundFile]:
    """What there is of an attempt to take away, in the order of the stages."""
    folder = attempt_folder(settings, round_id, attempt)
    return [
        RoundFile(path.relative_to(folder).as_posix(), path.stat().st_size, scope)
        for pattern, scope in _FILES
        for path in sorted(folder.glob(pattern))
        if _is_inside(path, folder)
    ]


def find_file(settings: Settings, round_id: int, attempt: int, name: str) -> tuple[Path, Access]:
    """Where a file of that list lies, and the scope that it takes. Raises NotFound for any other name."""
    for file in list_files(settings, round_id, attempt):
        if file.name == name:
            return attempt_folder(settings, round_id, attempt) / name, file.scope
    raise NotFound(f"round {round_id} has no file {name[:80]!r} in its attempt {attempt}")


def log_tail(settings: Settings, round_id: int, attempt: int, lines: int = 60) -> str:
    """The last lines of what training said, the newest stage's; empty where there is no log."""
    folder = attempt_folder(settings, round_id, attempt)
    logs = [
        path for stage in ("prefer", "train") for path in folder.glob(f"{stage}*/*.log") if _is_inside(path, folder)
    ]
    newest = max(logs, key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None:
        return ""
    with newest.open("rb") as file:
        file.seek(max(0, newest.stat().st_size - 200 * lines))
        return settings.without_paths("\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:]))


def attempt_folder(settings: Settings, round_id: int, attempt: int) -> Path:
    """Where an attempt lies."""
    return settings.rounds / f"{round_id:04d}" / f"attempt-{attempt}"


def _is_inside(path: Path, folder: Path) -> bool:
    """A file, and no link that leads out of the attempt's folder."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())
