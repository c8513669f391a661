"""A web process of its own for tests that kill it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from service.settings import Settings


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(settings: Settings, port: int | None = None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A real server process over the settings' database, its log beside it; it is killed when the block ends."""
    port = port or free_port()
    known = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    own = {"PERENNIAL_HOME": str(settings.home), "PERENNIAL_DATABASE_URL": settings.database_url}
    program = (
        "import asyncio; from service.settings import load_settings; from service.web.server import run_server; "
        f"asyncio.run(run_server(load_settings(), '127.0.0.1', {port}))"
    )
    with (settings.home / "server.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", program], env=known | own, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False, timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")
