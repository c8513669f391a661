"""Prompts from frames of our own, one function a family; slots are filled from word lists and with random numbers.

    draw("math-en", 17, seed=0)  ->  Draw(prompt="Anna has 41 apples and buys 3 bags of 12 ...", truth="77")

The same family, number and seed give the same prompt for ever, so an interrupted run draws nothing again.
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pipelines.anchors import wording
from pipelines.anchors.wording import Tongue
from pipelines.mixture.anchors import AnchorName
from pipelines.records import Record

OWN = "chat-own"
Check = Literal["none", "choice", "number", "json", "code", "refusal"]


class Draw(Record):
    """One prompt. `truth` is the right answer where the frame knows it, `tests` the program that code must pass."""

    prompt: str
    truth: str | None = None
    tests: str | None = None


class Family(NamedTuple):
    """What a family's answers are for and how they are looked at.

    Attributes:
        tongue: the language that the answers must be in; None for any.
        share: of a set in which every family takes part.
        max_tokens, usual_tokens: where an answer is cut off, and what the forecast reckons with.
        samples: answers to each prompt, which must agree.
    """

    kind: AnchorName
    tongue: Tongue | None
    check: Check
    share: float
    max_tokens: int
    usual_tokens: int
    samples: int = 1


FAMILIES: Mapping[str, Family] = {
    OWN: Family("general", None, "none", 0.14, 384, 200),
    "chat-en": Family("general", "en", "none", 0.1, 384, 200),
    "chat-ko": Family("general", "ko", "none", 0.1, 384, 200),
    "choice-en": Family("general", "en", "choice", 0.06, 48, 8),
    "choice-ko": Family("general", "ko", "choice", 0.06, 48, 8),
    "json": Family("general", None, "json", 0.06, 160, 60),
    "summary-en": Family("general", "en", "none", 0.04, 160, 60),
    "summary-ko": Family("general", "ko", "none", 0.04, 160, 60),
    "refusal-en": Family("general", "en", "refusal", 0.03, 160, 70),
    "refusal-ko": Family("general", "ko", "refusal", 0.03, 160, 70),
    "code": Family("coding", None, "code", 0.16, 320, 130),
    "math-en": Family("reasoning", "en", "number", 0.1, 256, 110, 3),
    "math-ko": Family("reasoning", "ko", "number", 0.08, 256, 110, 3),
}


def draw(family: str, number: int, seed: int) -> Draw:
    """The prompt of this number in a family that has frames."""
    rng = random.Random(f"{seed}/{family}/{number}")
    tongue = FAMILIES[family].tongue or "en"
    return _DRAWS[family.partition("-")[0]](rng, tongue)


def _slots(rng: random.Random, tongue: Tongue) -> dict[str, object]:
    lists = {"topic": wording.TOPICS, "reader": wording.READERS, "ending": wording.ENDINGS, "who": wording.PEOPLE}
    words: dict[str, object] = {slot: rng.choice(words[tongue]) for slot, words in lists.items()}
    words |= {"place": rng.choice(wording.PLACES[tongue]), "harm": rng.choice(wording.HARMS[tongue])}
    return words | {"n": rng.randint(3, 9), "m": rng.randint(20, 900)}


def _chat(rng: random.Random, tongue: Tongue) -> Draw:
    return Draw(prompt=rng.choice(wording.ASKED[tongue]).format(**_slots(rng, tongue)))


def _refusal(rng: random.Random, tongue: Tongue) -> Draw:
    asked = rng.choice(wording.HARM_ASKED[tongue]).format(**_slots(rng, tongue))
    return Draw(prompt=rng.choice(wording.HARM_OPENINGS[tongue]) + asked)


def _summary(rng: random.Random, tongue: Tongue) -> Draw:
    slots = _slots(rng, tongue)
    events = rng.sample(wording.EVENTS[tongue], rng.randint(4, 6))
    text = " ".join(event.format(**{**slots, "n": rng.randint(3, 9), "m": rng.randint(20, 900)}) for event in events)
    ask = {
        "en": ("Summarise this in one sentence:", "What is the main point of this text?", "Shorten this text:"),
        "ko": ("다음 글을 한 문장으로 요약해 주세요.", "이 글의 요점은 무엇인가요?", "이 글을 짧게 줄여 주세요."),
    }
    return Draw(prompt=f"{rng.choice(ask[tongue])}\n\n{text}")


def _choice(rng: random.Random, tongue: Tongue) -> Draw:
    """Four options, of which one is right for certain."""
    question, right, wrong = rng.choice((_sum_choice, _length_choice, _largest_choice))(rng, tongue)
    options = [right, *wrong]
    rng.shuffle(options)
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))
    ending = {"en": "Answer with the letter only.", "ko": "글자 하나로만 답하세요."}[tongue]
    return Draw(prompt=f"{question}\n{lines}\n{ending}", truth="ABCD"[options.index(right)])


def _sum_choice(rng: random.Random, tongue: Tongue) -> tuple[str, str, list[str]]:
    a, b = rng.randint(11, 89), rng.randint(11, 89)
    asked = {"en": f"What is {a} + {b}?", "ko": f"{a} + {b}는 얼마인가요?"}[tongue]
    return asked, str(a + b), [str(a + b + step) for step in rng.sample((-11, -10, -2, -1, 1, 2, 10, 11), 3)]


def _length_choice(rng: random.Random, tongue: Tongue) -> tuple[str, str, list[str]]:
    long = rng.choice([word for word in wording.WORDS if len(word) == 7])
    short = rng.sample([word for word in wording.WORDS if len(word) == 6], 3)
    asked = {
        "en": "Which of these words has seven letters?",
        "ko": "다음 영어 단어 중 글자가 일곱 개인 것은 무엇인가요?",
    }
    return asked[tongue], long, short


def _largest_choice(rng: random.Random, tongue: Tongue) -> tuple[str, str, list[str]]:
    numbers = sorted(rng.sample(range(100, 1000), 4))
    asked = {"en": "Which of these numbers is the largest?", "ko": "다음 중 가장 큰 수는 무엇인가요?"}[tongue]
    return asked, str(numbers[3]), [str(number) for number in numbers[:3]]


def _math(rng: random.Random, tongue: Tongue) -> Draw:
    a, bags, each = rng.randint(12, 99), rng.randint(2, 9), rng.randint(3, 15)
    away = rng.randint(2, a + bags * each - 1)
    who, other = rng.sample(wording.PEOPLE[tongue], 2)
    thing = rng.choice(wording.THINGS[tongue])
    total = a + bags * each
    told = {
        "en": (
            (
                f"{who} has {a} {thing} and buys {bags} bags with {each} {thing} each. How many {thing} are there now?",
                total,
            ),
            (
                f"{who} has {a} {thing}, gets {bags} boxes of {each} {thing} and gives {away} to {other}. How many are left?",
                total - away,
            ),
            (
                f"A train stops at {a} minutes past and then {bags} times more, every {each} minutes. At which minute is the last stop, counted on from the same hour?",
                total,
            ),
            (f"{who} reads {each} pages a day for {bags} days and then {a} more. How many pages is that?", total),
        ),
        "ko": (
            (
                f"{who} 씨에게 {thing} {a}개가 있고, {each}개씩 든 상자를 {bags}개 더 샀습니다. 지금 모두 몇 개인가요?",
                total,
            ),
            (
                f"{who} 씨에게 {thing} {a}개가 있습니다. {each}개씩 든 봉지를 {bags}개 받고 {other} 씨에게 {away}개를 주었습니다. 몇 개가 남았나요?",
                total - away,
            ),
            (f"{who} 씨는 하루에 {each}쪽씩 {bags}일 동안 읽고 {a}쪽을 더 읽었습니다. 모두 몇 쪽을 읽었나요?", total),
        ),
    }
    ending = {"en": "Show the steps and end with the number.", "ko": "풀이 과정을 쓰고 마지막에 수로 답하세요."}[tongue]
    question, answer = rng.choice(told[tongue])
    return Draw(prompt=f"{question} {ending}", truth=str(answer))


def _json(rng: random.Random, tongue: Tongue) -> Draw:
    del tongue
    keys = rng.sample(wording.FIELDS, rng.randint(2, 4))
    who, place, thing = (
        rng.choice(wording.PEOPLE["en"]),
        rng.choice(wording.PLACES["en"]),
        rng.choice(wording.THINGS["en"]),
    )
    about = f"{who} bought {rng.randint(2, 40)} {thing} near {place} for {rng.randint(1, 90)} coins on a {rng.choice(_DAYS)}"
    asked = rng.choice((
        f"Write a JSON object with the keys {', '.join(keys)} about this: {about}. Answer with JSON only.",
        f"Turn this into one JSON object with {' and '.join(keys)}: {about}. No other text.",
        f"{about}. Give me that as JSON; the keys are {', '.join(keys)}. JSON only.",
    ))  # fmt: skip
    return Draw(prompt=asked, truth=json.dumps(sorted(keys)))


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _code(rng: random.Random, tongue: Tongue) -> Draw:
    """A function with a name of its own and examples of what it gives, worked out here."""
    del tongue
    n, values = rng.randint(2, 30), [rng.randint(0, 60) for _ in range(rng.randint(4, 8))]
    words = rng.sample(wording.WORDS, 4)
    tasks: tuple[tuple[str, str, Any, Callable[..., object]], ...] = (
        (f"sum_above_{n}", f"returns the sum of the numbers in a list that are greater than {n}", values, lambda v: sum(x for x in v if x > n)),
        (f"count_below_{n}", f"counts the numbers in a list that are less than {n}", values, lambda v: sum(x < n for x in v)),
        (f"multiples_of_{n}", f"returns a list of the numbers in a list that can be divided by {n}", [*values, 2 * n], lambda v: [x for x in v if x % n == 0]),
        (f"add_{n}_to_each", f"returns a new list in which {n} is added to every number of a list", values, lambda v: [x + n for x in v]),
        (f"longer_than_{n % 3 + 5}", f"returns the words of a list that have more than {n % 3 + 5} letters", words, lambda v: [x for x in v if len(x) > n % 3 + 5]),
        (f"join_with_{'abcdef'[n % 6]}", f"joins the words of a list with the letter '{'abcdef'[n % 6]}' between them", words, lambda v: "abcdef"[n % 6].join(v)),
        (f"every_{n % 4 + 2}th", f"returns every element of a list whose index can be divided by {n % 4 + 2}", values, lambda v: v[:: n % 4 + 2]),
        (f"repeat_{n % 4 + 2}", f"returns a text repeated {n % 4 + 2} times", words[0], lambda v: v * (n % 4 + 2)),
    )  # fmt: skip
    name, does, given, right = rng.choice(tasks)
    example = f"{name}({given!r}) gives {right(given)!r}"
    asked = f"Write a Python function `{name}` that {does}. For example, {example}. Answer with one block of code."
    asserted = (given, given[::-1], given[:2], given[:0])
    tests = "".join(f"assert {name}({value!r}) == {right(value)!r}\n" for value in asserted)
    return Draw(prompt=asked, truth=name, tests=tests)


_DRAWS: Mapping[str, Callable[[random.Random, Tongue], Draw]] = {
    "chat": _chat,
    "choice": _choice,
    "math": _math,
    "json": _json,
    "code": _code,
    "summary": _summary,
    "refusal": _refusal,
}
