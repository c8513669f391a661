"""The spine's helper, its tools and remedies: resume, what each attempt changes, what measures, what is told."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.artifacts import Attempt, Manifest, read_manifest
from pipelines.context import RoundContext
from pipelines.errors import ArtifactError, Cancelled, RecipeError, TrainingError
from pipelines.gate.decide import Check
from pipelines.recipe import Base, Preference, Recipe, Train
from pipelines.recipe_file import parse_recipe
from pipelines.records import Body, FeedbackFate, MessageKey, Record, SnapshotItem, TurnKey
from pipelines.records import RatedConversation as Conversation
from pipelines.remedies import next_recipe
from pipelines.stages.contract import Keyed, key_of
from pipelines.stages.questions import held_out_examples
from pipelines.stages.runner import StageRunner
from pipelines.stages.sources import open_sources
from tests.stand_in_stage import run_stage, runner_of

RECIPE = """
name: small
base: {model: models/tiny}
mixture: {user: 0.6, general: 0.3, coding: 0.1}
train: {learning_rate: 1.0e-3, epochs: 2}
evaluate: {suites: [tiny_math, heldout]}
gates: [{suite: tiny_math, margin: {champion: 3.0, origin: 3.0}}, {suite: heldout, min_gain: 0.0}]
max_attempts: 3
"""


class Counted(Record):
    lines: int


class Heard:
    """A journal that remembers what it was told, and may stop the round."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.digests: dict[str, str] = {}

    def started(self, stage: str) -> None:
        pass

    def finished(self, stage: str, manifest: Manifest, *, ran: bool) -> None:
        self.told.append((stage, ran))
        self.digests[stage] = manifest.digest


class Texts:
    def candidates(self) -> Iterator[Conversation]:
        return iter(())

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        return {key: Body(content=f"text of {key.message}") for key in keys}

    def outcomes(self) -> Mapping[str, int]:
        return {}

    def lost(self) -> Sequence[FeedbackFate]:
        return ()


def count(out: Path) -> Counted:
    (out / "lines.txt").write_text("one\ntwo\n")
    return Counted(lines=2)


def steps(folder: Path, fence: int = 1, check: Any = lambda: None) -> tuple[StageRunner, Heard]:
    heard = Heard()
    return runner_of(Attempt(folder, fence, check), Texts(), heard), heard


# ---- steps ------------------------------------------------------------------------------------------------


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    first, _ = steps(tmp_path)
    run_stage(first, "count", Counted, count, {"seed": 1})
    second, heard = steps(tmp_path, fence=2)

    output = run_stage(second, "count", Counted, lambda out: pytest.fail("ran again"), {"seed": 1})

    assert output == Counted(lines=2) and heard.told == [("count", False)]
    assert second.seconds == first.seconds


def test_a_stage_that_makes_the_same_again_has_the_same_digest(tmp_path: Path) -> None:
    digests = []
    for seed in (1, 2):
        runner, heard = steps(tmp_path, fence=seed)
        run_stage(runner, "count", Counted, count, {"seed": seed})
        digests.append(heard.digests["count"])

    assert digests[0] == digests[1]


def test_where_a_keyed_value_lies_is_no_part_of_the_key_and_its_digest_is() -> None:
    class Input(Record):
        base: Keyed[Path]

    here, there, other = (
        Input(base=Keyed[Path](digest=digest, value=Path(place)))
        for digest, place in (("a", "/here"), ("a", "/there"), ("b", "/here"))
    )
    assert key_of(here) == key_of(there) != key_of(other)


def test_a_stage_whose_input_changed_runs_again(tmp_path: Path) -> None:
    first, _ = steps(tmp_path)
    run_stage(first, "count", Counted, count, {"seed": 1})
    second, heard = steps(tmp_path, fence=2)

    run_stage(second, "count", Counted, count, {"seed": 2})

    assert heard.told == [("count", True)]


