"""Undoes the ways in which people hide an address or a number from machines.

    john dot doe at gmail dot com -> john.doe@gmail.com      kim골뱅이네이버닷컴 -> kim@naver.com
    j o h n @ g m a i l . c o m   -> john@gmail.com          공일공 일이삼사 오육칠팔 -> 010 1234 5678
    jоhn@gmаil.com (Cyrillic о, а) -> john@gmail.com

A bare " at " is common English, so it counts only before a spelled-out domain or a known mail provider, and never
after a verb or pronoun ("look at google dot com").
"""

import re
from collections.abc import Callable

import regex

from pipelines.curate.normalise import Normalised, rewrite
from pipelines.curate.recognizers.bounded import DetectionTimedOut
from pipelines.curate.words import words

_PROVIDERS = {
    "네이버": "naver",
    "다음": "daum",
    "한메일": "hanmail",
    "지메일": "gmail",
    "구글": "google",
    "카카오": "kakao",
    "네이트": "nate",
    "핫메일": "hotmail",
    "아웃룩": "outlook",
    "야후": "yahoo",
    "컴": "com",
    "넷": "net",
    "케이알": "kr",
    "씨오": "co",
    "오알지": "org",
}
_MAIL = ("네이버", "다음", "한메일", "지메일", "카카오", "네이트", "핫메일", "아웃룩", "야후")
_KNOWN = "gmail|googlemail|naver|daum|hanmail|kakao|nate|yahoo|hotmail|outlook|live|icloud|proton(?:mail)?|aol|gmx"
_NOT_A_NAME = words("not_before_at")
_CYRILLIC = str.maketrans("аеорсухіјѕԁһӏкмнтвАВЕКМНОРСТХІЈЅαορνικτ", "aeopcyxijsdhlkmhtbABEKMHOPCTXIJSaopvikt")
_LOOKALIKE = regex.compile(r"[\u0370-\u03ff\u0400-\u052f]")
_MIXED_TOKEN = regex.compile(r"\S{0,80}[\u0370-\u03ff\u0400-\u052f]\S{0,120}")
_ENCODED_AT = regex.compile(r"(?<=\w)(?:%40|&#0{0,3}64;|&#x0{0,3}40;|&commat;)(?=\w)", regex.I)
_JOINED = regex.compile(
    r"(?<![\w@])([a-z0-9][a-z0-9.+_-]{0,40}?)\s?[\"'_*-]at[\"'_*-]\s?([a-z0-9-]{1,40}?)"
    r"((?:\s?[\"'_*-]dot[\"'_*-]\s?[a-z]{2,10}){1,3})(?![a-z0-9])",
    regex.I | regex.A,
)
_BRACKETED_AT = regex.compile(
    r"\s{0,2}[\[({<]\s?(?:at|앳|골뱅이|@|a(?=.\s?(?:" + _KNOWN + r")\b))\s?[\])}>]\s{0,2}", regex.I
)
_BRACKETED_DOT = regex.compile(r"(?<=\w)\s{0,2}[\[({<]\s?(?:dot|점|닷|쩜|\.)\s?[\])}>]\s{0,2}(?=\w)", regex.I)
_OPENED_AT = regex.compile(r"[\[({<]\s?[aA앳골@]")
_OPENED_DOT = regex.compile(r"[\[({<]\s?[dD점닷쩜.]")
_DOT = r"(?:\s{1,2}dot\s{1,2}|\s?(?:점|닷|쩜)\s?|\s?\.\s?)"
_SPELLED = regex.compile(
    rf"(?<![\w@])([a-z0-9][\w+-]{{0,40}}(?:{_DOT}[a-z0-9][\w+-]{{0,40}}){{0,3}}?)(\s{{1,2}}at\s{{1,2}}|\s?(?:골뱅이|앳)\s?|\s?@\s?(?=[가-힣]|[\w-]{{1,40}}\s?(?:dot|점|닷|쩜)))"
    rf"([a-z0-9-]{{1,40}}|{'|'.join(_PROVIDERS)})((?:{_DOT}(?:[a-z]{{2,10}}|컴|넷|케이알|씨오|오알지)){{1,3}})",
    regex.I | regex.A,
)
_AT_WORD = re.compile(r"\sat\s", re.I)
_DOT_WORD_OR_PROVIDER = re.compile(rf"dot|[점닷쩜]|{_KNOWN}", re.I)
_AT_PROVIDER = regex.compile(
    rf"(?<![\w@])([a-z0-9][\w.+-]{{0,40}})\s?(?:골뱅이|@)\s?({'|'.join(_MAIL)})(?:\s?메일)?(?![가-힣]{{3}})",
    regex.I | regex.A,
)
_TLD = "com|net|org|kr|co|io|ai|app|dev|edu|gov|info|jp|de|fr|uk|us|eu|me"
_AROUND_AT = regex.compile(
    rf"(?<=[\w.+-])\s?@\s?(?=(?:[A-Za-z0-9-]{{1,63}}\s?[.,]\s?){{1,3}}(?:{_TLD})\b)", regex.I | regex.A
)
_AROUND_DOT = regex.compile(
    rf"(@(?:[A-Za-z0-9-]{{1,63}}\.){{0,2}}[A-Za-z0-9-]{{1,63}})\s?[.,]\s?(?=(?:{_TLD})\b)", regex.I | regex.A
)
_LETTER_BY_LETTER = regex.compile(r"(?<!\w)\w (?:[\w.] ){1,40}@(?: [\w-]){2,40} \.(?: \w){2,6}(?!\w)", regex.A)
_HANGUL_DIGITS = dict(zip("공영일이삼사오육륙칠팔구", "001234566789", strict=True))
_SAID = r"(?:[\s.,-]{0,2}(?:(?:에|의|다시)\s?)?[공영일이삼사오육륙칠팔구\d])"  # a digit as read aloud, and what is said before it
# A mobile number has 11 digits, a card 16, a resident number 13: a particle behind it (이에요) is no further digit.
_SPOKEN_NUMBER = regex.compile(
    rf"(?<![가-힣\d])(?:[공영0]\s?[일1]\s?[공영0]{_SAID}{{8}}|[공영일이삼사오육륙칠팔구\d](?:{_SAID}{{15}}|{_SAID}{{12}})|[공영0]{_SAID}{{8,11}})"
)
_ENGLISH_DIGITS = {
    **dict(
        zip(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], "0123456789", strict=True)
    ),
    "oh": "0",
}
_ENGLISH_DIGIT = "|".join(_ENGLISH_DIGITS)
_SPELLED_NUMBER = regex.compile(
    rf"\b(?:{_ENGLISH_DIGIT})(?:[\s,-]{{1,3}}(?:{_ENGLISH_DIGIT})){{8,18}}\b", regex.I | regex.A
)
_LETTER_DIGITS = regex.compile(
    r"(?<![A-Za-z\d])[0oO][1lI|][0oO16789](?:[ .\-]{0,2}[\doOlI]){7,8}(?![A-Za-z\d])", regex.A
)
_LETTER_BEFORE_DIGITS = regex.compile(r"[oO0][1lI|][oO016789]")
# Each digit apart, or a mobile number in odd groups; other rows of small numbers are sequences.
_SPACED_DIGITS = regex.compile(
    r"(?<!\d)0(?:(?: [-.] | ?[-.] ?| )\d){8,11}(?! ?\d)|(?<!\d)0 ?1 ?0(?: ?[-.]? ?\d){7,8}(?!\d)"
)


