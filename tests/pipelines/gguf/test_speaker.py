"""The parts of serving that need no socket: sampling, stop texts, turns between chats."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import Busy, InputError, QueueFull
from pipelines.gguf.chats import Chat, Form, StopFilter
from pipelines.gguf.protocol import ChatRequest, End, Event, Failure, Start, Text, socket_path
from pipelines.gguf.sampling import Sampler, sample
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.session import Session
from pipelines.gguf.speaker import Speaker
from pipelines.records import Turn
from tests.pipelines.gguf.conftest import merged_form

PROMPT = "<|im_start|>user\nHello 안녕<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("pieces", "stop", "shown"),
    [
        (["Hello", " world"], [], "Hello world"),
        (["Hello", " wor", "ld!"], ["world"], "Hello "),
        (["ab", "ab", "c"], ["abc"], "ab"),
        (["aaa", "ab"], ["aab"], "aa"),
        (["x", "END", "y"], ["END", "x"], ""),
        (["EN", "D"], ["END!"], "END"),
        (["a\n", "\nb"], ["\n\n"], "a"),
        (["감", "사합니다"], ["사합"], "감"),
    ],
)
def test_a_stop_text_is_never_shown_and_nothing_else_is_lost(pieces: list[str], stop: list[str], shown: str) -> None:
    stopper = StopFilter(stop)
    assert "".join(stopper.push(piece) for piece in pieces) + stopper.rest() == shown


def draws(
    temperature: float, top_p: float, count: int = 2000, size: int = 5
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    row = np.zeros(size, np.float32)
    row[:5] = np.log([0.4, 0.3, 0.2, 0.06, 0.04])
    row[5:] = -30.0
    generator = np.random.default_rng(0)
    return np.bincount([sample(row, temperature, top_p, generator) for _ in range(count)], minlength=5) / count


@pytest.mark.parametrize("size", [5, 3000])
@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (0.0, 1.0, [1, 0, 0, 0, 0]),
        (1.0, 1.0, [0.4, 0.3, 0.2, 0.06, 0.04]),
        (1.0, 0.65, [4 / 7, 3 / 7, 0, 0, 0]),
        (1.0, 0.75, [4 / 9, 3 / 9, 2 / 9, 0, 0]),
        (1.0, 0.1, [1, 0, 0, 0, 0]),
        (0.5, 1.0, [0.5442, 0.3061, 0.1361, 0.0122, 0.0054]),
    ],
)
def test_sampling_follows_temperature_and_top_p(
    temperature: float, top_p: float, expected: list[float], size: int
) -> None:
    np.testing.assert_allclose(draws(temperature, top_p, size=size)[:5], expected, atol=0.035)


def test_top_k_and_min_p_leave_the_likeliest() -> None:
    row = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], np.float32))
    for wish, left in (
        ({"top_k": 2}, {0, 1}),
        ({"min_p": 0.4}, {0, 1, 2}),
        ({"top_k": 0, "min_p": 0.0}, set(range(5))),
    ):
        generator = np.random.default_rng(0)
        assert {sample(row, 1.0, 1.0, generator, **wish) for _ in range(500)} == left


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, [0, 0, 0, 0]),
        ({"presence_penalty": 0.5}, [0, 1, 0, 0]),  # once, however often it came
        ({"frequency_penalty": 0.5}, [0, 1, 0, 1]),  # more each time
        ({"repeat_penalty": 2.0}, [1, 2, 0, 0]),  # token 0 stands in the prompt
    ],
)
def test_penalties_change_what_is_chosen_next(wish: dict[str, float], expected: list[int]) -> None:
    row = np.array([2.0, 1.9, 1.3, -9.0], np.float32)
    asked = ChatRequest.model_validate({"messages": [Turn(role="user", content="-")], **wish})
    sampler = Sampler(asked, [0], np.random.default_rng(0), lambda token: False)
    assert [sampler.choose(row) for _ in range(4)] == expected


@pytest.mark.parametrize("depth", [1, 40])
def test_a_socket_path_always_fits(tmp_path: Path, depth: int) -> None:
    home = tmp_path.joinpath(*["folder"] * depth)
    path = socket_path(home)
    assert len(str(path)) <= 100
    assert (path.parent == home) == (depth == 1)
    assert path == socket_path(home) != socket_path(home / "other")


@pytest.fixture
def speaker(q4_gguf: Path) -> Iterator[Speaker]:
    speaking = Speaker(Session(merged_form(q4_gguf), context=640, sequences=3), model="m1", sha256="s")
    yield speaking
    speaking.retire()
    speaking.join(10)
    assert not speaking.alive


Inbox = queue.Queue[Start | Text | End | Failure]


def ask(speaker: Speaker, prompt: str = PROMPT, **settings: object) -> Inbox:
    inbox: Inbox = queue.Queue()
    messages = (Turn(role="user", content="-"),)
    speaker.submit(prompt, ChatRequest.model_validate({"messages": messages, **settings}), inbox.put)
    return inbox


def answer(inbox: Inbox) -> tuple[str, End]:
    text = ""
    while True:
        event = inbox.get(timeout=90)
        if isinstance(event, End):
            return text, event
        assert isinstance(event, Text)
        text += event.text


def test_an_answer_is_what_the_scorer_generates(speaker: Speaker, q4_gguf: Path) -> None:
    with GGUFScorer(merged_form(q4_gguf)) as scorer:
        expected = scorer.generate(scorer.tokenize(PROMPT), 40)
    text, end = answer(ask(speaker, max_tokens=40))
    assert text == expected and end.completion_tokens <= 40


def test_chats_side_by_side_say_what_they_say_alone(speaker: Speaker) -> None:
    prompts = [PROMPT.replace("Hello", word) for word in ("one", "two " * 150, "three", "four", "five")]
    alone = [answer(ask(speaker, prompt, max_tokens=30)) for prompt in prompts]
    inboxes = [ask(speaker, prompt, max_tokens=30) for prompt in prompts]
    assert [answer(inbox) for inbox in inboxes] == alone


def test_together_and_one_after_the_other_are_the_same_words(q4_gguf: Path) -> None:
    """As many in one forward as `alike` allows, with company that comes and goes."""
    with Session(merged_form(q4_gguf), context=64, sequences=4) as session:
        assert 1 <= session.alike() <= 4
    said: list[list[tuple[str, End]]] = []
    for together in (1, None):
        speaker = Speaker(
            Session(merged_form(q4_gguf), context=640, sequences=4), model="m", sha256="s", together=together
        )
        inboxes = [
            ask(speaker, PROMPT.replace("Hello", word), max_tokens=size)
            for word, size in (("a", 40), ("b", 9), ("c " * 90, 25), ("d", 31), ("e", 20))
        ]
        said.append([answer(inbox) for inbox in inboxes])
        speaker.retire()
        speaker.join(10)
    assert said[0] == said[1]


def test_logprobs_are_told_with_the_text_they_belong_to_and_not_beyond_a_stop(speaker: Speaker) -> None:
    inbox, tokens, text = ask(speaker, max_tokens=12, logprobs=2), [], ""
    while not isinstance(event := inbox.get(timeout=90), End):
        assert isinstance(event, Text)
        tokens += event.tokens
        text += event.text
    assert len(tokens) == 12 and b"".join(bytes(one.piece) for one in tokens).decode(errors="replace") == text
    for one in tokens:
        assert one.others[0] == (one.piece, one.logprob) and one.others[0][1] >= one.others[1][1] and one.logprob < 0
    stop = text[len(text) // 2 :][:4]
    cut, told = ask(speaker, max_tokens=12, logprobs=0, stop=[stop]), []
    while not isinstance(event := cut.get(timeout=90), End):
        assert isinstance(event, Text)
        told += event.tokens
    assert len(told) < 12 and [one.piece for one in told] == [one.piece for one in tokens[: len(told)]]
    assert all(one.others == () for one in told)


def test_an_answer_under_a_form_ends_by_itself(speaker: Speaker) -> None:
    inbox: Inbox = queue.Queue()
    asked = ChatRequest(messages=(Turn(role="user", content="-"),), temperature=1.0, seed=3)
    speaker.submit(PROMPT, asked, inbox.put, form=Form('root ::= "{" [a-c] [a-c] "}"'))
    text, end = answer(inbox)
    assert end.reason == "stop" and text[0] + text[-1] == "{}" and set(text[1:-1]) <= set("abc") and len(text) == 4


def test_the_same_seed_says_the_same_and_another_does_not(speaker: Speaker) -> None:
    said = [answer(ask(speaker, max_tokens=20, temperature=1.5, seed=seed))[0] for seed in (7, 7, 8)]
    assert said[0] == said[1] != said[2]


def test_a_short_chat_does_not_wait_for_a_long_one(speaker: Speaker) -> None:
    both, ended = threading.Event(), queue.Queue[str]()

    def note(name: str) -> Callable[[Event], None]:
        def emit(event: Event) -> None:
            both.wait(60)  # nothing is said before both have asked
            if isinstance(event, End):
                ended.put(name)

        return emit

    for name, tokens in (("long", 500), ("short", 3)):
        messages = (Turn(role="user", content="-"),)
        speaker.submit(PROMPT, ChatRequest(messages=messages, max_tokens=tokens), note(name))
    both.set()
    assert [ended.get(timeout=60) for _ in range(2)] == ["short", "long"]


def test_a_cancelled_chat_ends_early(speaker: Speaker) -> None:
    inbox, chats, known = queue.Queue[Start | Text | End | Failure](), list[Chat](), threading.Event()

    def emit(event: Event) -> None:
        inbox.put(event)
        known.wait(60)
        chats[0].cancel()

    chats.append(speaker.submit(PROMPT, ChatRequest(messages=(Turn(role="user", content="-"),)), emit))
    known.set()
    assert answer(inbox)[1].reason == "cancelled"


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(speaker: Speaker) -> None:
    with pytest.raises(InputError, match="takes 1[0-9]{3} tokens, but this engine reads at most 640"):
        ask(speaker, "가나" * 300)


def test_an_answer_that_fills_the_context_ends_for_its_length(speaker: Speaker) -> None:
    prompt = "a" * 600
    _, end = answer(ask(speaker, prompt))
    assert end.reason in ("length", "stop")
    assert end.completion_tokens <= 640


def test_a_retired_speaker_finishes_its_chats_and_takes_no_more(speaker: Speaker) -> None:
    inbox = ask(speaker, max_tokens=60)
    speaker.retire()
    with pytest.raises(Busy, match="just replaced"):
        ask(speaker)
    assert answer(inbox)[1].reason in ("length", "stop")


def test_too_many_waiting_chats_are_turned_away(speaker: Speaker) -> None:
    request, chats = ChatRequest(messages=(Turn(role="user", content="-"),)), []
    with pytest.raises(QueueFull, match="64 chats are waiting"):
        for _ in range(200):
            chats.append(speaker.submit(PROMPT, request, lambda event: None))
    for chat in chats:
        chat.cancel()
    answer(ask(speaker, max_tokens=1))
    assert speaker.load() == (0, 0)
