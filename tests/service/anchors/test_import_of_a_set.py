"""`perennial anchors import`: chats become a set, anonymized, and leave nothing else behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.anchors.sets import open_set
from pipelines.errors import Conflict, InputError
from service.anchors.bases import named_base
from service.cli.anchor_import import import_set
from service.settings import Settings

PROJECT = Path(__file__).resolve().parents[3]
ASKED = "My mail is maria.keller@example.org, please write a note to my landlord about the cold heating."
SAID = "Dear landlord, the heating has been cold since Monday. Please write to maria.keller@example.org soon."


def chat(*texts: str) -> str:
    turns = [{"role": "user" if n % 2 == 0 else "assistant", "content": text} for n, text in enumerate(texts)]
    return json.dumps({"messages": turns}) + "\n"


def test_chats_become_anchors_without_personal_data_and_what_is_left_out_is_counted(
    sqlite_settings: Settings, tmp_path: Path
) -> None:
    settings = replace(sqlite_settings, project=PROJECT, allow_degraded_names=True)
    base = named_base(settings, "models/tiny", "mine")
    file = tmp_path / "chats.jsonl"
    file.write_text(chat(ASKED, SAID, "Thanks a lot!") + chat("Only a question without any answer?"), encoding="utf-8")
    before = {path.relative_to(settings.home) for path in settings.home.rglob("*") if path.is_file()}

    brought = import_set(settings, file, base)

    opened = open_set(settings.anchors / "mine", "mine")
    (anchor,) = opened.pools()["general"].anchors
    assert brought == ("mine", opened.card) and opened.card.kept == {"imported-en": 1}
    assert opened.card.rejected == {"no_answer": 1} and opened.card.base == base.identity
    assert [turn.role for turn in anchor.turns] == ["user", "assistant"]
    assert "landlord" in anchor.turns[0].content and "maria.keller" not in anchor.model_dump_json()
    left = {path.relative_to(settings.home) for path in settings.home.rglob("*") if path.is_file()} - before
    assert {path.parts[0] for path in left} == {"anchors"}

    with pytest.raises(Conflict, match="there is a set 'mine' already"):
        import_set(settings, file, base)
    file.write_text(chat("Only a question without any answer?"), encoding="utf-8")
    with pytest.raises(InputError, match=r"nothing of chats.jsonl can be an anchor: 1 no_answer"):
        import_set(settings, file, base._replace(set_name="other"))
    assert not (settings.anchors / "other").exists()
