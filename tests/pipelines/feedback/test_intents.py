"""Which prompts ask for the same, whatever order they come in."""

import random
from collections import Counter

import pytest

from pipelines.feedback.same_prompt import Intents, Prompt, prompt_of
from pipelines.records import RatedMessage
from tests.pipelines.feedback_rows import message

LONG = "I am planning a trip for my family next spring and would like to know which museums in the old town are open on Mondays"
QUESTIONS = [
    "Where is Vell?",
    "where is  vell",
    "Where is Orm?",
    LONG,
    "Hello, " + LONG + "? Thanks!",
    LONG.replace("Mondays", "Fridays"),
]
PROMPTS = [Prompt("", question) for question in QUESTIONS]


def chat(*turns: tuple[str, str]) -> list[RatedMessage]:
    return [message(str(place), role, text, None) for place, (role, text) in enumerate(turns)]


def groups(prompts: list[Prompt]) -> set[frozenset[Prompt]]:
    intents = Intents(prompts)
    return {frozenset(p for p in prompts if intents.of(p) == name) for name in {intents.of(p) for p in prompts}}


def test_spelling_and_courtesies_do_not_make_another_intent_and_a_fact_does() -> None:
    assert groups(PROMPTS) == {
        frozenset(PROMPTS[:2]),
        frozenset(PROMPTS[2:3]),
        frozenset(PROMPTS[3:5]),
        frozenset(PROMPTS[5:]),
    }


def test_the_order_of_prompts_does_not_matter() -> None:
    shuffled = list(PROMPTS)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert groups(shuffled) == groups(PROMPTS)


def test_alike_is_asked_of_two_prompts_themselves() -> None:
    intents = Intents(PROMPTS)

    assert intents.alike(PROMPTS[0], PROMPTS[1]) and not intents.alike(PROMPTS[0], PROMPTS[2])


def test_the_same_question_after_something_else_is_another_prompt() -> None:
    banana, cherry = (
        chat(("user", "A fruit?"), ("assistant", fruit), ("user", "What colour?")) for fruit in ("Banana", "Cherry")
    )
    again = chat(("user", "A  fruit?"), ("assistant", "Banana"), ("user", "what colour?"))
    french, english = (
        chat(("system", f"Answer in {tongue}."), ("user", "What colour?")) for tongue in ("French", "English")
    )
    opens = chat(("user", "What colour?"))
    prompts = [prompt_of(before, "home") for before in (banana, again, cherry, french, english, opens)]

    intents = Intents(prompts)

    assert intents.alike(prompts[0], prompts[1]) and len({intents.of(prompt) for prompt in prompts}) == 5
    assert prompt_of(opens, "elsewhere") == prompts[-1]


def test_an_added_word_asks_for_something_else() -> None:
    intents = Intents(added := [Prompt("", LONG), Prompt("", LONG + " nearby")])

    assert not intents.alike(*added) and intents.of(added[0]) != intents.of(added[1])


def test_what_asks_nothing_is_like_nothing() -> None:
    greetings = [prompt_of(chat(("system", "You are a bank.")), home) for home in ("a", "b")]

    assert len(groups(greetings)) == 2 and not Intents(greetings).alike(greetings[0], greetings[0])


def test_questions_of_one_form_are_compared_with_some_of_the_others_and_not_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An app that fills in a form asks any number of long questions that share bands and are not the same."""
    compared = Counter[int]()
    alike = Intents.alike

    def counted(self: Intents, first: Prompt, second: Prompt) -> bool:
        compared["all"] += 1
        return alike(self, first, second)

    monkeypatch.setattr(Intents, "alike", counted)
    form = "Please say in two short sentences for our support team what to do next about the ticket with the number {}"
    prompts = [Prompt("context", form.format(number)) for number in range(300)]
    found = Intents(prompts)
    assert len({found.of(prompt) for prompt in prompts}) == 300 and compared["all"] <= 300 * 64
