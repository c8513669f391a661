"""The audit as people read it."""

import pytest

from service.store.audit import in_words

ROWS = [
    ("nothing said", {"consent": None}, "consent not said"),
    ("yes and counts", {"consent": True, "conversations": {"created": 3, "unchanged": 1}}, "consent yes, conversations 3 created and 1 unchanged"),
    ("no counts", {"votes": {}}, "votes none"),
    ("a name of two words", {"key_id": "k-1", "override": False}, "key id k-1, override no"),
    ("a list", {"scopes": ["read", "ingest"]}, "scopes read ingest"),
]  # fmt: skip


@pytest.mark.parametrize(("detail", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_details_are_words(detail: dict[str, object], words: str) -> None:
    assert in_words(detail) == words
