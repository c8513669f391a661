"""A chat that the base model's template cannot render is left out with a reason; the round goes on without it."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.context import StageContext
from pipelines.errors import ModelError
from pipelines.mixture.anchors import Anchor, AnchorPool, without_unrendered
from pipelines.recipe import Preference, Recipe, Select
from pipelines.records import FeedbackFate, RatedConversation, Turn
from pipelines.stages import mix, snapshot
from pipelines.stages.contract import Finished, Keyed
from pipelines.suites.folder import SuiteFolder
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.conftest import TEMPLATE
from tests.pipelines.feedback_rows import asked, at, conversation, down, message, up
from tests.pipelines.stages.test_snapshot import Listed

REFUSES = "{% if messages | selectattr('role', 'equalto', 'user') | list | length > 1 %}{{ raise_exception('one turn') }}{% endif %}"
# As thinking templates do: answers are written otherwise once there is a later question.
REWRITES = TEMPLATE.replace(
    "{{ message['content'] + '<|im_end|>' }}",
    "{{ (message['content'] if loop.index0 >= messages | length - 1 else message['content'][:2]) + '<|im_end|>' }}",
)


def base_with(template: str, tiny_base: Path, folder: Path) -> Path:
    shutil.copytree(tiny_base, folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def two_turns(name: str, answer: str = "It is Kirn.", votes: Any = up("u", "v"), **more: Any) -> RatedConversation:
    return conversation(
        name,
        message(f"{name}.0", "user", f"Where is {name}?", None),
        message(f"{name}.1", "assistant", "It is Tarn.", f"{name}.0", up("u")),
        message(f"{name}.2", "user", "And Lodu?", f"{name}.1"),
        message(f"{name}.3", "assistant", answer, f"{name}.2", votes),
        **more,
    )


CHATS = [
    asked("a", "Where is a?", ("It is here.", up("u", "v"))),
    two_turns("b"),
    two_turns("c", part="dev"),
    two_turns("d", part="heldout"),
    asked("e", "Where is e?", ("Far.", up("u", "v")), part="dev"),
]


def context_of(tmp_path: Path, chats: list[RatedConversation]) -> StageContext:
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return StageContext(tmp_path, tmp_path, Listed(chats), tmp_path / "scratch", lambda: None)


def taken_with(base: Path, tmp_path: Path, chats: list[RatedConversation]) -> Finished[snapshot.Output]:
    out = tmp_path / "snapshot"
    out.mkdir()
    asking = snapshot.Input(
        select=Select(),
        method=Preference(method="kto"),
        max_tokens=256,
        base=Keyed[Path](digest="base", value=base),
        suites=Keyed[SuiteFolder](digest="none", value=SuiteFolder(folders=(tmp_path,), digests={})),
    )
    output = snapshot.run(asking, out, context_of(tmp_path, chats))
    return Finished[snapshot.Output](digest=output.digest, output=output, folder=out)


def anchor(name: str, *texts: str) -> Anchor:
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return Anchor.model_validate({"id": name, "family": "f", "turns": turns})


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return base_with(REFUSES + TEMPLATE, tiny_base, tmp_path / "base")


def test_a_chat_that_cannot_be_rendered_is_left_out_and_the_mixture_is_made(base: Path, tmp_path: Path) -> None:
    taken = taken_with(base, tmp_path, CHATS)
    recipe = Recipe.model_validate(
        {"name": "t", "base": {"model": "m"}, "mixture": {"user": 1.0}, "evaluate": {"suites": []}, "gates": ()}
    )
    out = tmp_path / "mix"
    out.mkdir()

    made = mix.run(
        mix.Input(
            recipe=recipe,
            snapshot=taken,
            pools=Keyed[Any](digest="p", value={}),
            base=Keyed[Path](digest="base", value=base),
        ),
        out,
        context_of(tmp_path, CHATS),
    )

    assert taken.output.left_out == {"cannot_be_rendered": 3}
    assert (taken.output.examples, taken.output.dev, taken.output.heldout) == (1, 1, 0)
    assert made.examples == {"new": 1} and made.dev_examples == {"new": 1}


def test_feedback_on_it_ends_with_the_reason_in_every_part(base: Path, tmp_path: Path) -> None:
    rated = [
        asked("a", "Where is a?", ("It is here.", up("u", "v")), ("There.", down("w"))),
        two_turns("b", votes=down("w")),
        two_turns("c", part="heldout"),
    ]
    taken = taken_with(base, tmp_path, rated)
    lines = (taken.folder / taken.output.fates).read_text().splitlines()
    rules = {fate.message: fate.rule for fate in map(FeedbackFate.model_validate_json, lines)}

    assert rules == {
        "a.a": "siblings",
        "a.b": "siblings",
        "b.1": "lone",
        "b.3": "cannot_be_rendered",
        "c.1": "lone",
        "c.3": "cannot_be_rendered",
    }


def test_a_chat_that_cannot_be_rendered_supersedes_nothing(base: Path, tmp_path: Path) -> None:
    older = asked("a", "Where is it?", ("Here.", up("u", "v")), prompt_cluster="q")
    newer = two_turns("b", prompt_cluster="q").model_copy(update={"occurred_at": at(9) + timedelta(hours=1)})

    assert taken_with(base, tmp_path, [older, newer]).output.examples == 1


def test_anchors_that_cannot_be_rendered_are_taken_out_and_counted(base: Path) -> None:
    anchors = (anchor("one", "q", "It is so."), anchor("two", "q", "It is so.", "r", "It is not."))
    pools = {"coding": AnchorPool(name="coding", anchors=anchors, contaminated=3)}

    left = without_unrendered(pools, ChatTokenizer(base).can_render)["coding"]

    assert [one.id for one in left.anchors] == ["one"] and (left.unrendered, left.contaminated) == (1, 3)


def test_two_answers_under_a_template_that_rewrites_the_first_are_read_in_rows_of_their_own(
    tiny_base: Path, tmp_path: Path
) -> None:
    taken = taken_with(base_with(REWRITES, tiny_base, tmp_path / "base"), tmp_path, CHATS)
    assert taken.output.left_out == {} and taken.output.examples == 2

    turns = [Turn(role="user", content="Where?"), Turn(role="assistant", content="It is Tarn.", trained=True)]
    tokenizer = ChatTokenizer(tmp_path / "base")
    rows, _ = tokenizer.rows([*turns, Turn(role="user", content="And?"), turns[1]])
    trained = [[id for id, on in zip(row.ids, row.mask, strict=True) if on] for row in rows]
    assert [tokenizer.text(ids) for ids in trained] == ["It is Tarn."] * 2
    assert "It<" in tokenizer.text(rows[1].ids, keep_control_tokens=True)


def test_a_template_that_renders_no_chat_at_all_is_the_models_fault(tiny_base: Path, tmp_path: Path) -> None:
    base = base_with("{{ raise_exception('never') }}", tiny_base, tmp_path / "base")

    with pytest.raises(ModelError, match="cannot render even one question with its answer: .*never"):
        taken_with(base, tmp_path, CHATS)
