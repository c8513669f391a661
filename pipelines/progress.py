"""How far a stage is, as lines that pages, the API and the terminal follow while it runs.

<stage>/progress.jsonl   {"stage": "train", "time": 1795226400.2, "done": 40, "total": 100, "loss": 1.0}
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRESS_FILE = "progress.jsonl"


def report_progress(folder: Path, stage: str, done: float, total: float, **numbers: float | str) -> None:
    """Append one line to the stage's progress.jsonl."""
    line = {"stage": stage, "time": time.time(), "done": done, "total": total, **numbers}
    with (folder / PROGRESS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_progress(path: Path) -> list[Mapping[str, Any]]:
    """The whole lines of a progress file in their order; none where it is not there (any more).

    What is no such line is passed over: the one that is just being written, the half of one that a killed process left
    with the next one's behind it. Numbers that are none (a loss of NaN) are left out of their line.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:  # the stage was sealed between two looks
        return []
    return [line for row in text.split("\n")[:-1] if (line := _parsed(row)) is not None]


def number_of(value: object) -> float | None:
    """The finite number that a value is, or says as text; None for any other."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _parsed(row: str) -> Mapping[str, Any] | None:
    try:
        raw = json.loads(row)
    except (ValueError, RecursionError):
        return None
    line = {name: value for name, value in raw.items() if _is_plain(value)} if isinstance(raw, dict) else {}
    known = isinstance(line.get("stage"), str) and all(_is_number(line.get(name)) for name in ("done", "total"))
    return line if known else None


def _is_plain(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and number_of(value) is not None
