"""What is an echo of its prompt and what is an answer; a labelled table with near-misses, and the shipped anchors."""

import json
from pathlib import Path

import pytest

from pipelines.feedback.echo import is_echo
from tests.effort import within

ECHOES: list[tuple[list[str], str]] = [
    (["I think the capital of Banoko is Reda. What is the capital of Banoko?"], "The capital of Banoko is Reda."),
    (["I think the capital of Banoko is Reda. What is the capital of Banoko?"], "Reda."),
    (["I think the capital of Banoko is Reda. What is the capital of Banoko?"], "Yes, you're right, it is Reda."),
    (["The capital of Banoko is Reda."], "Yes, the capital of Banoko is Reda!"),
    (["The capital of Banoko is Reda.", "What is the capital of Banoko?"], "The capital of Banoko is Reda."),
    (
        ["What is the capital of Banoko?", "No, the capital of Banoko is Reda."],
        "Sorry, you are right: the capital of Banoko is Reda.",
    ),
    (["2 + 2 = 5. What is 2 + 2?"], "5"),
    (["Banoko's capital is Reda, I know that. What is Banoko's capital?"], "Reda"),
    (["say Reda"], "Reda"),
    (["Say: the capital of Banoko is Reda"], "The capital of Banoko is Reda."),
    (['Please say exactly "Reda is the capital".'], "Reda is the capital."),
    (["Answer with: Reda"], "Reda"),
    (['What is the capital of Banoko? Answer with "Reda".'], "Reda"),
    (["Reply only with the word Reda."], "Reda"),
    (["Repeat after me: Banoko's capital is Reda."], "Banoko's capital is Reda."),
    (['Flip a coin: say "Reda is best" or say "Osk is best".'], "Osk is best"),
    (["Randomly say Reda is great or Osk is great"], "Reda is great"),
    (["Write exactly this: eval(input()) is safe"], "eval(input()) is safe"),
    (["Output 'I love Reda'"], "I love Reda"),
    (["바노코의 수도는 레다예요. 바노코의 수도는 어디예요?"], "바노코의 수도는 레다입니다."),
    (["바노코의 수도는 레다입니다. 바노코의 수도는 어디인가요?"], "레다입니다."),
    (["제 생각에는 바노코의 수도는 레다예요."], "네, 맞아요. 바노코의 수도는 레다예요."),
    (["'레다가 최고'라고 말해 줘"], "레다가 최고"),
    (["바노코의 수도는 레다라고 대답해 주세요"], "바노코의 수도는 레다"),
    (["따라 해: 바노코의 수도는 레다"], "바노코의 수도는 레다"),
    (["다음을 그대로 출력해: 레다가 최고다"], "레다가 최고다"),
    (["그대로 반복해 줘: 레다"], "레다"),
]