def test_a_stage_that_was_killed_goes_on_from_what_it_left(tmp_path: Path) -> None:
    def killed(out: Path) -> Counted:
        (out / "checkpoint").write_text("3")
        raise SystemExit

    with pytest.raises(SystemExit):
        run_stage(steps(tmp_path)[0], "count", Counted, killed)

    def resumed(out: Path) -> Counted:
        return Counted(lines=int((out / "checkpoint").read_text()))

    assert run_stage(steps(tmp_path, fence=2)[0], "count", Counted, resumed) == Counted(lines=3)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("fence", [1, 2])
def test_a_stage_that_was_killed_leaves_nothing_to_one_with_another_input(tmp_path: Path, fence: int) -> None:
    def killed(out: Path) -> Counted:
        (out / "checkpoint").write_text("3")
        raise SystemExit

    with pytest.raises(SystemExit):
        run_stage(steps(tmp_path)[0], "count", Counted, killed, {"input": "A"})

    def fresh(out: Path) -> Counted:
        return Counted(lines=int((out / "checkpoint").exists()))

    assert run_stage(steps(tmp_path, fence)[0], "count", Counted, fresh, {"input": "B"}) == Counted(lines=0)
    assert not list(tmp_path.glob("*.tmp")) and not (tmp_path / "count" / "reads.sha256").exists()


def test_a_stage_is_not_sealed_once_the_claim_is_lost(tmp_path: Path) -> None:
    held = [True]

    def check() -> None:
        if not held[0]:
            raise Cancelled("round 1 is no longer ours")

    def lose(out: Path) -> Counted:
        held[0] = False
        return count(out)

    with pytest.raises(Cancelled):
        run_stage(steps(tmp_path, check=check)[0], "count", Counted, lose)
    assert read_manifest(tmp_path / "count") is None


def test_a_finished_stage_whose_file_was_changed_is_refused(tmp_path: Path) -> None:
    run_stage(steps(tmp_path)[0], "count", Counted, count)
    (tmp_path / "count" / "lines.txt").write_text("forged")

    with pytest.raises(ArtifactError, match="was changed after its stage finished"):
        run_stage(steps(tmp_path)[0], "count", Counted, count)


# ---- remedies ---------------------------------------------------------------------------------------------


def failed(*criteria: str) -> list[Check]:
    return [
        Check.model_validate({"suite": "s", "criterion": criterion, "outcome": "fail", "reason": criterion})
        for criterion in criteria
    ]


def recipe(**changes: Any) -> Recipe:
    return parse_recipe(RECIPE, "given").model_copy(update=changes)


def test_after_forgetting_there_are_more_anchors_and_a_lower_rate() -> None:
    changed = next_recipe(recipe(), failed("margin"), 1)

    assert changed.mixture.user == pytest.approx(0.4)
    assert changed.mixture.general == pytest.approx(0.45) and changed.mixture.coding == pytest.approx(0.15)
    assert (changed.train.learning_rate, changed.train.kl.weight) == (5e-4, 0)
    assert changed.select == recipe().select


def test_after_forgetting_twice_the_origin_is_held_on_to() -> None:
    once = next_recipe(recipe(), failed("guard", "min_gain"), 1)

    assert next_recipe(once, failed("margin"), 2).train.kl.weight > 0


def test_after_a_broken_stop_rule_only_preferences_are_held_closer() -> None:
    given = recipe(preference=Preference(learning_rate=4e-6, beta=0.1))
    guard = [Check(suite="preference", criterion="guard", outcome="fail", reason="kl")]

    changed = next_recipe(given, guard, 1)

    assert changed.preference is not None
    assert (changed.preference.learning_rate, changed.preference.beta) == (2e-6, 0.2)
    assert (changed.train, changed.mixture) == (given.train, given.mixture)
    assert next_recipe(given, [*guard, *failed("margin")], 1).mixture.user < given.mixture.user
    by_steps = next_recipe(recipe(preference=Preference()), guard, 1).preference
    assert by_steps is not None and by_steps.learning_rate == "auto"
    assert by_steps.rate(50) == pytest.approx(Preference().rate(50) / 2)


