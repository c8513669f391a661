"""Programs that a model might write, in every sandbox that this machine has. None of them makes a process: it is refused."""

import shutil

import pytest

from pipelines.errors import MissingDependency
from pipelines.suites import sandbox

PROGRAMS = {
    "passes": ("import math, re, collections\nassert math.sqrt(4) == 2\nprint('x' * 100)", "passed"),
    "writes into its own folder": ("open('/tmp/note', 'w').write('hi')", "passed"),
    "has threads": ("import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()", "passed"),
    "is wrong": ("assert 1 + 1 == 3", "failed"),
    "does not parse": ("def f(:", "failed"),
    "leaves early": ("import sys\nsys.exit(0)", "failed"),
    "leaves earlier": ("import os\nos._exit(0)", "failed"),
    "calls out": ("import socket\nsocket.create_connection(('127.0.0.1', 22), 1)", "failed"),
    "reads what is not Python's": ("open('/etc/passwd')", "failed"),
    "changes Python": ("import os\nopen(os.__file__, 'a')", "failed"),
    "makes a process": ("import os\nos.fork()", "failed"),
    "starts a command": ("import subprocess\nsubprocess.run(['true'])", "failed"),
    "wants much memory": ("x = bytearray(1 << 30)", "failed"),
    "never ends": ("while True: pass", "failed"),
    "waits for ever": ("import time\ntime.sleep(60)", "failed"),
}


@pytest.fixture(scope="module", params=["bwrap", "nsjail", "unshare"])
def kind(request: pytest.FixtureRequest) -> str:
    """A sandbox that works here."""
    name = str(request.param)
    if shutil.which(name) is None or sandbox._run(name, "pass", 5, sandbox.MEMORY_BYTES) != "passed":
        pytest.skip(f"{name} does not work on this machine")
    return name


@pytest.mark.parametrize(("program", "outcome"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_only_what_ran_to_its_end_has_passed_and_nothing_reaches_out(kind: str, program: str, outcome: str) -> None:
    assert sandbox._run(kind, program, 1, sandbox.MEMORY_BYTES) == outcome


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.find_sandbox.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingDependency, match="run in a sandbox only, and this machine has none that works: install"):
        sandbox.run_python("pass")
    sandbox.find_sandbox.cache_clear()
