"""The normalised copy and the way back."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.curate.normalise import normalise, tidy

ROWS = [
    ("０１０－１２３４", "010-1234"),
    ("010\u200b-12", "010-12"),
    ("ｊｏｈｎ＠ａ．ｃｏｍ", "john@a.com"),
    ("①②③", "123"),
    ("٠١٠", "010"),
    ("a\u2013b\u00a0c", "a-b c"),
    ("ﬁne", "fine"),
    ("한국어 그대로", "한국어 그대로"),
]


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_folds_what_looks_the_same(text: str, expected: str) -> None:
    assert normalise(text).text == expected


def test_a_ligature_leads_back_to_one_character() -> None:
    assert normalise("oﬃce").span(1, 4) == (1, 2)


@given(st.text(max_size=60))
def test_every_normalised_character_comes_from_the_original(text: str) -> None:
    source = normalise(text)
    assert len(source.text) == len(source.starts) == len(source.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(source.starts, source.ends, strict=True))


def test_tidy_keeps_emoji_and_drops_the_invisible() -> None:
    assert tidy("a\u200bb\u202ec\r\nd\U000e0041 👩\u200d💻") == "abc\nd 👩\u200d💻"
    assert unicodedata.is_normalized("NFC", tidy("e\u0301"))
