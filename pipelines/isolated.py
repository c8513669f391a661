"""Run a function in a process of its own: llama.cpp can abort, segfault or SIGBUS, and must not take us along.

The child reads one JSON line `{"function": "module:name", "arguments": {...}, "parent": 17}` from standard input and
writes one to standard output, `{"result": {...}}` or `{"error": "GGUFError", "message": "..."}`.
"""

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines import errors

_ROOT = Path(errors.__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1

Result = dict[str, Any]


def run_in_child(function: str, arguments: Mapping[str, Any], *, timeout_seconds: float) -> Result:
    """What `function` ("module:name") returns for `arguments`, computed in a fresh Python process.

    The function takes one dict and returns one, both of JSON values. Errors of pipelines.errors come back as they are.

    Raises:
        GGUFError: the child crashed, or took longer than `timeout_seconds`.
    """
    request = json.dumps({"function": function, "arguments": arguments, "parent": os.getpid()})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pipelines.isolated"],
            input=request.encode(),
            capture_output=True,
            timeout=timeout_seconds,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise errors.GGUFError(f"{function} took longer than {timeout_seconds:.0f} s and was stopped") from error
    return _answer(function, done)


def child_environment() -> dict[str, str]:
    """Our environment, with this package importable, quiet OpenMP threads and no network look-ups."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_WAIT_POLICY": "passive",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _answer(function: str, done: "subprocess.CompletedProcess[bytes]") -> Result:
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        answer: Result = json.loads(lines[-1])
    except (IndexError, ValueError):
        answer = {}
    if "result" in answer:
        return dict(answer["result"])
    if "error" in answer:
        kind = getattr(errors, str(answer["error"]), errors.GGUFError)
        raise kind(answer["message"])
    how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit status {done.returncode}"
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    raise errors.GGUFError(f"{function} crashed with {how}{': ' + last[0] if last else ''}")


def main() -> None:
    """Serve one request from standard input."""
    request = json.loads(sys.stdin.readline())
    end_with_parent(request["parent"])
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever llama.cpp or a library prints goes to standard error
    module, _, name = request["function"].partition(":")
    function: Callable[[Result], Result] = getattr(importlib.import_module(module), name)
    try:
        answer: Result = {"result": function(request["arguments"])}
    except errors.PerennialError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), file=output, flush=True)


def end_with_parent(parent: int) -> None:
    """On Linux, ask to be killed when the process that started us dies; end now if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that asked for this is gone")


if __name__ == "__main__":
    main()
