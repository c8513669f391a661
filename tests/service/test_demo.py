"""The demo's own processes."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.errors import InputError, PerennialError
from service.demo import show
from service.demo.processes import free_port, fresh_home
from service.demo.steps import import_month
from service.settings import Settings
from service.store.funnel import funnel
from tests.disks import unwritable
from tests.service.live import running

PROJECT = Path(__file__).resolve().parents[2]

ASK = "import sys; from service.demo.processes import free_port; print(free_port(int(sys.argv[1])), flush=True); sys.stdin.read()"


def test_demos_that_start_together_get_ports_of_their_own() -> None:
    wanted = str(free_port(0))
    first = subprocess.Popen(
        [sys.executable, "-c", ASK, wanted], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin is not None and first.stdout is not None
    with first:
        assert first.stdout.readline().strip() == wanted
        second = subprocess.run(
            [sys.executable, "-c", ASK, wanted], input="", capture_output=True, text=True, check=True
        )
        first.stdin.close()

    assert second.stdout.strip() not in ("", wanted)
    third = subprocess.run([sys.executable, "-c", ASK, wanted], input="", capture_output=True, text=True, check=True)
    assert third.stdout.strip() == wanted


def test_a_demo_that_cannot_write_its_home_says_so(tmp_path: Path) -> None:
    with unwritable(tmp_path), pytest.raises(InputError, match="the home folder .* cannot be written"):
        fresh_home(tmp_path)


def test_the_funnel_accounts_for_every_clean_conversation_and_says_what_it_shows() -> None:
    told = io.StringIO()
    counts = {"received": 12, "clean": 10, "examples": 5, "dev": 1, "heldout": 2, "left_out": {"unrated": 2}}
    show.funnel(Console(file=told, width=80), counts)
    assert "held out to measure │ 3" in told.getvalue() and "left out: unrated" in told.getvalue()
    assert told.getvalue().splitlines()[-1].startswith("What this shows: nothing is lost")


def test_a_month_comes_in_through_the_client(sqlite_settings: Settings) -> None:
    said = io.StringIO()
    with running(sqlite_settings, engine=False) as live:
        month = PROJECT / "data" / "samples" / "month-3.ndjson"
        rows = len(month.read_text(encoding="utf-8").splitlines())
        assert import_month(live.url, month, Console(file=said)) == f"{rows} conversations stored"
        with live.store.read() as session:
            assert funnel(session).received == rows
        bad = sqlite_settings.home / "bad.ndjson"
        bad.write_text('{"user": "u", "messages": [{"role": "marsian", "content": "Hi"}]}\n')
        with pytest.raises(PerennialError, match="of 1 conversations 0 were stored, 1 rejected"):
            import_month(live.url, bad, Console(file=said))
