"""Which prompts ask for the same, whatever order they come in."""

import random

from pipelines.intents import Intents

LONG = "I am planning a trip for my family next spring and would like to know which museums in the old town are open on Mondays"
PROMPTS = ["Where is Vell?", "where is  vell", "Where is Orm?", LONG, "Hello, " + LONG + "? Thanks!", LONG.replace("Mondays", "Fridays")]


def groups(prompts: list[str]) -> set[frozenset[str]]:
    intents = Intents(prompts)
    return {frozenset(p for p in prompts if intents.of(p) == name) for name in {intents.of(p) for p in prompts}}


def test_spelling_and_courtesies_do_not_make_another_intent_and_a_fact_does() -> None:
    assert groups(PROMPTS) == {frozenset(PROMPTS[:2]), frozenset(PROMPTS[2:3]), frozenset(PROMPTS[3:5]), frozenset(PROMPTS[5:])}


def test_the_order_of_prompts_does_not_matter() -> None:
    shuffled = list(PROMPTS)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert groups(shuffled) == groups(PROMPTS)


def test_alike_is_asked_of_two_prompts_themselves() -> None:
    intents = Intents(PROMPTS)

    assert intents.alike(PROMPTS[0], PROMPTS[1]) and not intents.alike(PROMPTS[0], PROMPTS[2])
