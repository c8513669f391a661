"""Training where there is a GPU: is it right there, how fast is it, does it fit. Shapes of real models, random weights.

    python -m bench gpu
    python -m bench gpu --parts same_losses,qlora_7b --seconds 200

Needs `pipelines` and `bench` alone: no database, no llama.cpp, no network, no file of weights. On a machine without CUDA
the same parts run with shapes shrunk a hundredfold, which tests the program and says nothing of speed. Each part runs in
a child process of its own with a limit of its own, so that one that fails costs no other. The result is written after
each part, to $OUT/bench-gpu.json where $OUT is set, else to var/bench-gpu.json.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gpu.table import PARTS
from pipelines.errors import PerennialError
from pipelines.isolated import run_in_child

_SECONDS = 470


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """The figures of each part, `passed` for all of them together, and where they were written."""
    chosen = _parse(options)
    out = Path(os.environ.get("OUT", "var"))
    out.mkdir(parents=True, exist_ok=True)
    path, log = out / "bench-gpu.json", out / "bench-gpu.log"
    log.unlink(missing_ok=True)
    ends = time.monotonic() + chosen.seconds
    result: dict[str, Any] = {"passed": True}
    for name in chosen.parts:
        figures = _measure(name, min(PARTS[name].seconds, ends - time.monotonic()), log)
        result[name] = figures
        result["passed"] &= figures["passed"]
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({name: figures}), flush=True)
    return result | {"written": str(path)}


def _measure(name: str, seconds: float, log: Path) -> dict[str, Any]:
    if seconds < 1:
        return {"passed": False, "error": "no time was left"}
    started = time.monotonic()
    try:
        figures = run_in_child("bench.gpu.table:measure", {"part": name}, timeout_seconds=seconds, log=log)
    except PerennialError as error:
        figures = {"passed": False, "error": str(error)}
    return figures | {"seconds_in_all": round(time.monotonic() - started, 1)}


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=list(PARTS), type=_names, help=f"of {', '.join(PARTS)}; comma-separated")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for all of them together")
    return parser.parse_args(list(options))


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"no part is called {name!r}; there are {', '.join(PARTS)}")
    return names
