"""An import through a running server stores what one into the database stores: votes, corrections and comparisons too."""

import shutil
from pathlib import Path

from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault
from tests.conftest import make_settings
from tests.service.ingest.importers.samples import SAMPLES, write
from tests.service.ingest.importers.stored import imported, stored
from tests.service.live import running

FEEDBACK = ("vote ", "fixed ", "better ")


def test_every_sample_leaves_the_same_chats_and_feedback_over_http(
    sqlite_settings: Settings, sqlite_template: Path, tmp_path: Path
) -> None:
    files = [write(make_folder(tmp_path / f"{at:02}"), one.name, one.make()) for at, one in enumerate(SAMPLES)]
    store = open_store(sqlite_settings)
    direct = [imported(store, open_vault(sqlite_settings, store), path, score=("thumb",)) for path in files]
    lines = stored(store, open_vault(sqlite_settings, store))
    store.close()
    shutil.copy(sqlite_template, make_folder(tmp_path / "home") / "perennial.db")
    with running(make_settings(tmp_path / "home"), engine=False) as live:
        sent = [imported(live.store, live.vault, path, score=("thumb",), url=live.url) for path in files]
        assert stored(live.store, live.vault) == lines
        again = [imported(live.store, live.vault, path, score=("thumb",), url=live.url) for path in files]
        assert stored(live.store, live.vault) == lines
    assert [one.results for one in sent] == [one.results for one in direct]
    assert not any(one.of(kind, "created") for one in again for kind in one.results)
    assert all(any(line.startswith(kind) for line in lines) for kind in FEEDBACK)


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path
