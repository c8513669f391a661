"""What stands in for a person's data: natural, consistent within a conversation, and never anybody's.

    kim.minsu@naver.com -> jose.barron41@example.com   (reserved domains, RFC 2606)
    010-1234-5678       -> 010-0719-3328               (Korean exchanges never begin with 0)
    (212) 867-5309      -> (394) 555-0142              (555-01xx is kept for fiction; see phone_surrogate)
    김민수가            -> 이도현이 would be wrong: the surrogate ends as the name did, in a vowel
    4111 1111 1111 1111 -> [CARD]

Everything follows from (secret, entity, canonical value), so the same secret gives the same surrogates to a correction
that comes weeks later.
"""

import hashlib
import random
import re
from collections.abc import Callable

from pipelines.curate import phone_surrogate
from pipelines.curate.fakes import ascii_names, fake, hangul_names
from pipelines.curate.gazetteer import gazetteer
from pipelines.curate.particles import Ending, ending
from pipelines.curate.words import words

TAGS = {
    "SECRET": "[SECRET]",
    "CREDIT_CARD": "[CARD]",
    "KR_RRN": "[ID]",
    "US_SSN": "[ID]",
    "IBAN_CODE": "[ID]",
    "KR_PASSPORT": "[ID]",
    "KR_DRIVER_LICENSE": "[ID]",
    "KR_BRN": "[ID]",
    "NATIONAL_ID": "[ID]",
    "VEHICLE_PLATE": "[PLATE]",
    "BIRTH_DATE": "[BIRTH_DATE]",
    "COORDINATES": "[COORDINATES]",
    "USERNAME": "[USERNAME]",
}
_TRIES = 64
_TLD_ENDINGS: dict[str, Ending] = {
    "com": "consonant",
    "net": "consonant",
    "org": "vowel",
    "kr": "rieul",
    "io": "vowel",
    "example": "rieul",
}
_HOSTS: dict[Ending, tuple[str, ...]] = {
    "consonant": ("example.com", "example.net"),
    "vowel": ("example.org", "mail.example.org"),
    "rieul": ("mail.example", "post.example"),
}
_RIEUL_NAMES = (
    "은별",
    "예슬",
    "다솔",
    "한솔",
    "은솔",
    "하늘",
    "한결",
    "영철",
    "상철",
    "동일",
)  # Faker has none for women
_DOCUMENTATION_NETS = ("192.0.2", "198.51.100", "203.0.113")


def canonical(entity: str, value: str) -> str:
    """The form in which two ways of writing one value are equal."""
    if entity == "PHONE_NUMBER":
        return phone_surrogate.national(value)
    if entity in TAGS and entity != "SECRET":
        return re.sub(r"[\W_]", "", value).casefold()
    return value if entity == "SECRET" else " ".join(value.casefold().split())


