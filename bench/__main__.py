"""Runs the benchmarks that are named (all without names) and writes var/bench.json after each."""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ENTRIES = ("ingest", "curation", "merge", "scorer")
RESULTS = Path("var/bench.json")


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(ENTRIES))
    if unknown:
        sys.exit(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ENTRIES)}")
    console = Console(highlight=False)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in names or ENTRIES:
        with console.status(f"measuring {name}"):
            started = time.monotonic()
            figures: dict[str, Any] = importlib.import_module(f"bench.{name}").run()
            results[name] = figures | {"seconds_in_all": round(time.monotonic() - started, 1)}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        _show(console, name, results[name])
    console.print(f"written to {RESULTS}")


def _show(console: Console, name: str, figures: dict[str, Any]) -> None:
    table = Table("figure", "value", title=name)
    for key, value in figures.items():
        table.add_row(key, json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value))
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
