"""One JSON line per event: uvicorn's words are kept, what other libraries quote is not, a traceback never."""

import io
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from service.logs import set_up_logging

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """What a process wrote to its log."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logging.getLogger().handlers[:] = []
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)  # a server of another test may end that
    set_up_logging()
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def fail() -> None:
    raise ValueError("somebody's secret")


def test_what_uvicorn_says_is_kept(lines: Lines) -> None:
    logging.getLogger("uvicorn.error").error("[Errno %d] address already in use\n", 98)
    [line] = lines()
    assert (line["level"], line["event"]) == ("error", "uvicorn.error")
    assert line["words"] == "[Errno 98] address already in use" and line["timestamp"]


def test_what_other_libraries_quote_is_not(lines: Lines) -> None:
    for name in ("a.library", "uvicorn.access"):
        logging.getLogger(name).warning("analysed: somebody's secret")
    assert [line.keys() for line in lines()] == [{"level", "event", "timestamp"}] * 2


def test_of_an_exception_kind_and_place_are_kept_and_no_word(lines: Lines) -> None:
    for name in ("uvicorn.error", "asyncio"):
        try:
            fail()
        except ValueError:
            logging.getLogger(name).exception("Exception in ASGI application\n")
    assert [(line["error"], line["place"].split(":")[0]) for line in lines()] == [
        ("ValueError", "tests/service/test_logs.py")
    ] * 2


def test_our_own_events_are_lines_of_the_same_shape(lines: Lines) -> None:
    structlog.get_logger("web").warning("request", status=503)
    [line] = lines()
    assert (line["level"], line["event"], line["status"]) == ("warning", "request", 503)
