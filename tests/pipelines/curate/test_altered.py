"""Which answers teach nothing because of what was replaced: `{...}` is a person, `<...>` a number, address or link."""

import re
from collections import Counter
from typing import Any

import pytest

from pipelines.curate import heard
from pipelines.curate.altered import own_names, replaced_answers
from pipelines.curate.detect import Span
from pipelines.records import Message

# (name, what is said in turn: user, assistant, user, ...; whether the last answer is replaced)
ROWS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("the-answer-is-a-person", ("Who is the current No. 1 on the Billboard Artist 100?", "{Kelly Kemp}."), True),
    ("a-sentence-about-one", ("Who wrote Hamlet?", "Hamlet was written by {William Shakespeare} around 1600."), True),
    ("a-list-of-people", ("Name three painters.", "1. {Frida Kahlo}\n2. {Paul Klee}\n3. {Joan Miro}"), True),
    ("unasked-fact", ("Tell me about the moon landing.", "{Neil Armstrong} walked on the moon in 1969."), True),
    ("asked-about-a-person", ("When was {Kelly Kemp} born?", "In 1955."), True),
    ("told-about-a-person", ("Tell me about {Angela Merkel}.", "She was the chancellor of Germany."), True),
    ("only-a-name", ("{Angela Merkel}", "A German politician."), True),
    ("poem-about-a-person", ("Write a poem about {Angela Merkel}.", "{Angela}, calm and clear."), True),
    ("then-by-pronoun", ("Who leads France?", "{Emmanuel Macron}.", "When was he born?", "In December 1977."), True),
    (
        "then-in-two-words",
        ("Who leads France?", "{Emmanuel Macron}.", "Since when?", "Since May 2017, for ten years."),
        True,
    ),
    (
        "pronoun-of-a-told-person",
        ("I met {Angela Merkel}.", "Great!", "How old is she?", "She is 71 years old now."),
        True,
    ),
    ("koreans-who", ("한국의 초대 대통령은 누구야?", "{이승만}입니다."), True),
    ("korean-about", ("{세종대왕}에 대해 알려줘", "조선의 네 번째 왕입니다."), True),
    ("german-about", ("Wann wurde {Max Planck} geboren?", "Am 23. April 1858 in Kiel."), True),
    ("chinese-about", ("{鲁迅}是哪一年出生的？", "他出生于一八八一年九月二十五日。"), True),
    (
        "phone-asked-for",
        ("What is the phone number of the IRS?", "You can call them at <800-829-1040> on weekdays."),
        True,
    ),
    ("link-is-the-answer", ("Python docs?", "<https://python.example>"), True),
    ("number-asked-about", ("Is <10.0.0.7> a private address?", "Yes, it belongs to a block kept for that."), True),
    (
        "context-given-boss",
        ("My boss {Greg} said no to my leave. What now?", "Ask {Greg} for a short talk tomorrow."),
        False,
    ),
    ("advice-with-a-name", ("How do I tell {Greg} that I quit?", "Be brief, thank him, and give a date."), False),
    (
        "letter-to-a-person",
        ("Write an email to {Greg} asking for leave.", "Dear {Greg},\nI would like a day off.\nBest,\n{Sam Hill}"),
        False,
    ),
    (
        "request-as-question",
        ("Can you add <kim@x.example> to the signature?", "Done, the address now stands below the name."),
        False,
    ),
    ("own-name", ("My name is {Anna Groß}. What is a hash map?", "Hi {Anna}! A hash map finds values by keys."), False),
    (
        "own-name-then-who",
        ("I'm {Anna}. Who am I to you?", "You are {Anna}, and I am glad to help you with anything."),
        False,
    ),
    ("signature", ("What is a heap?\nThanks,\n{Hannah}", "Dear {Hannah}, a heap is a tree with an order."), False),
    ("greeting-unknown", ("What is a heap?", "Hello {Hannah}, a heap is a tree with an order."), False),
    (
        "korean-own-name",
        ("제 이름은 {박서윤}이에요. 스택이 뭐예요?", "{박서윤}님, 스택은 나중에 넣은 것을 먼저 꺼내는 구조입니다."),
        False,
    ),
    (
        "korean-letter",
        ("{김민수}에게 사과 메일을 써줘", "{김민수}님께, 어제 일은 정말 죄송했습니다. 다음부터 조심하겠습니다."),
        False,
    ),
    (
        "story",
        ("Write a story with two characters who meet at sea.", "{Elena} saw the boat. {Tomas} waved from the deck."),
        False,
    ),
    (
        "number-on-the-way",
        ("Format my number <01012345678> please", "Here it is with dashes: <010-1234-5678>, as asked."),
        False,
    ),
    (
        "pasted-text",
        ("Summarize: {Tim Cook} met {Sundar Pichai} in Berlin.", "{Tim Cook} and {Sundar Pichai} met there."),
        False,
    ),
    ("pasted-question", ("Tell me: who is {Tim Cook}?", "He leads a company that makes phones."), True),
    ("nothing-replaced", ("What is the capital of France?", "Paris."), False),
    (
        "mail-in-code",
        ("Write a test for my mailer", "def test_it():\n    assert send('<a@b.example>') is True  # sent once"),
        False,
    ),
)


