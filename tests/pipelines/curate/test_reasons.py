"""Every reason that curation gives is in words."""

import ast
from pathlib import Path

import pipelines.curate
from pipelines.curate.reasons import QUARANTINED, REJECTED, in_words
from service import curation

FOLDERS = (Path(pipelines.curate.__file__).parent, Path(curation.__file__).parent)


def calls(name: str, argument: str) -> set[str]:
    """The constant beginnings of what the code gives as this argument."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for folder in FOLDERS for path in folder.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [node for node in nodes if isinstance(node.func, ast.Name) and node.func.id == name]
    values = [word.value for node in named for word in node.keywords if word.arg == argument]
    heads = [value.values[0] if isinstance(value, ast.JoinedStr) else value for value in values]
    return {str(head.value).rstrip(":") for head in heads if isinstance(head, ast.Constant)}


def test_every_rule_that_rejects_is_in_words() -> None:
    rules = calls("Rejected", "rule")
    assert {"gibberish", "personal_data_left"} <= rules
    assert rules <= set(REJECTED)


def test_every_reason_for_quarantine_is_in_words() -> None:
    reasons = calls("Quarantined", "reason")
    assert {"curation_failed", "detection_timeout"} <= reasons
    assert reasons <= set(QUARANTINED)


def test_the_kind_of_error_behind_a_reason_changes_no_word() -> None:
    assert in_words("unreadable:RecursionError") == QUARANTINED["unreadable"]
    assert in_words("of an earlier version") == ""
