"""Passwords: which can be kept, and how."""

import pytest

from pipelines.errors import InputError
from service.passwords import check_password, hash_password, is_outdated, is_password


def test_a_password_is_kept_as_argon2id_with_what_the_rfc_recommends() -> None:
    kept = hash_password("correct horse battery")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$") and not is_outdated(kept)
    assert is_password(kept, "correct horse battery") and not is_password(kept, "correct horse batterz")


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("short", "12 to 512 characters, and this one has 5"),
        ("x" * 513, "this one has 513"),
        ("abababababab", "guessed at once"),
        ("annabelle-leeannabelle-lee", "guessed at once"),
    ],
    ids=["short", "long", "few characters", "the name"],
)
def test_a_password_that_is_guessed_at_once_is_refused(password: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_password("annabelle-lee", password)
