"""Runs the benchmarks that are named (all but storm, growth and gpu without names) and writes var/bench.json after each.

python -m bench ingest curation
python -m bench storm --seconds 60 --kills 10        what follows a single name is that one's own
python -m bench growth --up-to 100000
"""

import importlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MEASURES = (
    "ingest",
    "imports",
    "curation",
    "privacy",
    "proxy",
    "serving",
    "swap",
    "merge",
    "scorer",
    "plan",
    "mlx",
    "memory",
    "pages",
)
WITH_OPTIONS = ("storm", "growth", "imports", "gpu", "plan", "memory", "pages", "watch")
ENTRIES = tuple(dict.fromkeys((*MEASURES, *WITH_OPTIONS)))
RESULTS = Path("var/bench.json")


def main(arguments: Sequence[str]) -> int:
    """0, or 1 if an entry says that it did not pass."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    options: list[str] = []
    if len(arguments) > len(names):
        names, options = list(arguments[:1]), list(arguments[1:])
    unknown = sorted(set(names) - set(ENTRIES))
    if unknown:
        sys.exit(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ENTRIES)}")
    if options and names[0] not in WITH_OPTIONS:
        known = ", ".join(WITH_OPTIONS)
        sys.exit(f"only {known} have options, and {options[0]!r} is one: python -m bench storm {' '.join(options)}")
    console = Console(highlight=False)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in names or MEASURES:
        with console.status(f"measuring {name}"):
            started = time.monotonic()
            entry = importlib.import_module(f"bench.{name}")
            figures: dict[str, Any] = entry.run(options) if options else entry.run()
            results[name] = figures | {"seconds_in_all": round(time.monotonic() - started, 1)}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        _show(console, name, results[name])
    console.print(f"written to {RESULTS}")
    return 0 if all(results[name].get("passed", True) for name in names or MEASURES) else 1


def _show(console: Console, name: str, figures: dict[str, Any]) -> None:
    table = Table("figure", "value", title=name)
    for key, value in _rows(figures):
        table.add_row(key, json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value))
    console.print(table)


def _rows(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each figure with its name; those of a group within a group have a line of their own."""
    for key, value in figures.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            yield from _rows(value, f"{before}{key}: ")
        else:
            yield before + key, value


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started and mounted goes
    sys.exit(main(sys.argv[1:]))
