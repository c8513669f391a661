"""What a worker does beside rounds: it curates what came in, deletes originals that are due, and says it is alive."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import structlog

from pipelines.errors import PerennialError
from service.curation import Curator, curate_due, delete_raw, open_curator
from service.settings import Settings
from service.store import health
from service.store.session import Store
from service.store.tables import now
from service.vault import Vault

Chore = Callable[[], bool]
"""Does a little of what is due; True if there may be more."""

_AT_A_TIME = 32
_RETENTION_SECONDS = 3600.0
_RETRY_SECONDS = 60.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@contextmanager
def open_chores(settings: Settings, store: Store, vault: Vault) -> Iterator[Sequence[Chore]]:
    """The chores of a worker; the curator's process lives as long as the block."""
    with ExitStack() as stack:
        yield (
            _alive(store),
            _Curation(settings, store, vault, stack).curate_some,
            _Retention(settings, store).delete_some,
        )


def _alive(store: Store) -> Chore:
    owner = f"{socket.gethostname()}:{os.getpid()}"

    def beat() -> bool:
        health.beat(store, owner)
        return False

    return beat


class _Curation:
    """Curator a batch per call. Without a model for names, and no leave to go without, it waits and says so."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, stack: ExitStack) -> None:
        self._settings, self._store, self._vault, self._stack = settings, store, vault, stack
        self._curator: Curator | None = None
        self._not_before = 0.0

    def curate_some(self) -> bool:
        if self._curator is None and not self._open():
            return False
        assert self._curator is not None
        done = curate_due(self._store, self._vault, self._curator, limit=_AT_A_TIME)
        if done:
            _log.info("curated", **done)
        return bool(done)

    def _open(self) -> bool:
        """Start the curator once there is something to curate; a refusal is said once a minute."""
        if time.monotonic() < self._not_before or not self._has_work():
            return False
        try:
            self._curator = self._stack.enter_context(open_curator(self._settings))
        except PerennialError as error:
            self._not_before = time.monotonic() + _RETRY_SECONDS
            _log.error("curation_waits", why=str(error))
            return False
        return True

    def _has_work(self) -> bool:
        with self._store.read() as session:
            return health.backlog(session).waiting > 0


class _Retention:
    """Deletes raw text that is older than the settings allow, looking once an hour."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._due = 0.0

    def delete_some(self) -> bool:
        if time.monotonic() < self._due:
            return False
        deleted = delete_raw(self._store, now(), self._settings.retention_days)
        if deleted == 0:
            self._due = time.monotonic() + _RETENTION_SECONDS
        else:
            _log.info("originals_deleted", conversations=deleted)
        return deleted > 0
