"""Names that are nobody's secret stay; the speaker's own never does."""

import pytest

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.curate.public_names import PublicNames, hash_name, is_full
from pipelines.records import CleanConversation
from tests.pipelines.curate.chats import CONFIG, KEY, SECRET, Chat

LISTED = CurationConfig(**{**CONFIG.model_dump(), "public_names": ("Sarah Connor", "홍길동")})


def texts(curator: Curator, *talk: str, chat: Chat) -> list[str]:
    clean = curator.curate(chat(*talk), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    return [message.text for message in clean.messages]


@pytest.fixture(scope="module")
def listed() -> Curator:
    return Curator(LISTED)


@pytest.mark.parametrize(
    "talk",
    [
        ("Who is Sarah Connor?", "Sarah Connor is a heroine. Connor fights."),
        ("who is sarah  CONNOR?", "Sarah Connor it is."),
        ("홍길동은 누구야?", "홍길동은 소설의 주인공입니다."),
    ],
    ids=["name-and-part", "spacing-and-case", "korean"],
)
def test_a_listed_name_stays_and_so_do_its_parts(listed: Curator, chat: Chat, talk: tuple[str, str]) -> None:
    assert texts(listed, *talk, chat=chat) == list(talk)


def test_the_speakers_own_name_is_never_public(listed: Curator, chat: Chat) -> None:
    question, answer = texts(listed, "My name is Sarah Connor. Who am I?", "You are Sarah Connor.", chat=chat)
    assert "Connor" not in question + answer and "Sarah" not in question + answer


def test_a_part_that_somebody_private_has_too_does_not_stay(listed: Curator, chat: Chat) -> None:
    talk = ("My boss Sarah Miller met Sarah Connor. Thanks, my boss Sarah", "Sarah Miller is kind.")
    question, answer = texts(listed, *talk, chat=chat)
    assert "Sarah Connor" in question and "Miller" not in question + answer
    assert not question.endswith("boss Sarah")


def test_names_are_counted_by_a_keyed_hash_of_full_names_of_others(curator: Curator, chat: Chat) -> None:
    talk = chat("My name is Anna Smith. My friend Sarah Connor met Hannah.", "Say hi to Peter Parker.")
    clean = curator.curate(talk, SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    assert clean.names == (hash_name("sarah  connor", KEY),)
    assert hash_name("Sarah Connor", b"other") not in clean.names and "sarah" not in clean.model_dump_json().lower()


def test_what_was_counted_is_spared_until_it_no_longer_is(chat: Chat) -> None:
    curator = Curator(CONFIG)
    talk = ("Who is Sarah Connor?", "A heroine.")
    assert "Sarah" not in texts(curator, *talk, chat=chat)[0]
    curator.spare([hash_name("Sarah Connor", KEY)])
    assert texts(curator, *talk, chat=chat)[0] == talk[0]
    curator.spare([])
    assert "Sarah" not in texts(curator, *talk, chat=chat)[0]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("Anna", False),
        ("Anna Groß", True),
        ("J. Smith", False),
        ("김민수", True),
        ("민수", False),
        ("Łukasz Wiśniewski", True),
    ],
    ids=["given", "latin", "initial", "hangul", "hangul-given", "polish"],
)
def test_only_full_names_are_counted(name: str, full: bool) -> None:
    assert is_full(name) is full


def test_places_and_months_are_listed_from_the_start() -> None:
    public = PublicNames()
    assert public._is_public("San Francisco", KEY) and public._is_public("  märz ", KEY)
    assert not public._is_public("Charlotte", KEY)
