"""Forms in which texts are compared."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text import Form, fold


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("  Ｖｅｌｌ \n is  far ", "NFC", "Ｖｅｌｌ is far"),
        ("  Ｖｅｌｌ \n is  far ", "NFKC", "Vell is far"),
        ("  Ｖｅｌｌ \n is  far ", "NFKC_casefold", "vell is far"),
        ("Stra\u00dfe", "NFKC_casefold", "strasse"),
        ("e\u0301t\u0065", "NFC", "\u00e9te"),
        ("\u1112\u1161\u11ab", "NFC", "한"),
        ("", "NFC", ""),
    ],
)
def test_a_form_keeps_what_its_name_says(text: str, form: Form, expected: str) -> None:
    assert fold(text, form) == expected


@given(st.text(max_size=60), st.sampled_from(["NFC", "NFKC"]))
def test_folding_twice_changes_nothing_more(text: str, form: Form) -> None:
    assert fold(fold(text, form), form) == fold(text, form)


def test_each_form_makes_at_least_as_much_the_same_as_the_one_before() -> None:
    pairs = [("a b", "a  b"), ("Ａ", "A"), ("A", "a")]
    same = [[fold(one, form) == fold(other, form) for one, other in pairs] for form in get_args(Form)]
    assert same == [[True, False, False], [True, True, False], [True, True, True]]