def marked(text: str) -> tuple[str, list[Span]]:
    plain, spans, done = "", [], 0
    for match in re.finditer(r"\{([^}]+)\}|<([^>]+)>", text):
        plain += text[done : match.start()]
        value = match[1] or match[2]
        other = (
            "URL"
            if "://" in value
            else "EMAIL_ADDRESS"
            if "@" in value
            else "IP_ADDRESS"
            if value.count(".") == 3
            else "PHONE_NUMBER"
        )
        spans.append(Span(len(plain), len(plain) + len(value), "PERSON" if match[1] else other, value))
        plain, done = plain + value, match.end()
    return plain + text[done:], spans


@pytest.mark.parametrize(("said", "replaced"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_answer_that_no_longer_says_what_was_said_teaches_nothing(said: tuple[str, ...], replaced: bool) -> None:
    messages, texts, found = [], {}, {}
    for place, text in enumerate(said):
        name = str(place)
        texts[name], found[name] = marked(text)
        role = "assistant" if place % 2 else "user"
        messages.append(Message(id=name, role=role, content=texts[name], parent=str(place - 1) if place else None))
    assert (
        str(len(said) - 1) in replaced_answers(messages, texts, found, own_names(messages, texts, found))
    ) is replaced


def chat_of(turns: int) -> tuple[list[Message], dict[str, str], dict[str, list[Span]]]:
    """A chat in which every turn names somebody else and gives another address."""
    messages, texts, found = [], {}, {}
    for place in range(turns):
        name, letters = str(place), f"{chr(97 + place % 26)}{chr(97 + place // 26)}"
        texts[name], found[name] = marked(
            f"I met {{Bob {letters}son}}. Write to <{letters}@example.org> about the order."
        )
        role = "assistant" if place % 2 else "user"
        messages.append(Message(id=name, role=role, content=texts[name], parent=str(place - 1) if place else None))
    return messages, texts, found


def test_a_chat_of_four_times_as_many_turns_costs_four_times_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """By how often a name or a value is taken apart: each answer once looked at everything that was said before it."""
    taken = Counter[int]()

    def count(turns: int) -> int:
        for function in (heard.parts_of, heard.canonical):

            def counted(*values: str, function: Any = function) -> Any:
                taken[turns] += 1
                return function(*values)

            monkeypatch.setattr(heard, function.__name__, counted)
        messages, texts, found = chat_of(turns)
        replaced_answers(messages, texts, found, {})
        monkeypatch.undo()
        return taken[turns]

    assert 0 < count(160) <= 4.2 * count(40)
