"""What a worker does for a new champion, in a thread of its own: it brings it to the deploy targets, and watches it.

Files of many gigabytes are copied, other programs are waited for and models are loaded; curation and leases must not wait
for that.
"""

import threading
import time
from types import TracebackType
from typing import Self

import structlog

from pipelines.errors import InputError
from service.models.targets.deploy import deploy_due
from service.models.watch import watch_champion
from service.settings import Settings
from service.store.session import Store, is_unavailable

_LOOK_SECONDS, _WATCH_SECONDS = 1.0, 60.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Aftercare:
    """Looks once a second whether a target waits for the champion, and once a minute whether people are content with it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="aftercare", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()  # not waited for: what is half copied is no harm, and the next worker begins it again

    def watch(self) -> bool:
        """Nothing for the caller to do; raises what ended the thread, which ends the worker as any chore's error does."""
        if self._error is not None:
            raise self._error
        return False

    def _run(self) -> None:
        try:
            watch_due = 0.0
            while not self._stop.wait(_LOOK_SECONDS):
                bring_due(self._settings, self._store)
                if time.monotonic() >= watch_due:
                    watch_due = time.monotonic() + _WATCH_SECONDS
                    watch(self._settings, self._store)
        except BaseException as error:
            if not self._stop.is_set():  # the database is closed under it when the worker ends
                self._error = error


def bring_due(settings: Settings, store: Store) -> bool:
    """Bring the champion where it is due; never more to do. Targets that cannot be read are an obstacle, told elsewhere."""
    if not settings.targets_path.is_file():
        return False
    try:
        deploy_due(settings, store, "worker")
    except InputError as error:
        _log.debug("targets_unusable", why=str(error))
    except Exception as error:
        if not is_unavailable(error):
            raise
        _log.warning("targets_wait_for_database", error=type(error).__name__)
    return False


def watch(settings: Settings, store: Store) -> None:
    """Look at the champion once; a database that is away is looked at again a minute later."""
    try:
        watch_champion(settings, store)
    except Exception as error:
        if not is_unavailable(error):
            raise
        _log.warning("watch_waits_for_database", error=type(error).__name__)
