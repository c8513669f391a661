"""Personal information to plant in demo conversations: valid in form, belonging to nobody.

    Planted("KR_RRN", "990214-3012345", "제 주민번호는 990214-3012345예요.", "ko")

Ranges: example.com/.org/.net and 555-01xx (reserved), 010-0... (never assigned), cards of the test range 4000 00,
resident numbers of people born in 2090 or later (with a valid check digit), documentation addresses for IP, streets
that do not exist, and keys that spell EXAMPLE.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tiny.world import Language

FIRST = ("Harriet", "Daniel", "Olivia", "Marcus", "Priya", "Thomas", "Elena", "Samuel", "Grace", "Victor")
LAST = ("Nwosu", "Brooks", "Whitfield", "Hartley", "Ramirez", "Okafor", "Lindqvist", "Pemberton", "Castillo", "Doyle")
KOREAN_LAST = ("김", "이", "박", "최", "정", "강", "조", "윤", "장", "임")
KOREAN_FIRST = ("민지", "서준", "도현", "하은", "지우", "예진", "현우", "수빈", "태민", "유나")
STREETS = ("Willow Street", "Maple Avenue", "Harbor Road", "Cedar Lane", "Birch Drive")
TOWNS = ("Springfield, IL 62799", "Riverton, OH 43998", "Fairview, TX 75998", "Lakeside, OR 97998")
KOREAN_STREETS = (
    "서울특별시 강남구 가상로",
    "부산광역시 해운대구 없는길",
    "대전광역시 유성구 예시로",
    "경기도 성남시 분당구 보기로",
)
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
RRN_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


@dataclass(frozen=True)
class Planted:
    """One personal value exactly as it stands in `text`, which is one user message."""

    entity: str
    value: str
    text: str
    language: Language


def plant(rng: random.Random, count: int) -> list[Planted]:
    """`count` values, every kind in turn, no value twice."""
    planted: dict[str, Planted] = {}
    while len(planted) < count:
        one = KINDS[len(planted) % len(KINDS)](rng)
        planted.setdefault(one.value, one)
    return list(planted.values())


def resident_number(rng: random.Random) -> str:
    """A Korean resident number of somebody born in the 2090s, with its check digit."""
    head = f"9{rng.randrange(10)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}{rng.choice('34')}"
    body = head + f"{rng.randrange(96):02}{rng.randrange(1000):03}"
    check = (11 - sum(int(d) * w for d, w in zip(body, RRN_WEIGHTS, strict=True)) % 11) % 10
    return f"{body[:6]}-{body[6:]}{check}"


def card_number(rng: random.Random) -> str:
    """A card number of the test range 4000 00 with its Luhn digit, in one of three spellings."""
    body = f"400000{rng.randrange(10**9):09}"
    doubled = [int(d) * 2 if place % 2 == 0 else int(d) for place, d in enumerate(body)]
    digits = body + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)
    return rng.choice(("", " ", "-")).join(digits[i : i + 4] for i in range(0, 16, 4))


def _email(rng: random.Random) -> Planted:
    value = f"{rng.choice(FIRST).lower()}.{rng.choice(LAST).lower()}{rng.randint(1, 99)}@example.{rng.choice(('com', 'org', 'net'))}"
    text = rng.choice(("You can write to me at {v}.", "My email is {v}, please keep it.", "Send it to {v} today."))
    return Planted("EMAIL_ADDRESS", value, text.format(v=value), "en")


def _korean_email(rng: random.Random) -> Planted:
    value = f"{rng.choice(('minji', 'seojun', 'haeun', 'jiwoo', 'yuna'))}{rng.randint(10, 999)}@example.com"
    text = rng.choice(("제 메일은 {v}입니다.", "{v}으로 보내 주세요.", "메일 주소가 {v}인데 맞나요?"))
    return Planted("EMAIL_ADDRESS", value, text.format(v=value), "ko")


def _disguised_email(rng: random.Random) -> Planted:
    name, number = rng.choice(("john.doe", "mary.hill", "kim.lee")), rng.randint(1, 999)
    value = rng.choice(
        (
            _full_width(f"{name}{number}@example.com"),
            f"{name.replace('.', ' dot ')}{number} at example dot com",
            f"{name}{number} [at] example.com",
            f"{name}{number}\u200b@example.com",
        )
    )
    return Planted("EMAIL_ADDRESS", value, f"Reach me on {value} if you like.", "en")


def _us_phone(rng: random.Random) -> Planted:
    area, last = rng.choice((212, 415, 617, 312, 206)), f"01{rng.randrange(100):02}"
    value = rng.choice((f"({area}) 555-{last}", f"{area}-555-{last}", f"+1 {area} 555 {last}"))
    return Planted("PHONE_NUMBER", value, f"Call me on {value} after six.", "en")


def _korean_phone(rng: random.Random) -> Planted:
    middle, last = f"0{rng.randrange(1000):03}", f"{rng.randrange(10000):04}"
    value = rng.choice(
        (f"010-{middle}-{last}", f"010{middle}{last}", f"010 {middle} {last}", _full_width(f"010-{middle}-{last}"))
    )
    text = rng.choice(("제 번호는 {v}이에요.", "{v}으로 전화 주세요.", "연락처가 {v}인데요."))
    return Planted("PHONE_NUMBER", value, text.format(v=value), "ko")


def _card(rng: random.Random) -> Planted:
    value = card_number(rng)
    return Planted("CREDIT_CARD", value, f"I paid with card {value} yesterday.", "en")


def _korean_id(rng: random.Random) -> Planted:
    value = resident_number(rng)
    value = _full_width(value) if rng.random() < 0.2 else value
    text = rng.choice(("제 주민번호는 {v}예요.", "주민등록번호 {v}를 적어야 하나요?", "{v}이 제 번호입니다."))
    return Planted("KR_RRN", value, text.format(v=value), "ko")


def _ip(rng: random.Random) -> Planted:
    value = rng.choice(("192.0.2.{n}", "198.51.100.{n}", "203.0.113.{n}", "2001:db8::{n}")).format(
        n=rng.randint(10, 254)
    )
    text, language = rng.choice((("My server is at {v} now.", "en"), ("서버 주소는 {v}입니다.", "ko")))
    return Planted("IP_ADDRESS", value, text.format(v=value), "ko" if language == "ko" else "en")


def _secret(rng: random.Random) -> Planted:
    tail = "".join(rng.choice(ALPHABET) for _ in range(20))
    value, text = rng.choice(
        (
            (f"sk-proj-EXAMPLE{tail}", "My API key is {v}, does it work?"),
            (f"AKIAEXAMPLE{tail[:9].upper()}", "The access key is {v}, keep it safe."),
            (f"EXAMPLE-{tail[:10]}!", "password: {v}"),
            (f"EXAMPLE{tail}", "export API_TOKEN={v}"),
        )
    )
    return Planted("SECRET", value, text.format(v=value), "en")


def _person(rng: random.Random) -> Planted:
    value = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    text = rng.choice(
        ("My name is {v}, nice to meet you.", "I am {v} and I have a question.", "Please tell Dr. {v} about it.")
    )
    return Planted("PERSON", value, text.format(v=value), "en")


def _korean_person(rng: random.Random) -> Planted:
    value = rng.choice(KOREAN_LAST) + rng.choice(KOREAN_FIRST)
    text = rng.choice(
        ("제 이름은 {v}입니다.", "{v}씨에게 전해 주세요.", "저는 {v}이라고 해요.", "어제 {v} 선생님을 만났어요.")
    )
    return Planted("PERSON", value, text.format(v=value), "ko")


def _address(rng: random.Random) -> Planted:
    value = f"{rng.randint(100, 999)} {rng.choice(STREETS)}, {rng.choice(TOWNS)}"
    return Planted("ADDRESS", value, f"I live at {value}.", "en")


def _korean_address(rng: random.Random) -> Planted:
    value = f"{rng.choice(KOREAN_STREETS)} {rng.randint(10, 299)}"
    return Planted("ADDRESS", value, f"집 주소는 {value}입니다.", "ko")


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


KINDS: tuple[Callable[[random.Random], Planted], ...] = (
    _email, _korean_email, _us_phone, _korean_phone, _korean_id, _secret, _person, _korean_person, _address,
    _korean_address, _ip, _disguised_email, _card,
)  # fmt: skip
