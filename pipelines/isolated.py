"""The one way to run something in a process of its own: llama.cpp can abort, training be killed, a text hang a regex.

Lines of JSON, down the child's standard input and up its standard output; what a library prints goes to standard error:
    > {"function": "module:name", "arguments": {...}, "parent": 17}     called once, with the arguments
    < {"result": {...}}          or {"error": "GGUFError", "message": "..."} for an error of pipelines.errors
    > {...}                      only where the function gave back another one: that answers every further line
    < {"result": {...}}
The pipe down stays open: the child ends when it closes, so nothing outlives a parent that was killed with -9.
"""

import contextlib
import ctypes
import importlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pipelines import errors
from pipelines.errors import ChildCrashed, ChildTimedOut, PerennialError

_ROOT = Path(errors.__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1
_ORPHANED = 3
_LOOK_SECONDS = 0.5
_CHUNK_BYTES = 1 << 16
_LAST_WORDS = 4096
# No look-ups in the network, no telemetry, no advertising, no threads that spin while they wait.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "WANDB_DISABLED": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "BITSANDBYTES_NOWELCOME": "1",
    "USE_HUB_KERNELS": "0",
    "OMP_WAIT_POLICY": "passive",
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled here, and loading the compiler takes a second and a half
}

Result = dict[str, Any]
StillOurs = Callable[[], None]


def run_in_child(
    function: str,
    arguments: Mapping[str, Any],
    *,
    timeout_seconds: float | None = None,
    still_ours: StillOurs = lambda: None,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """What `function` ("module:name") returns for `arguments`, computed in a fresh Python process.

    The function takes one dict and returns one, both of JSON values. Errors of pipelines.errors come back as they are.

    Args:
        still_ours, log, environment: see Child.

    Raises:
        ChildCrashed: the child ended without an answer, or (ChildTimedOut) took longer than `timeout_seconds`.
        Cancelled: `still_ours` raised it; the child is gone by then.
    """
    with Child(function, arguments, log=log, environment=environment) as child:
        return child.answer(timeout_seconds, still_ours)


class Child:
    """A child process that calls `function` ("module:name") with `arguments`. Leaving the block kills it.

    Args:
        log: gets what the child prints, appended; without one the last words are kept in memory for ChildCrashed.
        environment: what differs from `child_environment`, for this child alone.
        own_group: lead a process group of its own, all of which ends with it.
    """

    def __init__(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        own_group: bool = False,
    ) -> None:
        self._function, self._log, self._own_group = function, log, own_group
        self._received, self._last_words = bytearray(), b""
        with log.open("ab") if log else contextlib.nullcontext(subprocess.PIPE) as words:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "pipelines.isolated",
                    function,
                ],  # named for whoever looks at a list of processes
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env={**child_environment(), **(environment or {})},
                start_new_session=own_group,
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._down, self._up = self.process.stdin, self.process.stdout
        for pipe in (self._down, self._up, self.process.stderr):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        request = {"function": function, "arguments": arguments, "parent": os.getpid()}
        self._unsent = memoryview(json.dumps(request).encode() + b"\n")
        self._send()  # all of it, unless it is longer than an empty pipe; `answer` sends the rest

    def ask(self, arguments: Mapping[str, Any], timeout_seconds: float, still_ours: StillOurs = lambda: None) -> Result:
        """What the child's function answers to one more line. Raises what run_in_child does."""
        self._unsent = memoryview(json.dumps(arguments).encode() + b"\n")
        return self.answer(timeout_seconds, still_ours)

    def answer(self, timeout_seconds: float | None = None, still_ours: StillOurs = lambda: None) -> Result:
        """The child's next answer; `still_ours` is asked twice a second. Raises what run_in_child does."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with selectors.DefaultSelector() as ready:
            for pipe in (self._up, self.process.stderr):
                if pipe is not None and not pipe.closed:
                    ready.register(pipe, selectors.EVENT_READ)
            if self._unsent:
                ready.register(self._down, selectors.EVENT_WRITE)
            while b"\n" not in self._received:
                still_ours()
                if deadline is not None and time.monotonic() >= deadline:
                    raise ChildTimedOut(f"{self._function} took longer than {timeout_seconds:g} s and was stopped")
                left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
                for key, _ in ready.select(max(0.0, left)):
                    self._exchange(key.fileobj, ready)
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        return _result(json.loads(line))

    def close(self) -> None:
        """Kill the child, with its group if it leads one, and wait for its end; harmless when it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._own_group:
                os.killpg(self.process.pid, signal.SIGKILL)
            elif self.process.poll() is None:
                self.process.kill()
        self.process.wait()
        for pipe in (self._down, self._up, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, pipe: Any, ready: selectors.BaseSelector) -> None:
        """Move what one pipe is ready for."""
        if pipe is self._down:
            self._send()
            if not self._unsent:
                ready.unregister(pipe)
        elif data := os.read(pipe.fileno(), _CHUNK_BYTES):
            if pipe is self._up:
                self._received += data
            else:
                self._last_words = (self._last_words + data)[-_LAST_WORDS:]
        elif pipe is self._up:
            raise self._crash()
        else:
            ready.unregister(pipe)

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._down.fileno(), self._unsent[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it is dead; reading says how it died
            self._unsent = self._unsent[:0]

    def _crash(self) -> ChildCrashed:
        how = ended_with(status := self.process.wait())
        if status == -signal.SIGKILL:
            how += " (somebody ended it, or memory ran out)"
        if self.process.stderr is not None:
            with contextlib.suppress(BlockingIOError):
                self._last_words += os.read(self.process.stderr.fileno(), _CHUNK_BYTES)
        words = self._last_words if self._log is None else _tail(self._log)
        last = next(
            (line.strip() for line in reversed(words.decode("utf-8", "replace").split("\n")) if line.strip()), ""
        )
        end = f"; the end of {self._log.name}: {last or '(empty)'}" if self._log else f": {last}" if last else ""
        return ChildCrashed(f"{self._function} crashed with {how}{end[:400]}")


def child_environment() -> dict[str, str]:
    """Our environment, with this package importable, quiet threads and no network look-ups."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_QUIET, "PYTHONPATH": os.pathsep.join(paths)}


def ended_with(status: int) -> str:
    """How a process ended, in a word or two."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _result(answer: Result) -> Result:
    if "error" in answer:
        kind = getattr(errors, answer["error"], PerennialError)
        raise kind(answer["message"])
    return dict(answer["result"])


def _tail(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_WORDS))
        return file.read()