class Surrogates:
    """Hands out the surrogates of one conversation; `text` is all of its text, whose own values are never given out."""

    def __init__(self, secret: bytes, text: str) -> None:
        self._key = hashlib.sha256(secret).digest()
        self._text = text.casefold()
        self._digits = re.sub(r"\D", "", text)
        self._given: dict[tuple[str, str], str] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self._kinds: dict[str, str] = {}

    def of(self, entity: str, value: str) -> str:
        """The surrogate of a value as it reads once normalised; a fixed tag for secrets, cards and ids."""
        if entity in TAGS:
            return TAGS[entity]
        if entity == "PERSON":
            return self._person(value)
        make = _MAKERS.get(entity)
        if make is None:
            return f"[{entity}]"
        plain = self._settle(entity, canonical(entity, value), value, lambda rng: make(value, rng))
        return phone_surrogate.in_shape_of(value, plain) if entity == "PHONE_NUMBER" else plain

    def of_part(self, token: str, kind: str) -> str:
        """The surrogate of one part of a name: kind `given` or `surname` (Latin), `hangul_given` or `hangul_surname`."""
        name = self._settle(kind, token.casefold(), token, lambda rng: _NAME_PARTS[kind](token, rng))
        return name.upper() if token.isupper() and len(token) > 1 else name.lower() if token.islower() else name

    def _person(self, value: str) -> str:
        if re.search("[가-힣]", value):
            surname, given = split_hangul(value)
            return (self.of_part(surname, "hangul_surname") if surname else "") + (
                self.of_part(given, "hangul_given") if given else ""
            )
        if not re.search("[A-Za-zÀ-ɏ]", value):
            return self._settle("PERSON", value, value, lambda rng: _unromanised(value, rng))
        tokens = value.split(" ")
        for token, kind in zip(tokens, latin_kinds(tokens), strict=True):
            if kind != "kept":
                self._kinds.setdefault(token.casefold(), kind)
        return " ".join(self._latin_token(token, len(tokens)) for token in tokens)

    def _latin_token(self, token: str, of_tokens: int) -> str:
        if re.fullmatch(r"[A-Z]\.", token):
            return self._settle("initial", token, token, lambda rng: rng.choice("ABCDEFGHJKLMNPRSTVW") + ".")
        kind = self._kinds.get(token.casefold(), "kept")
        return token if kind == "kept" else self.of_part(token, kind)

    def _settle(self, kind: str, key: str, value: str, make: Callable[[random.Random], str]) -> str:
        """The first candidate that is no real value here, belongs to nobody else, and ends as the value does."""
        owner = (kind, key)
        if owner in self._given:
            return self._given[owner]
        wanted = _value_ending(value)
        candidate = fallback = ""
        for attempt in range(_TRIES):
            candidate = make(self._random(kind, key, attempt))
            free = self._owners.get(candidate.casefold(), owner) == owner and not self._occurs(kind, candidate)
            if free and _value_ending(candidate) == wanted:
                break
            fallback = candidate if free else fallback
        else:
            candidate = fallback or candidate
        self._given[owner] = candidate
        self._owners[candidate.casefold()] = owner
        return candidate

    def _occurs(self, kind: str, candidate: str) -> bool:
        if kind == "PHONE_NUMBER":
            return candidate[-8:] in self._digits
        return kind not in ("initial", "hangul_surname") and candidate.casefold() in self._text

    def _random(self, kind: str, key: str, attempt: int) -> random.Random:
        digest = hashlib.blake2b(f"{kind}|{key}|{attempt}".encode(), key=self._key, digest_size=16).digest()
        return random.Random(int.from_bytes(digest, "big"))


def split_hangul(name: str) -> tuple[str, str]:
    """Surname and given name: 김민수 -> 김, 민수; 남궁민 -> 남궁, 민; 민수 -> "", 민수 when it is a known given name."""
    names = gazetteer()
    if name in names.hangul_given or (len(name) == 2 and name in names.hangul_given_also_words):
        return "", name
    if len(name) > 3 and name[:2] in names.surnames or len(name) == 3 and name[:2] in ("남궁", "황보", "제갈", "독고"):
        return name[:2], name[2:]
    return (name[:1], name[1:]) if len(name) > 1 and name[:1] in names.surnames else ("", name)


def latin_kinds(tokens: list[str]) -> list[str]:
    """`given`, `surname` or `kept` (particles) for each token of a Latin name."""
    names = gazetteer()
    if len(tokens) == 1:
        given = tokens[0].casefold() in names.given | names.given_also_words
        return ["given" if given else "surname"]
    kinds = ["given"] * (len(tokens) - 1) + ["surname"]
    return [
        "kept" if token in ("de", "da", "di", "del", "van", "von", "bin", "al-") or token.endswith(".") else kind
        for token, kind in zip(tokens, kinds, strict=True)
    ]


def _value_ending(value: str) -> Ending:
    return _TLD_ENDINGS.get(value.rpartition(".")[2].lower(), ending(value)) if "@" in value else ending(value)


def _email(value: str, rng: random.Random) -> str:
    host = rng.choice(_HOSTS[_value_ending(value)])
    return (
        f"{rng.choice(ascii_names('female'))}.{rng.choice(ascii_names('last'))}{rng.randrange(10, 99)}@{host}".lower()
    )


