"""What the engine serves as against what it should serve: the truth that pages and the API tell.

engine.json  {"supervisor_pid": 17, "engine_pid": 18, "model": "tiny-r0001-a1", "sha256": "ab..", "loading": null,
              "restarts": 0, "problem": "", "at": 1795226400.2}
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from service.engine.client import engine_status

STALE_SECONDS = 5.0

State = Literal["serving", "loading", "empty", "down"]


class WatchFile(BaseModel):
    """engine.json as the supervisor writes it, at least once a second; `at` is in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    supervisor_pid: int
    engine_pid: int | None
    model: str | None
    sha256: str | None
    loading: str | None
    restarts: int
    problem: str
    at: float = 0.0


@dataclass(frozen=True)
class EngineView:
    """How the engine stands, with a sentence for people."""

    state: State
    model_id: str | None
    sha256: str | None
    sentence: str


def watch_path(home: Path) -> Path:
    """The file in which the supervisor says how the engine is."""
    return home / "engine.json"


def write_watch(home: Path, watch: WatchFile, clock: float) -> None:
    """Replace engine.json; not flushed to disk, as it means nothing after a restart."""
    path = watch_path(home)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(watch.model_copy(update={"at": clock}).model_dump_json(), encoding="utf-8")
    os.replace(temporary, path)


def read_watch(home: Path) -> WatchFile | None:
    """What the supervisor wrote last; None if it never did or stopped cleanly."""
    try:
        return WatchFile.model_validate_json(watch_path(home).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _ask(home: Path) -> WatchFile | None:
    """What the engine says of itself, where engine.json is old: a full disk keeps the supervisor from writing it."""
    status = engine_status(home)
    if status is None:
        return None
    return WatchFile(
        supervisor_pid=0,
        engine_pid=status.pid,
        model=status.model,
        sha256=status.form.sha256 if status.form else None,
        loading=status.loading,
        restarts=0,
        problem="",
    )


def engine_view(home: Path, champion: str | None, clock: float | None = None) -> EngineView:
    """How the engine of this home stands, given the champion that it should serve."""
    watch = read_watch(home)
    now = time.time() if clock is None else clock
    if watch is None or abs(now - watch.at) > STALE_SECONDS:
        watch = _ask(home)
    if watch is None:
        return EngineView("down", None, None, "nobody runs it: start `perennial engine`")
    if watch.model is None and watch.loading is None:
        waiting = "no champion yet" if champion is None else "it is starting"
        return EngineView("empty" if champion is None else "loading", None, None, watch.problem or waiting)
    if watch.model is None or watch.model != champion:
        return EngineView(
            "loading", watch.model, watch.sha256, watch.problem or f"on its way to {watch.loading or champion}"
        )
    return EngineView("serving", watch.model, watch.sha256, watch.problem or "it is the champion")
