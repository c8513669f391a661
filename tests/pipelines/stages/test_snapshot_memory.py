"""A snapshot of any number of conversations: the same lists as when all of them were in memory, in little of it."""

import hashlib
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.feedback import same_prompt, shelf
from pipelines.recipe import Preference, Select
from pipelines.records import RatedConversation
from pipelines.stages.snapshot import Selector, SnapshotOutput, snapshot
from pipelines.suites.contamination import Contamination, EvaluationItem
from tests.pipelines.feedback_rows import NOW, asked, crowded_pool, down, up

RULES = Select.model_validate(
    {
        "response_tokens": [1, 9],
        "per_user": {"max_share": 0.1, "max_votes": 0.1},
        "feedback": {"per_day": 3, "min_overlap": 2},
    }
)
SELECTOR = Selector(
    count_tokens=lambda text: len(text.split()),
    find_contaminated=Contamination([EvaluationItem("suite/1", "Who rules Orm?")]).check_pool,
)


class Given:
    """A corpus of these conversations, which are made while they are read."""

    def __init__(self, candidates: Iterable[RatedConversation]) -> None:
        self._candidates = candidates

    def candidates(self) -> Iterator[RatedConversation]:
        return iter(self._candidates)

    def outcomes(self) -> dict[str, int]:
        return {"gibberish": 2}

    def lost(self) -> tuple[()]:
        return ()

    def texts(self, keys: Any) -> Any:
        raise NotImplementedError


def take(candidates: Iterable[RatedConversation], out: Path, rules: Select = RULES) -> SnapshotOutput:
    return snapshot(Given(candidates), rules, out, SELECTOR, now=NOW, rule=Preference(method="kto"))


@pytest.mark.parametrize("held", [4, 1_000], ids=["from a file", "from memory"])
@pytest.mark.parametrize(
    ("seed", "lists", "output"),
    [
        (1, "4eb3322dbc4b28cae513c75f735675a3931621d7bb7e5dd088220928672c69ab", "cd3a2e2b8a377d9a"),
        (2, "c2077dacb76f6b38f09f9f237bd26ac0620349d4030108c60b75f4e52424cd98", "c2ba214c96fa26d4"),
        (3, "24fd30788414c438849ec209b20bf19686855292413ea272b04fdbc48ed92ee3", "c50726beab50486e"),
    ],
    ids=["1", "2", "3"],
)
def test_the_lists_are_those_of_the_way_that_held_all_in_memory(
    seed: int, lists: str, output: str, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digests are those that it wrote for these pools, before conversations were laid aside, with the fields added since."""
    monkeypatch.setattr(shelf, "HELD", held)
    monkeypatch.setattr(same_prompt, "_TEXTS_AT_ONCE", 7)

    taken = take(crowded_pool(seed, 150), tmp_path)

    assert taken.digest == lists
    assert hashlib.sha256(taken.model_dump_json().encode()).hexdigest().startswith(output)


def test_what_conversations_say_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 conversations of 40 KB, of which 4 may be in memory: 2.4 MB of text, and every one of them rated."""
    monkeypatch.setattr(shelf, "HELD", 4)
    monkeypatch.setattr(shelf, "_BUFFER_BYTES", 1)
    monkeypatch.setattr(same_prompt, "_TEXTS_AT_ONCE", 4)
    rules = Select.model_validate({"response_tokens": [1, 10**6], "feedback": {"echo": False}})

    def pool() -> Iterator[RatedConversation]:
        for number in range(60):
            votes = up(f"u{number}") if number % 2 else down(f"v{number}")
            yield asked(
                str(number),
                f"question {number} " + "ask " * 50 + "\n" * 20_000,
                (f"{number} " + "say " * 50 + "\n" * 20_000, votes),
            )

    tracemalloc.start()
    try:
        taken = take(pool(), tmp_path, rules)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken.examples == 30 and taken.feedback.bad == 30
    assert peak < 1_000_000, f"{peak} bytes at once"
