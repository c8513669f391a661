"""Runs one claimed round: `python -m service.rounds.child ROUND_ID FENCE`, started by the worker in a group of its own.

The first line of standard input holds the settings as JSON. The pipe then stays open: when it closes, the worker is
gone (or wants an end), and this process ends with its whole group, so nothing outlives a worker killed with -9.
"""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.logs import set_up_logging
from service.rounds.execution import execute
from service.rounds.requests import Claim
from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault

NOT_OURS = 3
_PATHS = ("home", "project")


def main() -> int:
    """Exit status 0 when the round's end was recorded, NOT_OURS when it was no longer ours to record."""
    round_id, fence = int(sys.argv[1]), int(sys.argv[2])
    settings = read_settings(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_worker, daemon=True).start()
    set_up_logging()
    store = open_store(settings)
    try:
        state = execute(settings, store, open_vault(settings, store), Claim(store, round_id, fence))
    finally:
        store.close()
    return NOT_OURS if state == "lost" else 0


def write_settings(settings: Settings) -> bytes:
    """The settings as one line, for a child's standard input: never in arguments or files, for the key's sake."""
    values = {name: str(value) if name in _PATHS else value for name, value in asdict(settings).items()}
    return json.dumps(values).encode() + b"\n"


def read_settings(line: bytes) -> Settings:
    """The settings that the parent wrote."""
    values: dict[str, Any] = json.loads(line)
    values |= {name: Path(values[name]) for name in _PATHS}
    return Settings(**values)


def _end_with_worker() -> None:
    while os.read(
        sys.stdin.fileno(), 4096
    ):  # below Python's buffers: a thread in their lock aborts the interpreter's exit
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(NOT_OURS)


if __name__ == "__main__":
    sys.exit(main())
