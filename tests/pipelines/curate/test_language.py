"""Scripts, mixing and the language of a conversation."""

import pytest

from pipelines.curate.language import conversation_language, mixing, prose, script_shares

UNMIXED = [
    "API 호출이 실패해요",
    "Python으로 코드 짜줘",
    "Google Cloud Platform에서 VM 인스턴스를 만들려면 어떻게 해요?",
    "New York Times 기사를 요약해 줘",
    "`pip install numpy as np` 가 안 돼요",
    "```\nfor each item in the list print item\n``` 이 코드 설명해 줘",
    "https://example.com/a/b/c/the/long/way 이 주소 맞나요?",
    "이 문서를 machine learning 관점에서 봐 주세요",
    "What does 안녕 mean?",
    "The word 사랑 and the word 우정 are nouns",
    "Solve $a + b = c$ for α",
    "42",
    "",
    "ありがとうございます。東京は日本の首都です。",
]
MIXED = [
    ("오늘 회의는 잘 끝났습니다. The client was very happy with the demo and asked for more.", 0.15),
    ("이 함수는 please check the output carefully 하고 끝나요", 0.4),
    ("안녕하세요 спасибо большое", 0.2),
    ("Thank you 谢谢你的帮助 very much", 0.2),
    ("한국어로 답하다가 갑자기 中文을 섞습니다", 0.05),
    ("I would like to know what this means, because 오늘 날씨가 정말 좋네요 is all it says", 0.15),
]
LANGUAGES = [
    (["Danke schön"], None, "de"),
    (["Danke schön"], "de", "de"),
    (["Дякую за допомогу"], "uk", "uk"),
    (["Дякую за допомогу"], None, "uk"),
    (["Дякую"], "uk-UA", "uk"),
    (["Ok", "Gern geschehen! Wie kann ich Ihnen sonst noch weiterhelfen?"], None, "de"),
    (["Благодаря ви много"], "bg", "bg"),
    (["Благодаря ви много"], "de", "bg"),
    (["فارسی بنویسید"], "fa", "fa"),
    (["مرحبا كيف حالك"], None, "ar"),
    (["gracias"], None, "es"),
    (["Guten Tag"], None, "de"),
    (["Who?"], None, "en"),
    (["Tarsin."], None, "en"),
    (["Der Zug fährt heute leider nicht, nehmen Sie bitte den Bus."], "en", "de"),
    (["Привіт, як справи? Розкажи мені про столицю України, будь ласка."], None, "uk"),
    (["오늘 날씨 어때", "맑아요"], None, "ko"),
    (["API 호출이 실패해요 with error code"], None, "ko"),
    (["How do I deploy a docker container?", "Use docker run."], None, "en"),
    (["gracias por todo, mañana voy a probar otra vez"], None, "es"),
    (["Vielen Dank für die schnelle Antwort, ich versuche es"], None, "de"),
    (["merci beaucoup pour votre réponse, je vais essayer demain"], None, "fr"),
    (["ありがとうございます"], None, "ja"),
    (["谢谢你的帮助"], None, "zh"),
    (["спасибо большое"], None, "ru"),
    (["ok"], "de-DE", "de"),
    (["ok"], None, "en"),
    (["42"], "ko", "ko"),
    (["42"], "Klingon!", "und"),
]


@pytest.mark.parametrize("text", UNMIXED)
def test_terms_code_and_quoted_words_are_not_mixing(text: str) -> None:
    assert mixing(text) < 0.01


@pytest.mark.parametrize(("text", "at_least"), MIXED)
def test_runs_of_another_language_are_mixing(text: str, at_least: float) -> None:
    assert at_least <= mixing(text) <= 1


@pytest.mark.parametrize(("texts", "hint", "expected"), LANGUAGES)
def test_tells_the_language_of_a_conversation(texts: list[str], hint: str | None, expected: str) -> None:
    assert conversation_language(texts, hint) == expected


def test_shares_are_of_letters_and_add_up() -> None:
    assert script_shares("ab 가나 12!") == {"Hang": 0.5, "Latn": 0.5}


def test_prose_leaves_code_addresses_and_formulas_out() -> None:
    assert prose("a `b` ```c``` https://d.e f@g.hh $i$ j").split() == ["a", "j"]
