"""A service of its own for the demo: a fresh home under var/demo and one `perennial up` as a child process."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from pipelines.errors import Busy, PerennialError
from service.liveness import another_lives
from service.settings import make_home

_START_SECONDS = 90
_locks: list[IO[str]] = []
_STOP_SECONDS = 20


@dataclass
class Service:
    """A running `perennial up`; `api` talks to it."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    api: httpx.Client

    def check_running(self) -> None:
        """Raise PerennialError if the service has ended by itself."""
        if self.process.poll() is not None:
            raise PerennialError(f"the service ended by itself; its log is {self.home / 'logs' / 'up.log'}")

    def stop(self) -> None:
        """Ends the whole process group, politely first."""
        self.api.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def fresh_home(home: Path) -> None:
    """Empties the demo's home; refuses while an earlier demo still uses it."""
    pid_file = home / "demo.pid"
    pid = pid_file.read_text() if pid_file.is_file() else ""
    if pid.isdecimal() and another_lives(int(pid)):
        raise Busy(f"an earlier demo (process {pid}) still uses {home}: stop it with Ctrl-C first")
    shutil.rmtree(home, ignore_errors=True)
    make_home(home)
    pid_file.write_text(str(os.getpid()))


def environment(home: Path, port: int) -> dict[str, str]:
    """The environment of every process of the demo: its own home, no settings of another installation."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    own = {"PERENNIAL_HOME": str(home), "PERENNIAL_PORT": str(port), "PERENNIAL_ALLOW_DEGRADED_NAMES": "1"}
    return kept | own


def start_service(home: Path, port: int) -> Service:
    """Starts `perennial up` and waits until it answers.

    Raises:
        PerennialError: it ended or stayed silent; the sentence names the log.
    """
    log = home / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "up", "--until-stdin-closes"],
            env=environment(home, port),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    service = Service(url, home, process, httpx.Client(base_url=url, timeout=120, trust_env=False))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if service.api.get("/healthz").status_code == 200:
                return service
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    service.stop()
    raise PerennialError(f"the service did not start within {_START_SECONDS} s; its log is {log}")


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there and no other demo is about to, else any free port of 127.0.0.1."""
    for port in (wanted, 0):
        if port and not _reserve(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Busy("no free port on 127.0.0.1")


def _reserve(port: int) -> bool:
    """Whether no other demo holds this port; the lock is this process's until it ends."""
    try:
        lock = (Path(tempfile.gettempdir()) / f"perennial-demo-{port}.lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    _locks.append(lock)
    return True
