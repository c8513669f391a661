"""Which prompts ask for the same, whatever order they come in."""

import random
from collections import Counter
from collections.abc import Sequence

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
Asked = tuple[Prompt, str]


def asked(*questions: str) -> list[Asked]:
    return [prompt_of(chat(("user", question)), "home") for question in questions]


def intents_of(prompts: Sequence[Asked]) -> Intents:
    return Intents(prompts, dict(prompts).__getitem__)


def chat(*turns: tuple[str, str]) -> list[RatedMessage]:
    return [message(str(place), role, text, None) for place, (role, text) in enumerate(turns)]


def groups(prompts: Sequence[Asked]) -> set[frozenset[Prompt]]:
    intents, names = intents_of(prompts), [prompt for prompt, _ in prompts]
    return {frozenset(p for p in names if intents.of(p) == name) for name in {intents.of(p) for p in names}}


PROMPTS = asked(*QUESTIONS)


def test_spelling_and_courtesies_do_not_make_another_intent_and_a_fact_does() -> None:
    assert groups(PROMPTS) == {
        frozenset(prompt for prompt, _ in PROMPTS[start:end]) for start, end in ((0, 2), (2, 3), (3, 5), (5, 6))
    }


def test_the_order_of_prompts_does_not_matter() -> None:
    shuffled = list(PROMPTS)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert groups(shuffled) == groups(PROMPTS)


def test_alike_is_asked_of_two_prompts_themselves() -> None:
    intents, (first, second, third, *_) = intents_of(PROMPTS), [prompt for prompt, _ in PROMPTS]

    assert intents.alike(first, second) and not intents.alike(first, third)


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

    intents, names = intents_of(prompts), [prompt for prompt, _ in prompts]

    assert intents.alike(names[0], names[1]) and len({intents.of(name) for name in names}) == 5
    assert prompt_of(opens, "elsewhere") == prompts[-1]


def test_an_added_word_asks_for_something_else() -> None:
    intents = intents_of(added := asked(LONG, LONG + " nearby"))
    first, second = (prompt for prompt, _ in added)

    assert not intents.alike(first, second) and intents.of(first) != intents.of(second)


def test_what_asks_nothing_is_like_nothing() -> None:
    greetings = [prompt_of(chat(("system", "You are a bank.")), home) for home in ("a", "b")]

    assert len(groups(greetings)) == 2 and not intents_of(greetings).alike(greetings[0][0], greetings[0][0])


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
    prompts = asked(*(form.format(number) for number in range(300)))
    found = intents_of(prompts)
    assert len({found.of(prompt) for prompt, _ in prompts}) == 300 and 0 < compared["all"] <= 300 * 64


def test_questions_in_many_runs_are_placed_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Similarity is not transitive: who comes first names the intent, so the order of texts must be the same."""
    number = random.Random(7)
    words = [f"word{n}" for n in range(16)]
    prompts = asked(*(" ".join([*words, *number.sample(["please", "thanks", "hello"], 2)]) for _ in range(40)))
    whole = groups(prompts)

    monkeypatch.setattr("pipelines.feedback.same_prompt._TEXTS_AT_ONCE", 3)

    assert groups(prompts) == whole and len(whole) < len({prompt for prompt, _ in prompts})