def deobfuscate(source: Normalised, timeout_seconds: float) -> Normalised:
    """The text with hidden addresses and numbers spelled out; the very same object when there is nothing to undo.

    Raises DetectionTimedOut when one rule takes longer than `timeout_seconds`.
    """
    plain = source
    try:
        for is_possible, pattern, replacement in _RULES:
            if is_possible(plain.text):
                plain = rewrite(plain, pattern, replacement, timeout_seconds)
    except TimeoutError:
        raise DetectionTimedOut(f"undoing disguises took longer than {timeout_seconds} s") from None
    return plain


def _latin(match: regex.Match[str]) -> str:
    token: str = match[0]
    return token.translate(_CYRILLIC) if regex.search("[A-Za-z@]", token) and _LOOKALIKE.search(token) else token


def _address(match: regex.Match[str]) -> str:
    local, at, host, rest = match.groups()
    english = at.strip().lower() == "at"
    spelled = regex.search(r"dot|[점닷쩜]", rest, regex.I) is not None
    if english and (local.lower() in _NOT_A_NAME or not (spelled or regex.fullmatch(_KNOWN, host, regex.I))):
        return str(match[0])
    dotted: str = regex.sub(_DOT, ".", local, flags=regex.I)
    labels = regex.split(_DOT, rest, flags=regex.I)[1:]
    return dotted + "@" + ".".join(_PROVIDERS.get(label, label) for label in [host, *labels])