def _url(value: str, rng: random.Random) -> str:
    parts = fake("en_US", rng).words(2)
    scheme, marked, _ = value.partition("://")
    head = f"{scheme.lower()}://" if marked else "www."
    return f"{head}example.{rng.choice(('com', 'org', 'net'))}/{parts[0]}/{parts[1]}"


def _ip(value: str, rng: random.Random) -> str:
    address, slash, bits = value.partition("/")
    if ":" in address:
        return f"2001:db8::{rng.randrange(0x1000, 0xFFFF):x}" + slash + bits
    return f"{rng.choice(_DOCUMENTATION_NETS)}.{rng.randrange(1, 255)}" + slash + bits


def _mac(value: str, rng: random.Random) -> str:
    octets = ["00", "00", "5E", "00", "53", f"{rng.randrange(256):02X}"]  # RFC 7042: for documentation
    if "." in value:
        return ".".join("".join(octets[i : i + 2]) for i in (0, 2, 4))
    return ("-" if "-" in value else ":").join(octets)


def _address(value: str, rng: random.Random) -> str:
    if re.search("[가-힣]", value):
        korea = fake("ko_KR", rng)
        street = f"{korea.road_name()}{rng.choice('로길')} {rng.randrange(1, 400)}"
        return f"{korea.borough()} {street}" if re.search("[가-힣][시군구] ", value) else street
    america = fake("en_US", rng)
    street = f"{rng.randrange(10, 9900)} {america.street_name()}"
    return f"{street}, {america.city()}" if "," in value else street


def _latin_given(value: str, rng: random.Random) -> str:
    female = value.title() in ascii_names("female") and value.title() not in ascii_names("male")
    return rng.choice(ascii_names("female" if female else "male"))


def _latin_surname(value: str, rng: random.Random) -> str:
    return rng.choice(ascii_names("last"))


def _hangul_given(value: str, rng: random.Random) -> str:
    kinds = (
        ["male"]
        if value in hangul_names("male")
        else ["female"]
        if value in hangul_names("female")
        else ["male", "female"]
    )
    pool = [name for kind in kinds for name in hangul_names(kind)]
    return rng.choice(_RIEUL_NAMES if ending(value) == "rieul" else pool)


def _hangul_surname(value: str, rng: random.Random) -> str:
    return rng.choice([name for name in hangul_names("last") if name != value])


def _unromanised(value: str, rng: random.Random) -> str:
    """A name in the value's letters; of Han letters as many parts of one, without a blank unless it has one."""
    locale = _locale(value)
    if locale not in ("ja_JP", "zh_CN"):
        return str(fake(locale, rng).name())
    maker = fake(locale, rng)
    surname_only = value in words("kanji_surnames") or value in words("hanzi_surnames")
    name = str(maker.last_name()) if surname_only else str(maker.name())
    return name if " " in value else name.replace(" ", "")


def _locale(value: str) -> str:
    if re.search("[\u3040-\u30ff]", value) or any(value[:size] in words("kanji_surnames") for size in (2, 3)):
        return "ja_JP"
    if re.search("[\u0370-\u03ff]", value):
        return "el_GR"
    return (
        "ru_RU" if re.search("[\u0400-\u04ff]", value) else "zh_CN" if re.search("[\u4e00-\u9fff]", value) else "en_US"
    )


_MAKERS: dict[str, Callable[[str, random.Random], str]] = {
    "EMAIL_ADDRESS": _email,
    "PHONE_NUMBER": phone_surrogate.surrogate,
    "URL": _url,
    "IP_ADDRESS": _ip,
    "MAC_ADDRESS": _mac,
    "ADDRESS": _address,
}
_NAME_PARTS: dict[str, Callable[[str, random.Random], str]] = {
    "given": _latin_given,
    "surname": _latin_surname,
    "hangul_given": _hangul_given,
    "hangul_surname": _hangul_surname,
}
