"""The service in the storm: a real `perennial up` in a home of its own, its processes by name, and how to kill them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bench.ports import free_port
from service.api_keys import create_key
from service.settings import Settings, load_settings
from service.store.session import Store, migrate, open_store
from service.vault import open_vault

APP = "storm"
ORPHAN_SECONDS = 5.0
_PARTS = {"web": "serve", "worker": "worker", "supervisor": "engine"}
_STOP_SECONDS = 40.0

Champion = Callable[[Store, Settings], None]


class Service:
    """`perennial up`, started again whenever it ends; `faults` are the sentences of what it should not have done."""

    def __init__(
        self, folder: Path, home: Path, database_url: str, faults: list[str], champion: Champion | None = None
    ) -> None:
        self._log, self._faults = folder / "up.log", faults
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")} | {
            "PERENNIAL_HOME": str(home),
            "PERENNIAL_DATABASE_URL": database_url,
            "PERENNIAL_PORT": str(free_port()),
            "PERENNIAL_ALLOW_DEGRADED_NAMES": "1",
            "PERENNIAL_MIN_FREE_BYTES": str(8 << 20),
        }
        self.settings: Settings = load_settings(self._environment)
        self.key, self.watch_key = self._prepare(champion)
        self._up: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def _prepare(self, champion: Champion | None) -> tuple[str, str]:
        """Makes the database, its champion if there is to be one from the start, and keys for clients and watcher."""
        self.settings.home.mkdir(parents=True)
        migrate(self.settings)
        store = open_store(self.settings)
        try:
            open_vault(self.settings, store)
            if champion is not None:
                champion(store, self.settings)
            clients = create_key(store, "storm", APP, ["ingest", "read", "chat"])
            return clients, create_key(store, "watcher", None, ["read"])
        finally:
            store.close()

    def start(self) -> None:
        """Starts it; it ends with this process, however this one ends."""
        with self._log.open("ab") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "up", "--until-stdin-closes"],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def keep_up(self, may_refuse: bool) -> None:
        """Starts `up` again if it ended by itself: a fault, unless it `may_refuse` to start, as on a full disk."""
        if self._starting.locked() or self._up is None or self._up.poll() is None:
            return
        if not may_refuse:
            self._faults.append(f"`perennial up` ended with status {self._up.returncode}: {self._last_words()}")
        self.start()

    def processes(self) -> list[psutil.Process]:
        """Everything that runs below `up`, and itself."""
        if self._up is None:
            return []
        try:
            up = psutil.Process(self._up.pid)
            return [*up.children(recursive=True), up]
        except psutil.NoSuchProcess:
            return []

    def find(self, kind: str) -> psutil.Process | None:
        """The process of a kind: web, worker, supervisor, engine or up; None while there is none."""
        if kind == "up":
            return psutil.Process(self._up.pid) if self._up is not None and self._up.poll() is None else None
        part = _PARTS.get(kind, "engine")
        for process in self.processes():
            with suppress(psutil.Error):
                words = process.cmdline()
                if "service.part" in words and part in words:
                    return _engine_of(process) if kind == "engine" else process
        return None

    def kill_up(self) -> None:
        """kill -9 of `up`, and its next start at once. What it started must be gone soon."""
        assert self._up is not None
        left = self.processes()
        with self._starting:
            self._up.kill()
            self._up.wait()
            assert self._up.stdin is not None
            self._up.stdin.close()
            self.start()
        self._watch_orphans(left)

    def _watch_orphans(self, left: Sequence[psutil.Process]) -> None:
        gone_by = time.monotonic() + ORPHAN_SECONDS
        while alive := [process for process in left if _runs(process)]:
            if time.monotonic() > gone_by:
                names = ", ".join(sorted({_name(process) for process in alive}))
                self._faults.append(f"{ORPHAN_SECONDS:.0f} s after a kill -9 of `up` there still ran: {names}")
                for process in alive:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                return
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it politely; that it does not end, or says that something failed, is a fault."""
        if self._up is None or self._up.poll() is not None:
            return
        left = self.processes()
        self._up.terminate()
        try:
            status = self._up.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._faults.append(f"`perennial up` did not end within {_STOP_SECONDS:.0f} s of SIGTERM")
            self._up.kill()
            status = 0
        if status:
            self._faults.append(f"`perennial up` ended with status {status} after SIGTERM: {self._last_words()}")
        assert self._up.stdin is not None
        self._up.stdin.close()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "(it said nothing)"


def _engine_of(supervisor: psutil.Process) -> psutil.Process | None:
    children = supervisor.children()
    return children[0] if children else None


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline()[-2:])[-60:]
    return f"process {process.pid}"