# ---- the child's side --------------------------------------------------------------------------------------


def main() -> None:
    """Serve what comes down standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever llama.cpp or a library prints goes to standard error
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(os.dup(0), lines), daemon=True).start()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # the pipe is ours alone, not of what the function starts
    request = json.loads(lines.get())
    end_with(request["parent"])
    module, _, name = request["function"].partition(":")
    function: Callable[[Result], Any] = getattr(importlib.import_module(module), name)
    further = _answer(answers, function, request["arguments"])
    while callable(further):
        _answer(answers, further, json.loads(lines.get()))


def _answer(answers: IO[str], function: Callable[[Result], Any], arguments: Result) -> Any:
    """Call, answer, and give back what the call gave."""
    result: Any = None
    try:
        result = function(arguments)
        answer: Result = {"result": {} if callable(result) else result}
    except PerennialError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
    return result


def _listen(pipe: int, lines: "queue.SimpleQueue[bytes]") -> None:
    """Take lines in until the parent's end of the pipe closes, which only its death or its wish does."""
    parts: list[bytes] = []
    while data := os.read(pipe, _CHUNK_BYTES):  # not sys.stdin: a thread in its lock aborts the interpreter's exit
        head, *rest = data.split(b"\n")
        parts.append(head)
        for start in rest:
            lines.put(b"".join(parts))
            parts = [start]
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(_ORPHANED)


def end_with(parent: int) -> None:
    """On Linux, ask to be killed when the process that started us dies, also while no thread of ours can run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that asked for this is gone")


def end_with_pipe(pipe: int) -> None:
    """End this process as soon as the other end of a pipe is closed, which every system does to a process that dies."""

    def wait() -> None:
        while os.read(pipe, _CHUNK_BYTES):
            pass
        os._exit(_ORPHANED)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
