"""Logging: one JSON line per event on standard error, ids and counts only.

{"level": "error", "event": "uvicorn.error", "words": "[Errno 98] ... address already in use", "timestamp": "2026-..."}
"""

import json
import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, cast

import structlog

# what these say never quotes a request: uvicorn's access log, which would, is off
_QUOTED = ("uvicorn", "uvicorn.error", "uvicorn.asgi")
_PROJECT = Path(__file__).resolve().parent.parent


def set_up_logging(level: int = logging.INFO) -> None:
    """Makes structlog and the standard library's loggers write one JSON line per event; call once per process."""
    words = cast(TextIO, _Words(sys.stderr))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=words),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(words)
    handler.setFormatter(_OneEvent())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Words:
    """A stream whose failures stay its own: a full disk under a log ends no process, and no thread that stores."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def place_of(error: BaseException) -> str:
    """The line of code that raised it, the innermost of ours if there is one: of an error, all that may be logged."""
    places = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [(path.relative_to(_PROJECT), line) for path, line in places if _is_ours(path)]
    nearest = ours or places
    return "" if not nearest else f"{nearest[-1][0]}:{nearest[-1][1]}"


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(_PROJECT) and "site-packages" not in path.parts


class _OneEvent(logging.Formatter):
    """The logger's name, and its words where they are known to quote nobody: other libraries quote what they work on.

    An exception's message and traceback quote too, so of one only its kind and place are kept.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname.lower(), "event": record.name}
        if record.name in _QUOTED:
            line["words"] = record.getMessage().strip()
        if record.exc_info and record.exc_info[1] is not None:
            line |= {"error": type(record.exc_info[1]).__name__, "place": place_of(record.exc_info[1])}
        line["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        return json.dumps(line, ensure_ascii=False)
