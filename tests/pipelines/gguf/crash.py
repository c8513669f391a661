"""What a child process may do to its parent, for the tests of pipelines.isolated."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from pipelines.errors import InputError


def segfault(_arguments: dict[str, Any]) -> dict[str, Any]:
    ctypes.string_at(1)
    return {}


def hang(_arguments: dict[str, Any]) -> dict[str, Any]:
    time.sleep(60)
    return {}


def refuse(_arguments: dict[str, Any]) -> dict[str, Any]:
    raise InputError("a clear sentence")


def chatter(arguments: dict[str, Any]) -> dict[str, Any]:
    print("to standard output")
    os.write(1, b"and below python\n")
    return arguments


def convert_until_killed(arguments: dict[str, Any]) -> dict[str, Any]:
    """Die by SIGKILL in the middle of writing a GGUF."""
    from pipelines.gguf import own_converter

    written = 0
    to_bytes = own_converter.to_bytes

    def then_die(tensor: Any) -> bytes:
        nonlocal written
        written += 1
        if written > 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return to_bytes(tensor)

    own_converter.to_bytes = then_die
    own_converter.convert(Path(arguments["model"]), Path(arguments["out"]))
    return {}
