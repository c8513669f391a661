"""`perennial proxy` in front of a scripted upstream, real servers both; one of them for each file of tests."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from service.ingest.spool import waiting
from tests.conftest import make_settings
from tests.service.live import Live, Turn, running
from tests.service.proxy.scripted import Scripted, scripted


@dataclass
class Front:
    """The proxy, what stands behind it, and a client of it."""

    live: Live
    upstream: Scripted
    http: httpx.Client

    def recorded(self, user: str, conversations: int = 1, messages: int | None = None) -> list[list[Turn]]:
        """A person's conversations, once as many as these are stored, with so many messages in the last."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self.live.messages(user) if self.is_known(user) else []
            if len(found) == conversations and (messages is None or len(found[-1]) == messages):
                return found
            time.sleep(0.02)
        raise AssertionError(f"{[len(one) for one in found]} messages in the conversations of {user}")

    def is_known(self, user: str) -> bool:
        return bool(self.live.consents(user))

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until nothing is on its way any more."""
        self.wait_for(lambda: waiting(self.live.settings.spool).count == 0)


@pytest.fixture(scope="module")
def _front(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    with scripted() as upstream:
        settings = replace(make_settings(home), upstream=upstream.url, upstream_silence_seconds=2.0)
        with running(settings, engine=False, is_front=True) as live, live.http() as http:
            yield Front(live, upstream, http)


@pytest.fixture
def front(_front: Front) -> Front:
    _front.upstream.says()
    return _front
