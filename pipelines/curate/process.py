"""Curation in a killable child process: a conversation that hangs or crashes it is quarantined, alone.

Light to import: neither Presidio nor any model is loaded in this process.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

import pipelines.errors as errors
from pipelines.curate.config import CurationConfig
from pipelines.records import CleanConversation, Conversation, Curated, Quarantined, Rejected

START_TIMEOUT_SECONDS = 120.0
_ROOT = str(Path(errors.__file__).resolve().parents[1])
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from pipelines.curate.child import main; main()"
_RECORDS: dict[str, TypeAdapter[Any]] = {
    kind: TypeAdapter(record)
    for kind, record in (("clean", CleanConversation), ("rejected", Rejected), ("quarantined", Quarantined))
}


class ChildTimedOut(Exception):
    """The child did not answer in time."""


class ChildCrashed(Exception):
    """The child ended before it answered."""


class CuratorProcess:
    """One child with one Curator; started when first used, and again after a kill. Not for several threads at once.

    Use as a context manager, or call `close`. `command` exists for tests of the protocol.
    """

    def __init__(self, config: CurationConfig, command: Sequence[str] | None = None) -> None:
        self._config = config
        self._command = list(command or [sys.executable, "-c", _CHILD, _ROOT])
        self._child: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def start(self) -> None:
        """Starts the child if none is running and waits until it is ready (two seconds without a model).

        Raises:
            PerennialError: of the kind that building the Curator raised; InputError for a wrong configuration.
        """
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._child.stdin is not None and self._child.stdout is not None
        os.set_blocking(self._child.stdin.fileno(), False)
        try:
            answer = self._ask(self._config.model_dump_json(), START_TIMEOUT_SECONDS)
        except (ChildTimedOut, ChildCrashed) as error:
            self.close()
            raise errors.MissingDependency(
                "the curation process did not start; run `python -m pipelines.curate.child` to see why"
            ) from error
        if "error" in answer:
            self.close()
            kind = getattr(errors, str(answer["kind"]), errors.InputError)
            raise kind(str(answer["error"]))

    def curate(self, conversation: Conversation, secret: bytes, key: bytes, timeout_seconds: float) -> Curated:
        """What Curator.curate returns; Quarantined when the child hangs beyond the time-out, crashes or cannot answer.

        The time-out does not include the start of a child. Raises what `start` raises.
        """
        self.start()
        job = {"conversation": conversation.model_dump(mode="json"), "secret": secret.hex(), "key": key.hex()}
        try:
            answer = self._ask(json.dumps(job), timeout_seconds)
            result: Curated = _RECORDS[str(answer["kind"])].validate_python(answer["result"])
            return result
        except ChildTimedOut:
            return self._given_up(conversation, "worker_timeout")
        except (ChildCrashed, KeyError, ValueError):
            return self._given_up(conversation, "worker_crashed")

    def close(self) -> None:
        """Kills the child, if there is one, and waits for its end."""
        child, self._child, self._unread = self._child, None, b""
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _given_up(self, conversation: Conversation, reason: str) -> Quarantined:
        self.close()
        return Quarantined(id=conversation.id, reason=reason)

    def _ask(self, line: str, timeout_seconds: float) -> dict[str, Any]:
        """Sends one line and waits for one, reading and writing at once so that neither side can block the other."""
        assert self._child is not None and self._child.stdin is not None and self._child.stdout is not None
        to_send = memoryview(line.encode() + b"\n")
        deadline = time.monotonic() + timeout_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            selector.register(self._child.stdin, selectors.EVENT_WRITE)
            while b"\n" not in self._unread:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise ChildTimedOut
                for key, _ in ready:
                    if key.fileobj is self._child.stdout:
                        self._receive()
                    else:
                        to_send = self._send(to_send)
                        if not to_send:
                            selector.unregister(self._child.stdin)
        answer, _, self._unread = self._unread.partition(b"\n")
        record: dict[str, Any] = json.loads(answer)
        return record

    def _receive(self) -> None:
        assert self._child is not None and self._child.stdout is not None
        data = os.read(self._child.stdout.fileno(), 1 << 16)
        if not data:
            raise ChildCrashed
        self._unread += data

    def _send(self, data: memoryview) -> memoryview:
        assert self._child is not None and self._child.stdin is not None
        try:
            return data[os.write(self._child.stdin.fileno(), data[: 1 << 16]) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            raise ChildCrashed from None
