"""How a word ends to a Korean ear, so that the particle behind it stays right when the word is replaced.

김민수+가 (vowel)   박서윤+이 (consonant)   서울+로 (ㄹ: takes 로 like a vowel, 이 like a consonant)   010-…-5678+이에요 (팔: ㄹ)
"""

from typing import Literal

Ending = Literal["vowel", "consonant", "rieul"]

_DIGITS: dict[str, Ending] = {
    "0": "consonant",
    "1": "rieul",
    "2": "vowel",
    "3": "consonant",
    "4": "vowel",
    "5": "vowel",
    "6": "consonant",
    "7": "rieul",
    "8": "rieul",
    "9": "vowel",
}
_RIEUL = 8


def ending(text: str) -> Ending:
    """The ending of the last letter or digit as read aloud in Korean; Latin letters by a rule of thumb."""
    last = next((character for character in reversed(text) if character.isalnum()), "")
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return "vowel" if final == 0 else "rieul" if final == _RIEUL else "consonant"
    if last in _DIGITS:
        return _DIGITS[last]
    if last in "lLrR":
        return "rieul" if last in "lL" else "vowel"
    return "consonant" if last and last in "bcdgkmnptBCDGKMNPT" else "vowel"


def has_final(syllable: str) -> bool:
    """Whether a Hangul syllable ends in a consonant."""
    return ending(syllable) != "vowel"


def followed_by_hangul(text: str, end: int) -> bool:
    """Whether a Hangul letter (a particle, most likely) stands right behind text[:end]."""
    return end < len(text) and "가" <= text[end] <= "힣"
