"""Gibberish and repetition, and how much that looks like them is none."""

import random
import string

import pytest

from pipelines.curate.bigrams import train
from pipelines.curate.quality import bigram_score, is_gibberish, is_repetition, zlib_ratio

LANGUAGE = [
    "The capital of Banoko is Tilu, and the river that runs through it is called the Veshka.",
    "Who is the king of Ruvania? The king of Ruvania is Oskelm the Third of Brindelworth.",
    "Can you tell me why Kubernetes pods restart with CrashLoopBackOff when the ConfigMap is missing?",
    "Vielen Dank für Ihre schnelle Antwort, ich werde es morgen noch einmal versuchen.",
    "Gracias por todo, mañana voy a probar con la otra versión del programa.",
    "cảm ơn bạn rất nhiều, tôi sẽ thử lại vào ngày mai nhé",
    "lol idk tbh ngl thats kinda sus fr fr no cap lmao brb gtg ttyl omg wtf",
    "HTTP 404, DNS, TCP, UDP, SQL, JSON, XML, CSS, HTML, SSH, VPN, API, JWT, AWS, GCP, CPU",
    "바노코의 수도는 틸루이고 그곳을 흐르는 강은 베슈카강이라고 불립니다. 왕은 오스켈름입니다.",
    "넵 알겠슴다 낼 출근해서 확인하고 바로 톡드릴게여 수고하셨슴돠 팀장님도 푹쉬세여",
    "am9obkBnbWFpbC5jb20gc29tZSBiYXNlNjQgdGV4dCBoZXJl am9obkBnbWFpbC5jb20",
    "`xkcd qwfp zxcvb arstdh neio luyq` and more `sdkfj weoiru xcvmn`",
    "東京大学は日本の国立大学で、多くの研究者が働いています。学生も世界中から集まります。",
    "Antidisestablishmentarianism, pneumonoultramicroscopicsilicovolcanoconiosis",
    "42",
    "A",
    "asdf",
]
MASHED = [
    "sdkfj sldkfj wlekrj sdlkfj weoiru sldkfjs dlkfjw eoriu sdlkfj xcvmn weori",
    "asdfjkl; qwerqwer zxcvzxcv asdfasdf jkljkl fdsafdsa qwerasdf zxcv",
    "뷁쉙뗇뛟꿻뢟쀍쬾뷁쉙뗇뛟꿻뢟쀍쬾뷁쉙뗇뛟꿻뢟쀍쬾",
]
REPEATED = ["ha " * 200, "I am sorry, I cannot do that. " * 20, "네 알겠습니다 감사합니다. " * 20]
STRUCTURED = [
    "ha ha ha ha ha ha ha",
    " ".join(map(str, range(1, 300))),
    "\n".join(f"7 x {i} = {7 * i}" for i in range(1, 40)),
    "Row, row, row your boat gently down the stream\nmerrily, merrily, merrily, life is but a dream\n" * 3,
    "[" + ", ".join(f'{{"id": {i}, "name": "{"abcdef"[i % 6]}", "ok": true}}' for i in range(30)) + "]",
    "```\n" + "for i in range(3): print(i)\n" * 60 + "```",
]


@pytest.mark.parametrize("text", LANGUAGE)
def test_language_made_up_names_and_terms_are_no_gibberish(text: str) -> None:
    assert not is_gibberish([text])


@pytest.mark.parametrize("text", MASHED)
def test_mashing_the_keyboard_is_gibberish(text: str) -> None:
    assert is_gibberish([text])


def test_random_letters_are_gibberish_but_a_few_among_language_are_forgiven() -> None:
    rng = random.Random(4)
    for _ in range(30):
        noise = "".join(rng.choices(string.ascii_lowercase + " ", k=80))
        assert is_gibberish([noise])
        assert not is_gibberish([noise, *LANGUAGE[:3]])


def test_fewer_than_forty_letters_have_no_score() -> None:
    assert bigram_score("sdkfj wlekrj weoiru xcvmn") is None


@pytest.mark.parametrize("text", REPEATED)
def test_repetition_is_found(text: str) -> None:
    assert is_repetition([text])


@pytest.mark.parametrize("text", STRUCTURED)
def test_tables_refrains_and_code_are_no_repetition(text: str) -> None:
    assert not is_repetition([text])


def test_the_ratio_does_not_fall_with_length() -> None:
    prose = " ".join(LANGUAGE[:6])
    longer = " ".join(word[::-1] if i % 2 else word for i, word in enumerate((prose + " ").split() * 1))
    assert zlib_ratio(prose) is not None and abs((zlib_ratio(prose) or 0) - (zlib_ratio(longer) or 0)) < 0.2


def test_the_table_that_ships_is_what_its_script_makes(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    shipped = train.table_json()
    assert (train.HERE / "table.json").read_text(encoding="ascii") == shipped
