"""`perennial privacy`: what would be hidden, how much of labelled text is, and what was changed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.curation import curate_due
from service.curation.changes import sample_changes
from service.settings import Settings
from service.store.funnel import funnel
from service.store.session import Store
from service.vault import Vault
from tests.factories import conversation, put
from tests.service.curating import shared_curator


@pytest.fixture
def privacy(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    monkeypatch.setenv("PERENNIAL_ALLOW_DEGRADED_NAMES", "1")

    def run(*words: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, ["privacy", *words], input=typed)

    return run


def test_check_reads_a_text_a_file_and_standard_input(privacy, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text = "My name is Sarah Connor."
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    for shown in (privacy("check", text), privacy("check", str(tmp_path / "text.txt")), privacy("check", typed=text)):
        assert shown.exit_code == 0, shown.output
        assert "11-23" in shown.output and "PERSON" in shown.output and "name rules" in shown.output
        assert "My name is " in shown.output.splitlines()[-1] and "Sarah" not in shown.output.splitlines()[-1]
    assert "nothing personal" in privacy("check", "the sky is blue").output


def test_score_prints_recall_by_label(privacy, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = [{"text": "My name is [[PERSON|Sarah Connor]]."}, {"text": "zorp", "spans": [[0, 4, "PERSON"]]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shown = privacy("score", str(tmp_path / "rows.jsonl"))
    assert shown.exit_code == 0 and "0.500" in shown.output and "0 findings beside" in shown.output


def test_samples_show_what_answers_are_now_and_never_what_they_were(store: Store, vault: Vault) -> None:
    put(store, vault, conversation("Who leads the choir?", "Sarah Connor leads it.", id="c1", consent=True))
    put(store, vault, conversation("My name is Sarah Connor. Hi", "Hi Sarah, welcome!", id="c2", consent=True))
    put(store, vault, conversation("My name is Sarah Connor. Hello", "Hello Sarah, welcome!", id="c3", consent=False))
    curate_due(store, vault, shared_curator())
    with store.read() as session:
        counts, samples = funnel(session).altered, sample_changes(session, vault, 5)
    assert (counts.answers, counts.changed, counts.replaced) == (3, 3, 1)
    assert [one.replaced for one in samples] == [True, False]
    assert all("«" in one.excerpt and "Sarah" not in one.excerpt and "Connor" not in one.excerpt for one in samples)
