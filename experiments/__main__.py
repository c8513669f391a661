"""`python -m experiments [core] [poison] [report]`: runs what is not done yet, two at a time, then writes the evidence.

var/experiments/reference/adapter                  models/tiny with both styles
var/experiments/runs/kto-500-seed0/manifest.json   written last; a run that has one is not done again
var/experiments/results.json, docs/evidence.md, docs/evidence/*.png
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.grid import core_grid, poison_grid
from experiments.work import HOME, be_quiet, core, poison

PARTS = ("core", "poison", "report")
_WORKERS = max(1, min(4, (os.cpu_count() or 1)))


def main(parts: Sequence[str]) -> None:
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit(f"no experiment is called {unknown[0]!r}; there are {', '.join(PARTS)}")
    console = Console(highlight=False)
    asked = parts or ("core", "report")
    if "core" in asked:
        _run(core_grid(), core, "core grid", console)
    if "poison" in asked:
        _run(poison_grid(), poison, "poisoning", console)
    if "report" in asked:
        from experiments.report import write_evidence

        console.print(f"written: {', '.join(str(path) for path in write_evidence(HOME / 'runs', HOME))}")


def _run(runs: Sequence[Any], work: Callable[[Any], Path], what: str, console: Console) -> None:
    """All runs, as many at once as there are cores, each in one thread; the first failure ends it."""
    from experiments.reference import prepare_reference

    started = time.monotonic()
    with console.status("teaching models/tiny both styles (once)"):
        prepare_reference(HOME / "reference")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=len(runs))
        with ProcessPoolExecutor(_WORKERS, mp_context=get_context("spawn"), initializer=be_quiet) as pool:
            waiting = [pool.submit(work, run) for run in runs]
            try:
                for done in as_completed(waiting):
                    done.result()
                    bar.advance(task)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    console.print(f"{what}: {len(runs)} runs in {(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main(sys.argv[1:])