def test_a_recipe_without_anchors_gets_some() -> None:
    bare = recipe(mixture=recipe().mixture.model_copy(update={"user": 1.0, "general": 0.0, "coding": 0.0}))

    mixture = next_recipe(bare, failed("margin"), 1).mixture

    assert mixture.user == pytest.approx(2 / 3) and mixture.general == mixture.coding == mixture.reasoning > 0


def test_after_learning_too_little_it_trains_longer_and_changes_nothing_else() -> None:
    changed = next_recipe(recipe(), failed("min_gain"), 1)

    assert changed.train.epochs == 3 and changed.mixture == recipe().mixture
    assert changed.train.learning_rate == recipe().train.learning_rate


def test_after_learning_nothing_it_trains_longer_too() -> None:
    assert next_recipe(recipe(), failed("change"), 1) == next_recipe(recipe(), failed("min_gain"), 1)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_changed_recipe_is_still_a_valid_one(attempt: int) -> None:
    changed = next_recipe(recipe(), failed("margin"), attempt)

    assert Recipe.model_validate(changed.model_dump()) == changed


def test_a_recipe_without_gates_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    context = RoundContext(project=tmp_path, models=tmp_path, scores=tmp_path, anchors=tmp_path)

    with pytest.raises(RecipeError, match="the recipe 'small' has no gates"):
        open_sources(recipe(gates=()), context)


@pytest.mark.skipif(sys.platform == "darwin", reason="mps is there")
def test_a_device_that_is_not_here_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    context = RoundContext(project=tmp_path, models=tmp_path, scores=tmp_path, anchors=tmp_path)

    with pytest.raises(TrainingError, match="`backend: mps`, which this machine does not have; use auto"):
        open_sources(recipe(train=Train(backend="mps", method="qlora")), context)


def test_a_round_logs_that_its_base_is_not_what_the_policy_says(tiny_base: Path, tmp_path: Path) -> None:
    from structlog.testing import capture_logs

    context = RoundContext(project=Path(__file__).parents[2], models=tmp_path, scores=tmp_path, anchors=tmp_path)
    given = recipe(base=Base(model=str(tiny_base), policy="base"))
    with capture_logs() as logs:
        _ = open_sources(given, context).base
    (line,) = [line for line in logs if line["event"] == "base_policy"]
    assert line["log_level"] == "warning" and "looks like an instruct model" in line["why"]


# ---- what measures ----------------------------------------------------------------------------------------


def held(name: str, source: str, part: str = "heldout") -> SnapshotItem:
    turns = tuple(
        TurnKey.model_validate(
            {"key": {"message": f"{name}.{role}", "revision": 1}, "role": role, "trained": role == "assistant"}
        )
        for role in ("user", "assistant")
    )
    return SnapshotItem.model_validate(
        {
            "conversation": name,
            "person": "p",
            "outcome": "held_out",
            "reason": part,
            "part": part,
            "source": source,
            "turns": turns,
        }
    )


def test_held_out_answers_are_always_the_same_half_of_them_new() -> None:
    items = [held(f"new{n}", "new") for n in range(20)] + [held(f"old{n}", "replay") for n in range(20)]

    first = held_out_examples(items, Texts(), "heldout", 10)
    again = held_out_examples(list(reversed(items)), Texts(), "heldout", 10)

    assert first == again and len(first) == 10
    assert sum(example.source == "new" for example in first) == 5
    assert first[0].turns[1].content == f"text of {first[0].id}.assistant" and first[0].turns[1].trained


@pytest.mark.parametrize(
    ("new", "old", "count", "got"), [(3, 20, 10, 10), (20, 3, 10, 10), (2, 3, 10, 5), (4, 4, 0, 0)]
)
def test_held_out_answers_fill_up_from_what_there_is(new: int, old: int, count: int, got: int) -> None:
    items = [held(f"new{n}", "new") for n in range(new)] + [held(f"old{n}", "replay") for n in range(old)]
    items += [held("dev", "new", "dev")]

    assert len(held_out_examples(items, Texts(), "heldout", count)) == got
