"""Planted cases both ways: a pasted item is found, a template neighbour is kept."""

from pathlib import Path

import pytest

from pipelines.suites.contamination import Contamination, EvaluationItem, suite_items
from pipelines.suites.load import load_suite

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "suites"
SHORT = EvaluationItem("math/1", "What is 41 + 17?")
BARE = EvaluationItem("math/2", "12 + 30 = ?")
KOREAN = EvaluationItem("math/3", "41 더하기 17은 얼마인가요?")
CODE = EvaluationItem("code/1", 'Python: ["red", "owl", "jam"][1]')
CHOICE = EvaluationItem("mmlu/1", "Which tree stands in Orlin?\nA) oak\nB) elm\nC) fir\nD) ash\nOne letter:")
STORY = EvaluationItem(
    "math/4",
    "A baker in the old town makes ninety loaves every morning and sells all but seven of them before noon. "
    "How many loaves are sold in one week?",
)
KOREAN_STORY = EvaluationItem(
    "math/5",
    "지영이는 아침에 시장에서 사과 서른두 개와 배 열네 개를 사서 그중 아홉 개를 이웃에게 나누어 주었고 "
    "저녁에 남은 과일을 세어 보았습니다. 모두 몇 개인가요?",
)

PLANTED = [
    ("the item itself", SHORT, "What is 41 + 17?"),
    ("another case, no question mark", SHORT, "what is 41 + 17"),
    ("full-width digits", SHORT, "What is ４１ + １７?"),
    ("a line of a longer turn", SHORT, "Please help me with this:\nWhat is 41 + 17?\nThanks!"),
    ("a sentence of a longer turn", SHORT, "Hello there. What is 41 + 17? I forgot."),
    ("a later turn", SHORT, "hi\nHello!\nwhat is 41 + 17?\n58"),
    ("bare sum", BARE, "12 + 30 = ?\n42"),
    ("Korean, short", KOREAN, "안녕하세요!\n41 더하기 17은 얼마인가요?\n58입니다."),
    ("code, other quotes", CODE, "Python: ['red', 'owl', 'jam'][1]"),
    ("multiple choice, as pasted", CHOICE, "Do this one\n" + CHOICE.prompt + "\nC"),
    ("multiple choice, on one line", CHOICE, "do: " + CHOICE.prompt.replace("\n", " ") + " and say why"),
    ("long, whole", STORY, STORY.prompt),
    ("long, in the middle of a sentence", STORY, "my son asks: if " + STORY.prompt[2:80] + " then what"),
    ("Korean, long, half of it", KOREAN_STORY, "숙제예요, " + KOREAN_STORY.prompt[:60] + " 그래서요?"),
    (
        "Korean, long, inside a longer English text",
        KOREAN_STORY,
        "Please translate my homework into English, word for word. " * 9 + KOREAN_STORY.prompt[:60],
    ),
    ("Korean, long, other spacing", KOREAN_STORY, KOREAN_STORY.prompt.replace(" ", "")),
]

NEIGHBOURS = [
    ("another number", SHORT, "What is 41 + 18?"),
    ("another sign", SHORT, "What is 41 - 17?"),
    ("operands swapped", SHORT, "What is 17 + 41?"),
    ("a minus sign", BARE, "12 - 30 = ?"),
    ("inside a longer sum", SHORT, "What is 41 + 17 + 3?"),
    ("Korean, another number", KOREAN, "41 더하기 18은 얼마인가요?"),
    ("another index", CODE, 'Python: ["red", "owl", "jam"][-1]'),
    (
        "the same template with other options",
        CHOICE,
        "Which tree stands in Belin?\nA) elm\nB) oak\nC) yew\nD) ash\nOne letter:",
    ),
    (
        "long, other subject and number",
        STORY,
        STORY.prompt.replace("baker", "potter")
        .replace("seven", "four")
        .replace("week", "month")
        .replace("ninety", "eighty"),
    ),
    (
        "Korean, long, other numbers",
        KOREAN_STORY,
        "민수는 아침에 시장에서 귤 스무 개와 감 여섯 개를 사서 그중 두 개를 이웃에게 나누어 주었습니다.",
    ),
    ("twelve words in a row", STORY, " ".join(STORY.prompt.split()[:12])),
    ("nothing in common", STORY, "Good morning! How are you?"),
    ("empty", SHORT, ""),
]


@pytest.mark.parametrize(("item", "text"), [row[1:] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_a_pasted_item_is_found(item: EvaluationItem, text: str) -> None:
    assert Contamination([item]).check_pool([text]) == [item.name]


@pytest.mark.parametrize(("item", "text"), [row[1:] for row in NEIGHBOURS], ids=[row[0] for row in NEIGHBOURS])
def test_a_template_neighbour_is_kept(item: EvaluationItem, text: str) -> None:
    assert Contamination([item]).check_pool([text]) == [None]


TEMPLATE = "Read the text below with care and answer in one short sentence without any quotation: {}"


def test_words_that_many_rows_share_are_a_template_and_not_a_leak() -> None:
    contamination = Contamination([EvaluationItem("qa/1", TEMPLATE.format("why do ferns avoid full sun?"))])
    rows = [TEMPLATE.format(f"what does plant {number} need?") for number in range(21)]
    assert contamination.check_pool(rows) == [None] * 21
    assert contamination.check_pool(rows[:20]) == ["qa/1"] * 20


def test_an_item_that_many_people_pasted_is_still_found() -> None:
    assert Contamination([STORY]).check_pool([STORY.prompt] * 30) == [STORY.name] * 30


def test_masked_values_do_not_hide_a_pasted_item() -> None:
    item = EvaluationItem("mail/1", "Who wrote to kim@example.com?")
    texts = ["Who wrote to lee@example.org?", "Who wrote to [EMAIL_1]?", "Who wrote to the dentist?"]
    assert Contamination([item]).check_pool(texts) == ["mail/1", "mail/1", None]


def test_items_of_both_splits_are_guarded() -> None:
    names = {item.name for item in suite_items([load_suite(SHIPPED / "tiny_math")])}
    assert any("dev" in name for name in names) and any("gate" in name for name in names)


def test_a_choice_item_is_known_by_its_question_not_by_its_options() -> None:
    suite = load_suite(SHIPPED / "tiny_mmlu")
    item = suite.items["gate"][0]
    question, options = item.prompt.split("\n", 1)
    contamination = Contamination(suite_items([suite]))
    neighbour = f"Which of these do we mean by that?\n{options}\n{item.answer}"
    found, kept = contamination.check_pool([f"hi\n{item.prompt}\n{item.answer}", neighbour])
    assert found == f"tiny_mmlu/{item.id}" and kept is None