def _joined(match: regex.Match[str]) -> str:
    labels: str = regex.sub(r"\s?[\W_]dot[\W_]\s?", ".", match[3], flags=regex.I)
    return f"{match[1]}@{match[2]}{labels}"


def _digits_of_words(match: regex.Match[str]) -> str:
    return "".join(_ENGLISH_DIGITS[word] for word in regex.split(r"[\s,-]+", match[0].lower()))


def _digits_of_letters(match: regex.Match[str]) -> str:
    text: str = match[0]
    plain = text.translate(str.maketrans("oOlI|", "00111"))
    return plain if sum(character.isdigit() for character in text) >= 6 else text


def _spoken_number(match: regex.Match[str]) -> str:
    if not any(character in _HANGUL_DIGITS for character in match[0]):
        return str(match[0])
    return "".join(_HANGUL_DIGITS.get(character, character) for character in match[0] if character not in "에의다시")


def _holds(*parts: str) -> Callable[[str], bool]:
    return lambda text: any(part in text for part in parts)


def _may_hold_lookalikes(text: str) -> bool:
    return not text.isascii() and _LOOKALIKE.search(text) is not None


def _may_be_joined(text: str) -> bool:
    lower = text.lower()
    return "dot" in lower and "at" in lower


def _may_be_spelled(text: str) -> bool:
    if "@" in text or "골뱅이" in text or "앳" in text:
        return True
    return _AT_WORD.search(text) is not None and _DOT_WORD_OR_PROVIDER.search(text) is not None


def _may_be_spoken(text: str) -> bool:
    return not text.isascii()


def _may_be_spelled_digits(text: str) -> bool:
    lower = text.lower()
    return sum(lower.count(word) for word in _ENGLISH_DIGITS) >= 9


# What a text must hold for the rule to change anything, the rule, and what it makes of a match.
_RULES: tuple[tuple[Callable[[str], object], regex.Pattern[str], Callable[[regex.Match[str]], str]], ...] = (
    (_may_hold_lookalikes, _MIXED_TOKEN, _latin),
    (_holds("%40", "&"), _ENCODED_AT, lambda match: "@"),
    (_may_be_joined, _JOINED, _joined),
    (_OPENED_AT.search, _BRACKETED_AT, lambda match: "@"),
    (_OPENED_DOT.search, _BRACKETED_DOT, lambda match: "."),
    (_may_be_spelled, _SPELLED, _address),
    (_holds("@", "골뱅이"), _AT_PROVIDER, lambda match: f"{match[1]}@{_PROVIDERS[match[2]]}.com"),
    (_holds("@ "), _LETTER_BY_LETTER, lambda match: match[0].replace(" ", "")),
    (_holds("@"), _AROUND_AT, lambda match: "@"),
    (_holds("@"), _AROUND_DOT, lambda match: match[1] + "."),
    (_may_be_spoken, _SPOKEN_NUMBER, _spoken_number),
    (_may_be_spelled_digits, _SPELLED_NUMBER, _digits_of_words),
    (_LETTER_BEFORE_DIGITS.search, _LETTER_DIGITS, _digits_of_letters),
    (_holds("0"), _SPACED_DIGITS, lambda match: match[0].replace(" ", "")),
)
