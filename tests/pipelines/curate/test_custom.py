"""Recognizers and deny lists of one's own: what they find, and what is refused."""

from pathlib import Path

import pytest

from pipelines.curate.config import CurationConfig, CustomRules, Recognizer
from pipelines.curate.curate import Curator
from pipelines.curate.custom import load_custom
from pipelines.errors import DataError, InputError
from pipelines.records import CleanConversation, Quarantined
from tests.pipelines.curate.chats import CONFIG, KEY, SECRET, Chat

RULES = r"""
recognizers:
  - {name: staff number, entity: STAFF_ID, pattern: 'EMP-\d{6}', finds: [my badge EMP-123456], misses: [EMP-12]}
  - {name: room, entity: ROOM, pattern: '\b[A-Z]\d{3}\b', words: [room, office]}
deny:
  - {entity: PROJECT, values: [Blue Falcon, 하늘매]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_personal_with_us_is_replaced_by_its_kind(tmp_path: Path, chat: Chat) -> None:
    rules = load_custom(written(tmp_path, RULES))
    curator = Curator(CurationConfig(**{**CONFIG.model_dump(), "custom": rules}))
    talk = chat(
        "EMP-123456 sits in room B204. blue  falcon? Blue Falcon! Blue Falcons fly.",
        "하늘매가 BLUE FALCON 입니다. EMP‐654321 A380",
    )
    clean = curator.curate(talk, SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    question, answer = (message.text for message in clean.messages)
    assert question == "[STAFF_ID] sits in room [ROOM]. blue  falcon? [PROJECT]! Blue Falcons fly."
    assert answer == "[PROJECT]가 [PROJECT] 입니다. [STAFF_ID] A380"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("recognizers: [{name: x, entity: X_ID, pattern: '(a+)+$'}]", "takes longer than"),
        ("recognizers: [{name: x, entity: X_ID, pattern: '(a|aa)*b'}]", "takes longer than|nothing at all"),
        ("recognizers: [{name: x, entity: X_ID, pattern: 'a*'}]", "matches nothing at all"),
        ("recognizers: [{name: x, entity: X_ID, pattern: '('}]", "no regular expression"),
        ("recognizers: [{name: x, entity: x id, pattern: 'a'}]", "entity"),
        ("recognizers: [{name: x, entity: X_ID, patern: 'a'}]", "patern"),
        ("recognizers: [{name: x, entity: X_ID, pattern: 'ab', finds: [ac]}]", "misses something in its example 'ac'"),
        ("recognizers: [{name: x, entity: X_ID, pattern: 'ab', misses: [ab]}]", "finds something in its example 'ab'"),
        ("deny: [{entity: X_ID, values: ['']}]", "deny.0.values.0"),
    ],
    ids=["nested", "overlapping", "empty-match", "broken", "entity", "key", "finds", "misses", "empty-value"],
)
def test_a_rule_that_is_none_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_custom(written(tmp_path, text))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the recognizers in none.yaml"):
        load_custom(tmp_path / "none.yaml")


def test_a_pattern_that_gets_slow_later_quarantines_the_text(chat: Chat) -> None:
    rule = Recognizer(name="x", entity="X_ID", pattern="(?:xy|x|y)+(?:xy|y)+z")
    rules = CustomRules(recognizers=(rule,))
    curator = Curator(CurationConfig(**{**CONFIG.model_dump(), "custom": rules, "timeout_seconds": 0.05}))
    result = curator.curate(chat("please read " + "xy" * 9_000 + "! z", "ok"), SECRET, KEY)
    assert result == Quarantined(id="c1", reason="detection_timeout")