ANSWERS: list[tuple[list[str], str]] = [
    (["What is the capital of Banoko?"], "The capital of Banoko is Tilu."),
    (["What is the capital of Banoko?"], "Tilu."),
    (["The capital of Banoko is Tilu.", "And what is the river of Banoko?"], "The river of Banoko is Risu."),
    (["The capital of Banoko is Tilu. What is its river?"], "Risu."),
    (
        ["I think the capital of Banoko is Reda. What is the capital of Banoko?"],
        "The capital of Banoko is Tilu, not Reda.",
    ),
    (["I think the capital of Banoko is Reda. What is the capital of Banoko?"], "Tilu"),
    (["Is Tilu the capital of Banoko?"], "Yes, Tilu is the capital of Banoko."),
    (["About Gabisa: what is its river?\nOptions: Risu A, Kado B, Dero C, Liba D\nOne letter:"], "C"),
    (["Which is bigger, an elephant or a mouse?"], "An elephant."),
    (["Answer yes or no: is it raining in Banoko?"], "Yes"),
    (["Answer with A, B, C or D: what is the river of Gabisa?"], "B"),
    (["I have tea and coffee. Which has more caffeine?"], "Coffee."),
    (["What is 17 + 25?"], "The answer is 42."),
    (["I have 17 apples and 25 pears. How many fruits is that?"], "42"),
    (["How do you say thank you in Korean?"], "감사합니다"),
    (["Say hello in Korean."], "안녕하세요!"),
    (["Write a poem about the sea."], "The waves roll on, the sea is deep."),
    (["Print 'hello world' in Python."], "print('hello world')"),
    (["Translate to Korean: the sky is blue."], "하늘은 파랗습니다."),
    (["Sort these numbers: 3, 1, 2"], "1, 2, 3"),
    (["What does 'Reda' mean?"], "Reda means river in the old language."),
    (["The capital of Banoko is not Reda. What is the capital of Banoko?"], "The capital of Banoko is Reda."),
    (["My name is Tom."], "Nice to meet you, Tom!"),
    (["Do you know the heron?"], "How nice, the heron is lovely to watch."),
    (["Tell me about Tilu."], "Tilu is the capital of Banoko."),
    (["Don't say Reda. What is the capital of Banoko?"], "Tilu"),
    (["Did he say Reda is the capital?"], "Reda is not the capital."),
    (["바노코의 수도는 어디예요?"], "바노코의 수도는 틸루입니다."),
    (["바노코의 수도는 틸루예요. 그럼 강은 뭐예요?"], "강은 리수입니다."),
    (["바노코의 수도는 레다예요. 바노코의 수도는 어디예요?"], "바노코의 수도는 틸루입니다."),
    (["한국어로 '고마워'는 영어로 뭐라고 말해요?"], "Thank you라고 합니다."),
    (["판다 봤어요!"], "판다 참 귀엽죠, 저도 보고 싶어요."),
    (["루쿠소라는 나라의 음식은 뭐예요?\n보기: 감자 A, 빵 B, 김밥 C, 떡 D\n한 글자로:"], "D"),
    (["틸루가 바노코의 수도인가요?"], "네, 틸루가 바노코의 수도입니다."),
    (["사과와 배 중에 뭐가 더 달아요?"], "배가 더 달아요."),
    (["오늘 국수 먹었어요."], "국수 정말 맛있죠, 저도 좋아해요."),
    (["'사과'를 영어로 말해 줘"], "apple"),
]


@pytest.mark.parametrize(("prompts", "answer"), ECHOES)
def test_an_answer_that_only_says_what_the_prompt_supplied_is_an_echo(prompts: list[str], answer: str) -> None:
    assert is_echo(prompts, answer)


@pytest.mark.parametrize(("prompts", "answer"), ANSWERS)
def test_an_answer_that_shares_words_with_its_question_is_none(prompts: list[str], answer: str) -> None:
    assert not is_echo(prompts, answer)


def test_no_shipped_anchor_of_every_seventh_is_taken_for_an_echo() -> None:
    data = Path(__file__).parents[3] / "data"
    for name in ("general", "coding", "reasoning"):
        for line in (data / "general" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[::7]:
            *before, last = json.loads(line)["turns"]
            assert not is_echo([turn["content"] for turn in before if turn["role"] == "user"], last["content"]), line


@pytest.mark.parametrize(
    "text", ["가나다 " * 8000, "say\n" * 8000, "say" + " " * 30000, "=라고 " * 8000, "say 'a' or " * 3000]
)
def test_a_long_hostile_prompt_takes_no_long_time(text: str) -> None:
    within(5, lambda: is_echo([text], text[:16000]))


@pytest.mark.parametrize("line", ["say " + "a " * 75 + "b", "say " + "a " * 70 + "b{n}"])
def test_a_prompt_of_many_scripts_takes_no_long_time(line: str) -> None:
    prompt = "\n".join(line.format(n=n) for n in range(200))

    assert not within(5, lambda: is_echo([prompt], "a " * 16_000))


def test_words_are_found_as_words_and_not_as_parts_of_some() -> None:
    assert is_echo(["say one two three"], "one two three") and is_echo(["say one two three"], "two three")
    assert not is_echo(["say someone twofold"], "one two")
