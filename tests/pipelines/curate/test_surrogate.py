"""Surrogates: consistent, natural, nobody's, and right before a Korean particle."""

import random
import re
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.curate import phone_surrogate
from pipelines.curate.curate import Curator
from pipelines.curate.entities import ENTITIES
from pipelines.curate.particles import ending
from pipelines.curate.surrogate import TAGS, Surrogates, canonical
from pipelines.records import CleanConversation
from tests.pipelines.curate.chats import KEY, SECRET, Chat

SHAPES = [
    (
        "EMAIL_ADDRESS",
        "kim@naver.com",
        r"[a-z]+\.[a-z]+\d\d@(example\.(com|net|org)|mail\.example(\.org)?|post\.example)",
    ),
    ("PHONE_NUMBER", "010-1234-5678", r"010-0\d{3}-\d{4}"),
    ("PHONE_NUMBER", "01012345678", r"0100\d{7}"),
    ("PHONE_NUMBER", "+82 10-1234-5678", r"\+82 10-0\d{3}-\d{4}"),
    ("PHONE_NUMBER", "02-312-4567", r"02-0\d\d-\d{4}"),
    ("PHONE_NUMBER", "(212) 867-5309", r"\(\d{3}\) 555-01\d\d"),
    ("PHONE_NUMBER", "+1 212-867-5309", r"\+1 \d{3}-555-01\d\d"),
    ("PHONE_NUMBER", "07700 900123", r"07700 900\d{3}"),
    ("PHONE_NUMBER", "+49 30 12345678", r"\+49 30 23125\d{3}"),
    ("PHONE_NUMBER", "06 12 34 56 78", r"06 39 98 \d\d \d\d"),
    ("PHONE_NUMBER", "(+49) 171 9876543", r"\(\+49\) 171 39200\d\d"),
    ("PHONE_NUMBER", "+34 612 345 678", r"\+34 \d{3} \d{3} \d{3}"),
    ("PHONE_NUMBER", "1588-1234", r"\d{4}-\d{4}"),
    ("IP_ADDRESS", "8.8.4.4", r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+"),
    ("IP_ADDRESS", "2001:4860::8888", r"2001:db8::[0-9a-f]{4}"),
    ("MAC_ADDRESS", "00:1A:2B:3C:4D:5E", r"00:00:5E:00:53:[0-9A-F]{2}"),
    ("URL", "https://kim.kr/u/minsu?id=3", r"https://example\.(com|org|net)/[a-z]+/[a-z]+"),
    ("ADDRESS", "서울 강남구 테헤란로 152", r"[가-힣]+구 [가-힣]+[로길] \d+"),
    ("ADDRESS", "12 Baker Street, London", r"\d+ [A-Z][\w ]+, [A-Z][\w ]+"),
    ("PERSON", "김민수", r"[가-힣]{3}"),
    ("PERSON", "민수", r"[가-힣]{2}"),
    ("PERSON", "Sarah", r"[A-Z][a-z]+"),
    ("PERSON", "SARAH J. CONNOR", r"[A-Z]+ [A-Z]\. [A-Z]+"),
    ("PERSON", "deepak", r"[a-z]+"),
    ("SECRET", "hunter22", r"\[SECRET\]"),
    ("KR_RRN", "900101-1234567", r"\[ID\]"),
    ("CREDIT_CARD", "4111 1111 1111 1111", r"\[CARD\]"),
]


@pytest.mark.parametrize(("entity", "value", "pattern"), SHAPES)
def test_a_surrogate_has_the_shape_of_its_value(entity: str, value: str, pattern: str) -> None:
    surrogate = Surrogates(SECRET, value).of(entity, value)
    assert re.fullmatch(pattern, surrogate)
    assert surrogate != value


@pytest.mark.parametrize(
    "value", ["김민수", "박서윤", "이가을", "정다은", "010-1234-5671", "010-1234-5672", "kim@naver.com", "kim@go.kr"]
)
def test_a_surrogate_ends_as_its_value_does(value: str) -> None:
    entity = "EMAIL_ADDRESS" if "@" in value else "PHONE_NUMBER" if value[0] == "0" else "PERSON"
    for seed in range(20):
        surrogate = Surrogates(bytes([seed]), value).of(entity, value)
        if entity == "EMAIL_ADDRESS":
            assert surrogate.endswith(("example.com", "example.net") if value.endswith("com") else (".example",))
        else:
            assert ending(surrogate) == ending(value)


SAME = [
    ("PHONE_NUMBER", "010-1234-5678", "+82 10 1234 5678"),
    ("PHONE_NUMBER", "010-1234-5678", "01012345678"),
    ("PHONE_NUMBER", "(212) 867-5309", "+1 212 867 5309"),
    ("EMAIL_ADDRESS", "Kim@Naver.com", "kim@naver.com"),
    ("CREDIT_CARD", "4111 1111 1111 1111", "4111-1111-1111-1111"),
]


@pytest.mark.parametrize(("entity", "first", "second"), SAME)
def test_two_ways_of_writing_one_value_are_one_value(entity: str, first: str, second: str) -> None:
    assert canonical(entity, first) == canonical(entity, second)


def test_a_secret_decides_the_surrogate() -> None:
    given = [Surrogates(secret, "").of("PERSON", "Sarah Connor") for secret in (b"a", b"a", b"b")]
    assert given[0] == given[1] != given[2]


def test_a_surrogate_is_never_a_value_of_the_text_nor_given_twice() -> None:
    taken = Surrogates(SECRET, "").of("PERSON", "Sarah")
    assert Surrogates(SECRET, f"{taken} met Sarah").of("PERSON", "Sarah") != taken
    surrogates = Surrogates(SECRET, "")
    names = [f"Name{chr(97 + i)}{chr(97 + j)}" for i in range(20) for j in range(10)]
    assert len({surrogates.of("PERSON", name) for name in names}) == len(names)


def test_a_person_stays_one_person_through_case_parts_and_particles(curator: Curator, chat: Chat) -> None:
    talk = chat("My name is Sarah Connor.", "Hello SARAH, dear Sarah Connor. Ms Connor, sarah connor?")
    clean = curator.curate(talk, SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    first, last = re.findall(r"My name is (\w+) (\w+)\.", clean.messages[0].text)[0]
    expected = f"Hello {first.upper()}, dear {first} {last}. Ms {last}, {first.lower()} {last.lower()}?"
    assert clean.messages[1].text == expected


def test_a_korean_person_stays_one_person(curator: Curator, chat: Chat) -> None:
    clean = curator.curate(chat("제 이름은 김민수예요.", "민수 씨, 김민수 님이 맞나요? 민수가 왔네요."), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    full = re.findall(r"이름은 (\w+)예요", clean.messages[0].text)[0]
    assert clean.messages[1].text == f"{full[1:]} 씨, {full} 님이 맞나요? {full[1:]}가 왔네요."


def test_a_correction_under_the_same_secret_gets_the_same_surrogates(curator: Curator, chat: Chat) -> None:
    talk = chat("I'm Sarah Connor, sarah@skynet.com", "Hello Sarah!")
    later = talk.model_copy(
        update={
            "messages": (
                *talk.messages,
                talk.messages[1].model_copy(update={"id": "9", "content": "Hi Sarah, I wrote to SARAH@SKYNET.COM"}),
            )
        }
    )
    before, after = curator.curate(talk, SECRET, KEY), curator.curate(later, SECRET, KEY)
    assert isinstance(before, CleanConversation) and isinstance(after, CleanConversation)
    assert after.messages[:2] == before.messages
    assert set(re.findall(r"\S+@\S+", after.messages[2].text)) == set(re.findall(r"\S+@\S+", before.messages[0].text))


PHONE_SHAPES = [
    *("010-####-####", "02-###-####", "031-###-####", "+82 10-####-####", "1588-####", "0505-###-####", "(2##) 5##-####", "+1 415-###-####"),
    *("07### ######", "020 7### ####", "0161 4## ####", "+44 (0)7### ######", "01632 ######", "+49 30 ########", "(+49) 171 #######", "0171/#######"),
    *("030 #######", "0221 ######", "06 ## ## ## ##", "01.##.##.##.##", "+33 6 ## ## ## ##", "612 ## ## ##", "+34 9## ### ###", "090-####-####"),
    *("03-####-####", "+81-90-####-####", "138 #### ####", "+86 139 #### ####", "+91 9#### #####", "+61 4## ### ###", "+39 06 #### ####", "+55 11 9####-####"),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(shape=st.sampled_from(PHONE_SHAPES), seed=st.integers(0, 10**6))
def test_a_surrogate_number_is_one_that_nobody_can_own(shape: str, seed: int) -> None:
    rng = random.Random(seed)
    value = "".join(rng.choice("0123456789") if place == "#" else place for place in shape)
    surrogate = phone_surrogate.in_shape_of(value, phone_surrogate.surrogate(value, rng))
    if surrogate == phone_surrogate.TAG:
        return
    assert re.sub(r"\d", "#", surrogate) == re.sub(r"\d", "#", value)
    number = phonenumbers.parse(surrogate.lstrip("("), phone_surrogate.region_of(value))
    assert phone_surrogate.is_nobodys(number)


@pytest.mark.parametrize("shape", PHONE_SHAPES)
def test_hardly_any_number_gets_a_tag(shape: str) -> None:
    value = shape.replace("#", "4")
    assert phone_surrogate.surrogate(value, random.Random(1)) != ""


def test_the_document_on_privacy_says_what_each_kind_becomes() -> None:
    document = (Path(__file__).resolve().parents[3] / "docs" / "privacy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z_]+`.*?) \| (.*) \|$", document, re.MULTILINE)
    said = {kind: becomes for kinds, becomes in rows for kind in re.findall(r"`([A-Z_]+)`", kinds)}
    assert said.keys() == ENTITIES
    assert {kind: becomes.strip("`") for kind, becomes in said.items() if becomes.startswith("`")} == TAGS
