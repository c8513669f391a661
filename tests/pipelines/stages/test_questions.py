"""What the gate asks: answers with who wrote them, corrections by themselves, pairs by name, and half of it by the quarter."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.recipe import Evaluate, Select
from pipelines.records import RatedConversation
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.questions import Measurement, Questions, dev_questions, gate_questions
from pipelines.stages.snapshot import Selector, snapshot
from pipelines.suites.folder import SuiteFolder
from tests.pipelines.feedback.test_regression import Chats, corrected
from tests.pipelines.feedback_rows import conversation, message

SELECTOR = Selector(count_tokens=lambda text: len(text.split()), find_contaminated=lambda texts: [None] * len(texts))


def answered(name: str, writer: str, part: str = "heldout") -> RatedConversation:
    """A liked answer that a model of ours wrote."""
    question = message(f"{name}.q", "user", f"where is {name}?", None)
    answer = message(f"{name}.a", "assistant", f"{name} is in the north", f"{name}.q", served_by=writer)
    return conversation(name, question, answer, part=part, satisfaction=5, topic="rivers")


class Told(Chats):
    """The same conversations, with what their messages say."""

    def __init__(self, *candidates: RatedConversation) -> None:
        super().__init__(*candidates)
        self._texts = {one.key.message: one.text for candidate in candidates for one in candidate.messages}


def asked(
    folder: Path, *candidates: RatedConversation, month: int = 11, **evaluate: Any
) -> tuple[Measurement, Measurement]:
    """The questions of gate and dev after a snapshot taken in that month."""
    corpus, now = Told(*candidates), datetime(2026, month, 27, tzinfo=UTC)
    output = snapshot(corpus, Select(), folder, SELECTOR, now=now)
    rules = Evaluate.model_validate({"suites": ["heldout"], **evaluate})
    suites = Keyed[SuiteFolder](digest="s", value=SuiteFolder(folders=(folder,), digests={}))
    source = Questions(evaluate=rules, suites=suites, snapshot=Finished[Any](digest="d", output=output, folder=folder))
    models: Mapping[Any, str] = {"champion": "tiny-r1", "origin": "tiny"}
    return gate_questions(source, corpus, None, models), dev_questions(source, corpus)


def test_corrections_are_asked_unnamed_and_answers_say_who_wrote_them(tmp_path: Path) -> None:
    chats = [answered("b", "tiny-r1"), answered("c", "tiny"), answered("d", ""), corrected("a", app="shop")]
    gate, dev = asked(tmp_path, *chats)
    own = {item.example.id: item.own for item in gate.heldout}
    assert (own["b"], own["c"], own["d"]) == (("champion",), ("origin",), ())
    assert {item.stratum for item in gate.heldout if item.example.id != "a"} == {"en/rivers"}
    (suite,) = gate.pairs
    (item,) = suite.items
    assert suite.suite == "corrections" and set(gate.suites) == {"heldout", "corrections"}
    assert (item.stratum, item.cluster, item.example.chosen and item.example.chosen.content) == (
        "shop/en",
        "p-a",
        "a is in the north",
    )
    assert dev.pairs == () and dev.suites == ("heldout",), "nothing of the gate chooses settings"


def test_pairs_are_asked_where_the_recipe_names_them(tmp_path: Path) -> None:
    gate, _ = asked(tmp_path, corrected("a"), suites=["pairs"])
    assert [suite.suite for suite in gate.pairs] == ["corrections", "pairs"]
    assert {item.stratum for item in gate.pairs[1].items} == {"correction"}


def test_half_of_the_answers_and_corrections_change_with_the_quarter_of_the_snapshot(tmp_path: Path) -> None:
    chats = [*(answered(f"h{n}", "") for n in range(60)), *(corrected(f"c{n}") for n in range(60))]
    rounds = [asked(tmp_path, *chats, month=month, heldout=20, items=20)[0] for month in (8, 9, 11)]
    for of in (
        lambda one: {item.example.id for item in one.heldout},
        lambda one: {item.example.id for item in one.pairs[0].items},
    ):
        august, september, november = map(of, rounds)
        assert len(august) == 20 and august == september and 10 <= len(august & november) < 20
