"""Topics: from a closed list, because they are stored in the clear."""

import pytest

from pipelines.curate.topic import topic


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        ("Support", "Hello", "support"),
        ("kim@naver.com", "Hello", "other"),
        ("Hong Gildong", "Hello", "other"),
        (None, "```python\nprint(1)\n```", "coding"),
        (" ", "Hello", "unknown"),
        (None, "Write code for me", "unknown"),
    ],
)
def test_a_topic_never_repeats_the_clients_own_words(hint: str | None, text: str, expected: str) -> None:
    assert topic([text], hint) == expected
