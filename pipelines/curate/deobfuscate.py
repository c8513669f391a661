"""Undoes the ways in which people hide an address or a number from machines.

    john dot doe at gmail dot com -> john.doe@gmail.com      kim골뱅이네이버닷컴 -> kim@naver.com
    j o h n @ g m a i l . c o m   -> john@gmail.com          공일공 일이삼사 오육칠팔 -> 010 1234 5678
    jоhn@gmаil.com (Cyrillic о, а) -> john@gmail.com

A bare " at " is common English, so it counts only before a spelled-out domain or a known mail provider, and never
after a verb or pronoun ("look at google dot com").
"""

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
_KNOWN = (
    "gmail|googlemail|naver|daum|hanmail|kakao|nate|yahoo|hotmail|outlook|live|icloud|proton(?:mail)?|aol|gmx"
)
_NOT_A_NAME = words("not_before_at")
_CYRILLIC = str.maketrans(
    "аеорсухіјѕԁһӏкмнтвАВЕКМНОРСТХІЈЅαορνικτ", "aeopcyxijsdhlkmhtbABEKMHOPCTXIJSaopvikt"
)
_LOOKALIKE = regex.compile(r"[\u0370-\u03ff\u0400-\u052f]")
_MIXED_TOKEN = regex.compile(r"\S{0,80}[\u0370-\u03ff\u0400-\u052f]\S{0,120}")
_BRACKETED_AT = regex.compile(r"\s{0,2}[\[({<]\s?(?:at|앳|골뱅이|@)\s?[\])}>]\s{0,2}", regex.I)
_BRACKETED_DOT = regex.compile(r"(?<=\w)\s{0,2}[\[({<]\s?(?:dot|점|닷|쩜|\.)\s?[\])}>]\s{0,2}(?=\w)", regex.I)
_DOT = r"(?:\s{1,2}dot\s{1,2}|\s?(?:점|닷|쩜)\s?|\s?\.\s?)"
_SPELLED = regex.compile(
    rf"(?<![\w@])([a-z0-9][\w+-]{{0,40}}(?:{_DOT}[a-z0-9][\w+-]{{0,40}}){{0,3}}?)(\s{{1,2}}at\s{{1,2}}|\s?(?:골뱅이|앳)\s?)"
    rf"([a-z0-9-]{{1,40}}|{'|'.join(_PROVIDERS)})((?:{_DOT}(?:[a-z]{{2,10}}|컴|넷|케이알|씨오|오알지)){{1,3}})",
    regex.I | regex.A,
)
_AROUND_AT = regex.compile(r"(?<=[\w.+-])\s?@\s?(?=[A-Za-z0-9-]{1,63}\s?\.\s?[A-Za-z]{2,})", regex.A)
_AROUND_DOT = regex.compile(
    r"(@[A-Za-z0-9-]{1,63})\s?\.\s?(?=(?:com|net|org|kr|co|io|edu|gov|jp|de|fr|uk|me)\b)", regex.I | regex.A
)
_LETTER_BY_LETTER = regex.compile(
    r"(?<!\w)\w (?:[\w.] ){1,40}@(?: [\w-]){2,40} \.(?: \w){2,6}(?!\w)", regex.A
)
_HANGUL_DIGITS = dict(zip("공영일이삼사오육륙칠팔구", "001234566789", strict=True))
_SPOKEN_NUMBER = regex.compile(r"(?<![가-힣\d])[공영0](?:[\s.-]{0,2}[공영일이삼사오육륙칠팔구\d]){8,11}")
_SPACED_DIGITS = regex.compile(r"(?<!\d)0(?: ?[-.]? ?\d){8,12}(?!\d)")
_CUE = regex.compile(
    rf"골뱅이|앳|[\[({{<]\s?(?:at|dot|점|닷|쩜|@)|\s@|@\s|@[\w-]{{1,63}}\s?\.\s|\bat\b.{{1,60}}?(?:\bdot\b|{_KNOWN})|\bdot\b|"
    r"(?<![가-힣\d])[공영0][\s.-]{0,2}[공영일이삼사오육칠1-9]|(?<!\d)0 \d|[\u0370-\u03ff\u0400-\u052f]",
    regex.I,
)


def deobfuscate(source: Normalised, timeout_seconds: float) -> Normalised:
    """The text with hidden addresses and numbers spelled out; the very same object when there is nothing to undo.

    Raises DetectionTimedOut when one rule takes longer than `timeout_seconds`.
    """
    if not _CUE.search(source.text):
        return source
    plain = source
    try:
        for pattern, replacement in _RULES:
            plain = rewrite(plain, pattern, replacement, timeout_seconds)
    except TimeoutError:
        raise DetectionTimedOut(f"undoing disguises took longer than {timeout_seconds} s") from None
    return plain


def _latin(match: regex.Match[str]) -> str:
    token: str = match[0]
    return (
        token.translate(_CYRILLIC) if regex.search("[A-Za-z@]", token) and _LOOKALIKE.search(token) else token
    )


def _address(match: regex.Match[str]) -> str:
    local, at, host, rest = match.groups()
    english = at.strip().lower() == "at"
    spelled = regex.search(r"dot|[점닷쩜]", rest, regex.I) is not None
    if english and (local.lower() in _NOT_A_NAME or not (spelled or regex.fullmatch(_KNOWN, host, regex.I))):
        return str(match[0])
    dotted: str = regex.sub(_DOT, ".", local, flags=regex.I)
    labels = regex.split(_DOT, rest, flags=regex.I)[1:]
    return dotted + "@" + ".".join(_PROVIDERS.get(label, label) for label in [host, *labels])


def _spoken_number(match: regex.Match[str]) -> str:
    if not any(character in _HANGUL_DIGITS for character in match[0]):
        return str(match[0])
    return "".join(_HANGUL_DIGITS.get(character, character) for character in match[0])


_RULES: tuple[tuple[regex.Pattern[str], Callable[[regex.Match[str]], str]], ...] = (
    (_MIXED_TOKEN, _latin),
    (_BRACKETED_AT, lambda match: "@"),
    (_BRACKETED_DOT, lambda match: "."),
    (_SPELLED, _address),
    (_LETTER_BY_LETTER, lambda match: match[0].replace(" ", "")),
    (_AROUND_AT, lambda match: "@"),
    (_AROUND_DOT, lambda match: match[1] + "."),
    (_SPOKEN_NUMBER, _spoken_number),
    (_SPACED_DIGITS, lambda match: match[0].replace(" ", "")),
)
