"""The killable child: a hang or a crash costs one conversation, nothing more."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.curate.config import CurationConfig
from pipelines.curate.process import CuratorProcess
from pipelines.errors import InputError
from pipelines.records import CleanConversation, Quarantined, Rejected
from tests.pipelines.curate.chats import CONFIG, KEY, SECRET, Chat


def open_odd(_config: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What hangs, dies or talks nonsense on command; killing it must be enough."""

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        conversation = job["conversation"]
        word = conversation["messages"][0]["content"]
        if word == "hang":
            time.sleep(60)
        if word == "die":
            os._exit(3)
        if word == "babble":
            return {"kind": "x"}
        return {"kind": "rejected", "record": {"id": conversation["id"], "rule": str(os.getpid()), "detail": ""}}

    return answer


@pytest.fixture
def odd() -> Iterator[CuratorProcess]:
    with CuratorProcess(CONFIG, "tests.pipelines.curate.test_process:open_odd") as process:
        yield process


@pytest.mark.parametrize(
    ("word", "reason"), [("hang", "worker_timeout"), ("die", "worker_crashed"), ("babble", "worker_crashed")]
)
def test_a_child_that_misbehaves_is_killed_and_the_next_conversation_gets_a_new_one(
    odd: CuratorProcess, chat: Chat, word: str, reason: str
) -> None:
    before = odd.curate(chat("hello", "hi"), SECRET, KEY, 10)
    assert odd.curate(chat(word, "hi"), SECRET, KEY, 0.5) == Quarantined(id="c1", reason=reason)
    after = odd.curate(chat("hello", "hi"), SECRET, KEY, 10)
    assert isinstance(before, Rejected) and isinstance(after, Rejected)
    assert before.rule != after.rule


def test_the_time_out_holds(odd: CuratorProcess, chat: Chat) -> None:
    odd.start()
    started = time.monotonic()
    odd.curate(chat("hang", "hi"), SECRET, KEY, 0.3)
    assert time.monotonic() - started < 5


def test_a_job_larger_than_a_pipe_does_not_block(odd: CuratorProcess, chat: Chat) -> None:
    assert isinstance(odd.curate(chat("x" * 3_000_000, "y" * 3_000_000), SECRET, KEY, 30), Rejected)


def test_the_real_child_gives_what_the_curator_gives(curator, chat: Chat) -> None:  # type: ignore[no-untyped-def]
    talks = [
        chat("제 메일은 kim@naver.com이에요", "네 🙂 \u2028 ok"),
        chat("hi"),
        chat("What is the capital of Banoko?", "Tilu"),
    ]
    with CuratorProcess(CONFIG) as process:
        assert [process.curate(talk, SECRET, KEY, 60) for talk in talks] == [
            curator.curate(talk, SECRET, KEY) for talk in talks
        ]
        assert isinstance(process.curate(talks[0], SECRET, KEY, 60), CleanConversation)


def test_a_refusal_to_start_is_the_curators_own_error() -> None:
    with CuratorProcess(CurationConfig()) as process, pytest.raises(InputError, match="allow_degraded_names"):
        process.start()
