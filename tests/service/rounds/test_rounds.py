"""Rounds as rows: asked for once, claimed by one, recorded under the fence, cancelled, carried out in attempts."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from pipelines import artifacts, progress
from pipelines.artifacts import Attempt
from pipelines.context import Adapter, Baseline, Journal, RoundContext, RoundResult
from pipelines.errors import Cancelled, NotFound, RecipeError, Refused
from pipelines.gate.decide import Check, Verdict
from pipelines.recipe import Recipe
from pipelines.records import Corpus, ServedForm
from pipelines.stages import STAGES
from pipelines.stages.mix import MixOutput
from pipelines.stages.snapshot import Selector, SnapshotOutput, snapshot
from service.erasure import forget
from service.rounds import requests
from service.rounds.execution import execute
from service.settings import Settings
from service.store import models, rounds, tables
from service.store.session import Store, open_store
from service.store.tables import Audit, Promotion, Round, SnapshotItem, new_id
from service.vault import Vault, open_vault
from tests.service.rated import add_person, add_rated
from tests.service.served import gguf
from tests.stand_in_stage import run_stage, runner_of

RECIPE = """
name: small
base: {model: models/tiny}
mixture: {user: 0.6, general: 0.4}
evaluate: {suites: [tiny_math]}
gates: [{suite: tiny_math, margin: {champion: 3.0, origin: 3.0}}]
"""


def ask(store: Store, recipe: str = RECIPE) -> int:
    round_id = requests.request_round(store, recipe, "test")
    assert round_id is not None
    return round_id


def claim(store: Store, owner: str = "host:1:a", lease_seconds: float = 60) -> requests.Claim:
    claimed = requests.claim_round(store, owner, lease_seconds)
    assert claimed is not None
    return claimed[1]


def row_of(store: Store, round_id: int) -> Round:
    with store.read() as session:
        return rounds.get_round(session, round_id)


# ---- asking -----------------------------------------------------------------------------------------------


def test_a_round_is_asked_for_with_its_recipe_and_leaves_an_audit_row(store: Store) -> None:
    row = row_of(store, ask(store))

    assert (row.state, row.recipe_name, row.fence, row.requested_by) == ("requested", "small", 0, "test")
    with store.read() as session:
        assert [entry.action for entry in session.exec(select(Audit)).all()] == ["round.request"]


def test_a_recipe_that_cannot_be_acted_on_makes_no_round(store: Store) -> None:
    with pytest.raises(RecipeError, match="does not act on the key `lineag`; did you mean `lineage`"):
        ask(store, RECIPE + "lineag: sequential\n")
    assert requests.list_rounds(store) == []


def test_a_recipe_is_found_by_its_name_or_taken_as_text(settings: Settings) -> None:
    assert "name: tiny-bad" in requests.recipe_text(settings, "tiny-bad")
    assert requests.recipe_text(settings, RECIPE) == RECIPE
    for name in ("nowhere", "tiny.yaml"):
        with pytest.raises(NotFound, match="no recipe is called .*; there are .*tiny"):
            requests.recipe_text(settings, name)


# ---- claiming ---------------------------------------------------------------------------------------------


def test_the_oldest_round_is_claimed_first_and_by_one_worker(store: Store) -> None:
    first, second = ask(store), ask(store)

    assert [claim(store).round_id, claim(store).round_id] == [first, second]
    assert requests.claim_round(store, "host:1:b", 60) is None


def test_many_workers_claim_each_round_once(store: Store) -> None:
    asked = [ask(store) for _ in range(12)]

    with ThreadPoolExecutor(6) as pool:
        claimed = list(pool.map(lambda n: requests.claim_round(store, f"host:{n}:x", 60), range(18)))

    assert sorted(one[1].round_id for one in claimed if one) == asked
    assert all(one[1].fence == 1 for one in claimed if one)


def test_an_abandoned_round_is_claimed_again_and_its_old_claim_is_worth_nothing(store: Store) -> None:
    round_id = ask(store)
    old = claim(store, lease_seconds=-1)
    new = claim(store)

    assert (new.round_id, new.fence) == (round_id, old.fence + 1)
    for act in (old.check, lambda: old.renew(60), lambda: old.writing().__enter__()):
        with pytest.raises(Cancelled, match="no longer ours"):
            act()
    assert old.finish("passed", "", tables.now()) is False
    assert row_of(store, round_id).state == "running"


def test_a_renewed_lease_is_not_taken(store: Store) -> None:
    ask(store)
    held = claim(store, lease_seconds=-1)
    held.renew(60)

    assert requests.claim_round(store, "host:2:b", 60) is None


def test_rounds_of_dead_workers_of_this_host_are_freed_at_once(store: Store) -> None:
    host = socket.gethostname()
    owners = [
        f"{host}:999999999:a",
        f"{host}:{os.getppid()}:b",
        "elsewhere:999999999:c",
        f"{host}:{os.getpid()}:before",
    ]
    for owner in owners:
        ask(store)
        claim(store, owner)

    assert requests.release_dead(store, host) == 2
    assert {claim(store).round_id, claim(store).round_id} == {1, 4}


# ---- cancelling -------------------------------------------------------------------------------------------


def test_a_waiting_round_is_cancelled_at_once(store: Store) -> None:
    assert requests.cancel_round(store, ask(store), "test").state == "cancelled"
    assert requests.claim_round(store, "host:1:a", 60) is None


def test_a_running_round_hears_of_it_and_an_ended_one_refuses(store: Store) -> None:
    round_id = ask(store)
    held = claim(store)

    assert requests.cancel_round(store, round_id, "test").state == "running"
    with pytest.raises(Cancelled, match="was cancelled"):
        held.check()
    held.finish("cancelled", "stopped", tables.now())
    with pytest.raises(Refused, match="has ended"):
        requests.cancel_round(store, round_id, "test")


def test_a_cancelled_round_whose_worker_died_ends_without_another_claim(store: Store) -> None:
    round_id = ask(store)
    claim(store, lease_seconds=-1)
    requests.cancel_round(store, round_id, "test")

    assert requests.claim_round(store, "host:1:a", 60) is None
    assert row_of(store, round_id).state == "cancelled"


# ---- leftovers and progress -------------------------------------------------------------------------------


HOLD_WEIGHTS = ("train", "prefer", "export")


def test_the_stages_that_hold_weights_are_named_once() -> None:
    assert tuple(stage.name for stage in STAGES if stage.holds_weights) == HOLD_WEIGHTS


def test_text_is_swept_where_no_round_runs_and_weights_where_one_was_cancelled(
    settings: Settings, store: Store
) -> None:
    running, dead, gone = ask(store), ask(store), ask(store)
    claim(store)
    claim(store, lease_seconds=-1)
    requests.cancel_round(store, gone, "test")
    kept, swept = [], []
    with store.begin() as session:
        for round_id in (running, dead, gone):
            session.add(tables.Attempt(round_id=round_id, number=1, folder=f"rounds/{round_id:04d}/attempt-1"))
    for round_id in (running, dead, gone):
        for name in ("scratch", "mix", "export.scores", *HOLD_WEIGHTS, *(f"{name}.2.tmp" for name in HOLD_WEIGHTS)):
            folder = settings.rounds / f"{round_id:04d}" / "attempt-1" / name
            folder.mkdir(parents=True)
            weights = name.removesuffix(".2.tmp") in HOLD_WEIGHTS
            is_left = (name == "scratch" and round_id != running) or (weights and round_id == gone)
            (swept if is_left else kept).append(folder)

    assert requests.sweep_leftovers(settings, store) == len(swept) == 8
    assert not any(folder.exists() for folder in swept) and all(folder.exists() for folder in kept)


def test_weights_of_a_round_that_broke_are_swept_once_a_person_in_it_is_forgotten(
    settings: Settings, store: Store, vault: Vault
) -> None:
    person = add_person(store, vault, new_id())
    broken, other = ask(store), ask(store)
    for _ in (broken, other):
        claim(store).finish("error", "it broke", tables.now())
    with store.begin() as session:
        for round_id in (broken, other):
            session.add(tables.Attempt(round_id=round_id, number=1, folder=f"rounds/{round_id:04d}/attempt-1"))
            (settings.rounds / f"{round_id:04d}" / "attempt-1" / "train.1.tmp").mkdir(parents=True)
        session.add(
            tables.ErasureReceipt(person_id=person, at=tables.now(), conversations=1, rounds=[broken], models=[])
        )

    assert requests.sweep_leftovers(settings, store) == 1
    assert [path.parts[-3] for path in settings.rounds.glob("*/*/train.1.tmp")] == [f"{other:04d}"]


def test_progress_is_the_newest_line_of_the_stage_that_wrote_last(tmp_path: Path) -> None:
    assert requests.newest_progress(tmp_path) is None
    for place, name in enumerate(("mix", "train.1.tmp")):
        (tmp_path / name).mkdir()
        progress.report_progress(tmp_path / name, name, done=1, total=2)
        os.utime(tmp_path / name / "progress.jsonl", (place, place))

    line = requests.newest_progress(tmp_path)

    assert line is not None and line["stage"] == "train.1.tmp"


# ---- carrying out: real snapshot and records, a stand-in for the hours between ------------------------------


class Quick:
    """A run_round that takes the real snapshot and then says what it was told to, with small files for a model."""

    def __init__(self, *outcomes: str, stop_at: str | None = None) -> None:
        self.outcomes, self.stop_at = outcomes, stop_at
        self.seen: list[tuple[Recipe, RoundContext]] = []
        self.left_out: dict[str, str] = {}

    def __call__(
        self, recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal
    ) -> RoundResult:
        self.seen.append((recipe, context))
        step = runner_of(attempt, corpus, journal)
        taken = run_stage(step, "snapshot", SnapshotOutput, lambda out: _snapshot(corpus, recipe, out), recipe.select)
        if self.stop_at == "snapshot":
            raise SystemExit("killed")
        run_stage(step, "mix", MixOutput, lambda out: _no_mixture(out, self.left_out), taken.digest)
        if self.stop_at == "mix":
            raise SystemExit("killed")
        outcome: Any = self.outcomes[context.attempt - 1]
        check = Check(suite="tiny_math", criterion="margin", outcome=outcome, reason=f"tiny_math: {outcome}")
        origin = Baseline(id="tiny-origin-1", form=_form(context.models / "tiny-origin-1" / "model.gguf"))
        return RoundResult(
            outcome=outcome,
            reasons=(check.reason,),
            counts=taken.sizes,
            origin=origin,
            adapter=str(attempt.folder / "train"),
            candidate=_form(attempt.folder / "export" / "model.gguf"),
            verdict=Verdict(outcome=outcome, checks=(check,)),
        )


def _snapshot(corpus: Corpus, recipe: Recipe, out: Path) -> SnapshotOutput:
    selector = Selector(count_tokens=len, find_contaminated=lambda texts: [None for _ in texts])
    return snapshot(corpus, recipe.select, out, selector, now=datetime.now(UTC))


def _no_mixture(out: Path, left_out: dict[str, str]) -> MixOutput:
    lines = [json.dumps({"conversation": one, "reason": reason}) + "\n" for one, reason in left_out.items()]
    (out / "left_out.jsonl").write_text("".join(lines))
    (out / "plan.jsonl").write_text("")
    return MixOutput(
        plan="plan.jsonl",
        left_out_list="left_out.jsonl",
        plan_sha256="",
        text_sha256="",
        shares=(),
        examples={},
        tokens={},
        families={},
        left_out={},
        dev_examples={},
        dev_tokens=0,
    )


def _form(path: Path) -> ServedForm:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(str(path).encode())
    return ServedForm(kind="merged", path=str(path), sha256=artifacts.sha256_of(path))


Turn = Callable[..., str]


@pytest.fixture
def turn(settings: Settings, store: Store, vault: Vault) -> Turn:
    """Claims and carries out the next round; gives its final state."""
    return lambda run: execute(settings, store, vault, claim(store), run)


def rated(store: Store, vault: Vault, answers: Sequence[str] = ("a", "b", "c")) -> list[str]:
    person = add_person(store, vault, new_id())
    train = [name for name in map(str, range(60)) if vault.part_of(name) == "train"]
    return [
        add_rated(store, vault, person, f"q {name}", answer, cluster=name)
        for answer, name in zip(answers, train, strict=False)
    ]


def test_a_round_that_passes_leaves_its_snapshot_stages_verdict_and_models(
    store: Store, vault: Vault, settings: Settings, turn: Turn
) -> None:
    used = rated(store, vault)
    round_id = ask(store)

    assert turn(Quick("pass")) == "passed"

    view = requests.show_round(store, settings, round_id)
    assert (view.round.state, view.round.message, view.counts["examples"]) == ("passed", "tiny_math: pass", 3)
    assert [stage.name for stage in view.attempts[0].stages] == ["snapshot", "mix"]
    assert (view.attempts[0].attempt.verdict, view.models) == ("pass", ("small-r0001-a1",))
    with store.read() as session:
        held = models.get_model(session, "small-r0001-a1")
        assert held.form and held.form.path == "rounds/0001/attempt-1/export/model.gguf" and held.form.size_bytes > 0
        assert held.model.parents == ["tiny-origin-1"] and held.model.adapter_path == "rounds/0001/attempt-1/train"
        assert models.get_model(session, "tiny-origin-1").model.kind == "origin"
        items = session.exec(select(SnapshotItem)).all()
        assert sorted(item.conversation_id for item in items if item.outcome == "used") == sorted(used)


def test_a_failed_gate_is_tried_again_on_the_same_snapshot_with_more_anchors(
    store: Store, vault: Vault, turn: Turn
) -> None:
    rated(store, vault)
    ask(store, RECIPE + "max_attempts: 3\n")
    run = Quick("fail", "pass")

    class Meanwhile(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            result = run(*given)
            rated(store, vault, ["late"]) if len(run.seen) == 1 else None
            return result

    assert turn(Meanwhile()) == "passed"

    (first, _), (second, context) = run.seen
    assert (context.attempt, second.select) == (2, first.select)
    assert second.mixture.user == pytest.approx(0.4) and second.mixture.general == pytest.approx(0.6)
    assert second.train.learning_rate == first.train.learning_rate / 2
    with store.read() as session:
        assert len(session.exec(select(SnapshotItem)).all()) == 3
        assert [row.verdict for row in rounds.attempts(session, 1)] == ["fail", "pass"]


def test_attempts_end_with_the_recipes_number_of_them(store: Store, vault: Vault, turn: Turn) -> None:
    rated(store, vault)
    ask(store, RECIPE + "max_attempts: 2\n")

    assert turn(Quick("fail", "fail", "pass")) == "failed"


def test_an_inconclusive_gate_is_not_tried_again(store: Store, vault: Vault, turn: Turn) -> None:
    rated(store, vault)
    ask(store, RECIPE + "max_attempts: 2\n")

    assert turn(Quick("inconclusive", "pass")) == "inconclusive"


def test_a_killed_round_goes_on_and_no_finished_stage_runs_again(
    settings: Settings, store: Store, vault: Vault
) -> None:
    rated(store, vault)
    round_id = ask(store)
    with pytest.raises(SystemExit):
        execute(settings, store, vault, claim(store, lease_seconds=-1), Quick(stop_at="snapshot"))
    rated(store, vault, ["late"])

    assert execute(settings, store, vault, claim(store), Quick("pass")) == "passed"

    view = requests.show_round(store, settings, round_id)
    assert [(stage.name, stage.fence) for stage in view.attempts[0].stages] == [("snapshot", 1), ("mix", 2)]
    assert view.counts["examples"] == 3


def test_a_finished_stage_that_runs_again_replaces_what_was_recorded_of_it(
    settings: Settings, store: Store, vault: Vault
) -> None:
    rated(store, vault)
    round_id = ask(store)
    with pytest.raises(SystemExit):
        execute(settings, store, vault, claim(store, lease_seconds=-1), Quick(stop_at="snapshot"))
    manifest = settings.rounds / "0001" / "attempt-1" / "snapshot" / "manifest.json"
    manifest.unlink()
    rated(store, vault, ["late"])

    assert execute(settings, store, vault, claim(store), Quick("pass")) == "passed"

    view = requests.show_round(store, settings, round_id)
    assert [(stage.name, stage.fence) for stage in view.attempts[0].stages] == [("snapshot", 2), ("mix", 2)]
    with store.read() as session:
        assert len(session.exec(select(SnapshotItem).where(SnapshotItem.round_id == round_id)).all()) == 4


def test_a_snapshot_that_a_kill_kept_from_being_recorded_is_recorded_when_it_is_found_again(
    settings: Settings, store: Store, vault: Vault
) -> None:
    rated(store, vault)
    round_id = ask(store)

    class Unheard:
        def started(self, stage: str) -> None:
            pass

        def finished(self, stage: str, manifest: Any, *, ran: bool) -> None:
            raise SystemExit("killed")

    class Retaken(Quick):
        def __call__(self, recipe: Recipe, attempt: Attempt, corpus: Corpus, *_: Any) -> RoundResult:
            (attempt.folder / "snapshot" / "manifest.json").unlink()
            return super().__call__(recipe, attempt, corpus, _[0], Unheard())

    for run in (Quick(stop_at="snapshot"), Retaken("pass")):
        with pytest.raises(SystemExit):
            execute(settings, store, vault, claim(store, lease_seconds=-1), run)
        rated(store, vault, ["late"])

    assert execute(settings, store, vault, claim(store), Quick("pass")) == "passed"

    with store.read() as session:
        assert len(session.exec(select(SnapshotItem).where(SnapshotItem.round_id == round_id)).all()) == 4


def test_a_snapshot_that_is_taken_again_and_says_the_same_keeps_what_the_mixture_left_out(
    settings: Settings, store: Store, vault: Vault
) -> None:
    out = {rated(store, vault)[0]: "over_round_budget"}
    round_id = ask(store)

    class Killed(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            super().__call__(*given)
            raise SystemExit("killed")

    first, again = Killed("pass"), Quick("pass")
    first.left_out = again.left_out = out
    with pytest.raises(SystemExit):
        execute(settings, store, vault, claim(store, lease_seconds=-1), first)
    (settings.rounds / "0001" / "attempt-1" / "snapshot" / "manifest.json").unlink()

    assert execute(settings, store, vault, claim(store), again) == "passed"

    with store.read() as session:
        found = session.exec(select(SnapshotItem).where(SnapshotItem.round_id == round_id)).all()
    assert {item.conversation_id: item.reason for item in found if item.outcome == "left_out"} == out


def test_a_mixture_that_is_made_again_takes_back_what_it_left_out_before(
    settings: Settings, store: Store, vault: Vault
) -> None:
    first, second, _ = rated(store, vault)
    round_id = ask(store)
    before, after = Quick(stop_at="mix"), Quick("pass")
    before.left_out, after.left_out = {first: "over_round_budget"}, {second: "over_round_budget"}
    with pytest.raises(SystemExit):
        execute(settings, store, vault, claim(store, lease_seconds=-1), before)
    (settings.rounds / "0001" / "attempt-1" / "mix" / "manifest.json").unlink()

    assert execute(settings, store, vault, claim(store), after) == "passed"

    with store.read() as session:
        rows = session.exec(select(SnapshotItem).where(SnapshotItem.round_id == round_id)).all()
    # what a model was trained on must be found again when its person is forgotten
    assert {row.conversation_id for row in rows if row.outcome == "left_out"} == {second}


def test_a_round_killed_between_attempts_goes_on_with_the_second(
    settings: Settings, store: Store, vault: Vault
) -> None:
    rated(store, vault)
    ask(store, RECIPE + "max_attempts: 2\n")

    class Killed(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            if given[3].attempt == 2:
                raise SystemExit("killed")
            return super().__call__(*given)

    with pytest.raises(SystemExit):
        execute(settings, store, vault, claim(store, lease_seconds=-1), Killed("fail"))
    run = Quick("the first attempt is not run again", "pass")

    assert execute(settings, store, vault, claim(store), run) == "passed"
    assert [context.attempt for _, context in run.seen] == [2]


def test_a_recipe_may_promote_what_passed_by_itself(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    rated(store, vault)
    ask(store, RECIPE + "promote: automatic\n")

    class Servable(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            result = super().__call__(*given)
            path = given[1].folder / "export" / "served.gguf"
            shutil.copy(gguf(), path)
            return result.model_copy(
                update={"candidate": ServedForm(kind="merged", path=str(path), sha256=artifacts.sha256_of(path))}
            )

    assert execute(sqlite_settings, store, vault, claim(store), Servable("pass")) == "passed"
    with store.read() as session:
        last = models.last_promotion(session)
    assert last is not None and (last.model_id, last.by) == ("small-r0001-a1", "round:1")
    store.close()


def test_a_second_attempt_that_cannot_read_the_first_ones_snapshot_ends_the_round_with_a_sentence(
    store: Store, vault: Vault, turn: Turn
) -> None:
    rated(store, vault)
    round_id = ask(store, RECIPE + "max_attempts: 3\n")

    class Edited(Quick):
        """A run whose snapshots are keyed by something else every time, and take in what came meanwhile."""

        def __call__(self, *given: Any) -> RoundResult:
            (given[1].folder / "snapshot" / "manifest.json").unlink(missing_ok=True)
            rated(store, vault, ["late"])
            return super().__call__(*given)

    assert turn(Edited("fail", "pass")) == "error"

    assert row_of(store, round_id).message == (
        "since round 1 began, a suite, the base model or this program has changed, so its attempts would not read the "
        "same snapshot; ask for a new round"
    )


def test_the_next_rounds_replay_is_what_the_champion_has_seen(store: Store, vault: Vault, turn: Turn) -> None:
    rated(store, vault)
    ask(store)
    turn(Quick("pass"))
    with store.begin() as session:
        session.add(Promotion(model_id="small-r0001-a1", kind="first", by="test"))
    rated(store, vault, ["new one"])
    ask(store)
    run = Quick("pass")

    turn(run)

    assert run.seen[0][1].champion == Baseline(id="small-r0001-a1", form=run.seen[0][1].champion.form)  # type: ignore[union-attr]
    with store.read() as session:
        found = session.exec(select(SnapshotItem).where(SnapshotItem.round_id == 2)).all()
        assert sorted(item.source or "" for item in found if item.outcome == "used").count("replay") >= 2
        assert rounds.get_round(session, 2).counts["champion"] == "small-r0001-a1"
        assert rounds.promoted_rounds(session, "small") == 1


def test_a_round_whose_champion_has_lost_its_file_ends_before_it_trains(
    settings: Settings, store: Store, vault: Vault, turn: Turn
) -> None:
    rated(store, vault)
    ask(store)
    turn(Quick("pass"))
    with store.begin() as session:
        session.add(Promotion(model_id="small-r0001-a1", kind="first", by="test"))
        path = settings.home / models.get_model(session, "small-r0001-a1").form.path  # type: ignore[union-attr]
    path.unlink()
    round_id = ask(store)
    run = Quick("pass")

    assert turn(run) == "error" and not run.seen

    with store.read() as session:
        message = rounds.get_round(session, round_id).message
    gone = path.relative_to(settings.home)  # as seen from the home: where that lies is nobody's business
    assert message.startswith(f"a round needs the champion small-r0001-a1, and its file {gone} is gone: restore it")


def promoted(store: Store, *names: str) -> None:
    with store.begin() as session:
        for name in names:
            session.add(Promotion(model_id=name, kind="promote", by="test"))


def test_a_sequential_round_folds_the_champion_in_as_its_export_merged_it(
    settings: Settings, store: Store, vault: Vault, turn: Turn
) -> None:
    rated(store, vault)
    ask(store)
    turn(Quick("pass"))
    promoted(store, "small-r0001-a1")
    folder = settings.rounds / "0001" / "attempt-1"
    with store.begin() as session:
        row = models.get_model(session, "small-r0001-a1").model
        row.adapter_path = "rounds/0001/attempt-1/train/adapter"
        session.add(row)
    said = {"scale": 0.5, "merged_onto": "nf4", "whatever": "an earlier version said besides"}
    manifest = artifacts.Manifest(stage="export", input="", output=said, files={}, seconds=1, finished_at=1)
    (folder / "export" / "manifest.json").write_text(manifest.model_dump_json())
    ask(store)
    run = Quick("pass")

    assert turn(run) == "passed"

    adapter = Adapter(folder=str(folder / "train" / "adapter"), scale=0.5, merged_onto="nf4")
    assert run.seen[0][1].lineage == (adapter,)


@pytest.mark.parametrize(
    ("tainted", "sampler"),
    [((), "small-r0002-a1"), (("small-r0002-a1",), "small-r0001-a1"), (("small-r0001-a1", "small-r0002-a1"), None)],
)
def test_fresh_answers_come_from_no_model_that_learned_from_an_erased_person(
    store: Store, vault: Vault, turn: Turn, tainted: Sequence[str], sampler: str | None
) -> None:
    rated(store, vault)
    for name in ("small-r0001-a1", "small-r0002-a1"):
        ask(store)
        turn(Quick("pass"))
        promoted(store, name)
    with store.begin() as session:
        for name in tainted:
            row = models.get_model(session, name).model
            row.tainted_at = tables.now()
            session.add(row)
    ask(store)
    run = Quick("pass")

    assert turn(run) == "passed"

    context = run.seen[0][1]
    assert (context.sampler and context.sampler.id) == sampler
    assert context.champion is not None and context.champion.id == "small-r0002-a1"


SEQUENTIAL = RECIPE + "lineage: sequential\n"


@pytest.mark.parametrize(
    ("tainted", "parents", "folded"),
    [
        ((), ["tiny-origin-1", "small-r0001-a1", "small-r0002-a1"], ["0001", "0002"]),
        (("small-r0002-a1",), ["tiny-origin-1", "small-r0001-a1"], ["0001"]),
        (("small-r0001-a1", "small-r0002-a1"), ["tiny-origin-1"], []),
    ],
)
def test_a_sequential_round_trains_on_nothing_that_learned_from_an_erased_person(
    store: Store, vault: Vault, turn: Turn, tainted: Sequence[str], parents: list[str], folded: list[str]
) -> None:
    rated(store, vault)
    for name in ("small-r0001-a1", "small-r0002-a1"):
        ask(store, SEQUENTIAL)
        turn(Quick("pass"))
        promoted(store, name)
    _taint(store, *tainted)
    ask(store, SEQUENTIAL)
    run = Quick("pass")

    assert turn(run) == "passed"

    context = run.seen[0][1]
    assert [Path(adapter.folder).parts[-3] for adapter in context.lineage] == folded
    assert context.passed_over == tainted and context.champion is not None
    with store.read() as session:
        made = models.get_model(session, "small-r0003-a1").model
        assert (made.parents, made.tainted_at) == (parents, None)


def _taint(store: Store, *names: str) -> None:
    with store.begin() as session:
        for name in names:
            row = models.get_model(session, name).model
            row.tainted_at = tables.now()
            session.add(row)


def test_a_sequential_round_ends_when_somebody_in_its_base_is_forgotten(
    settings: Settings, store: Store, vault: Vault, turn: Turn
) -> None:
    doomed = add_person(store, vault, vault.person_hash("app", "ann"))
    cluster = next(name for name in map(str, range(60)) if vault.part_of(name) == "train")
    add_rated(store, vault, doomed, "q", "a", cluster=cluster)
    ask(store, SEQUENTIAL)
    turn(Quick("pass"))
    promoted(store, "small-r0001-a1")
    rated(store, vault)
    round_id = ask(store, SEQUENTIAL)

    class Forgetful(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            assert forget(store, vault, "app", "ann").cancelled == (round_id,)
            return super().__call__(*given)

    assert turn(Forgetful("pass")) == "cancelled"
    rated(store, vault)
    ask(store)
    assert turn(Quick("pass")) == "passed"


def test_what_was_trained_on_top_of_a_tainted_model_is_tainted_from_birth(
    store: Store, vault: Vault, turn: Turn
) -> None:
    rated(store, vault)
    ask(store, SEQUENTIAL)
    turn(Quick("pass"))
    promoted(store, "small-r0001-a1")
    ask(store, SEQUENTIAL)

    class Tainted(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            _taint(store, "small-r0001-a1")
            return super().__call__(*given)

    turn(Tainted("pass"))

    with store.read() as session:
        assert models.get_model(session, "small-r0002-a1").model.tainted_at is not None


def test_what_goes_wrong_ends_the_round_with_its_sentence(store: Store, vault: Vault, turn: Turn) -> None:
    round_id = ask(store)

    def broken(*given: Any) -> RoundResult:
        raise RecipeError("the gate on suite 'tiny_math' has a floor of 99.0, but the origin itself measures 80.0")

    assert turn(broken) == "error"
    with store.read() as session:
        assert rounds.get_round(session, round_id).message.startswith("the gate on suite")
        assert [row.state for row in session.exec(select(tables.Attempt)).all()] == ["error"]


@pytest.mark.parametrize("dead", [False, True])
def test_an_attempt_that_was_killed_ends_with_its_round(store: Store, settings: Settings, dead: bool) -> None:
    round_id = ask(store)
    held = claim(store, lease_seconds=-1 if dead else 60)
    with held.writing() as session:
        session.add(tables.Attempt(round_id=round_id, number=1, folder="rounds/0001/attempt-1"))

    requests.cancel_round(store, round_id, "test")
    if not dead:
        assert held.finish("cancelled", "round 1 was cancelled", tables.now())

    (view,) = requests.show_round(store, settings, round_id).attempts
    assert (view.attempt.state, view.attempt.reasons) == ("cancelled", ["round 1 was cancelled"])
    assert view.attempt.finished_at is not None


def test_what_a_later_attempt_has_room_for_counts_as_used(store: Store, vault: Vault, turn: Turn) -> None:
    first, second, third = rated(store, vault)
    ask(store, RECIPE + "max_attempts: 2\n")
    left_out = [
        {first: "over_replay_share", second: "over_replay_share"},
        {second: "over_replay_share", third: "over_replay_share"},
    ]

    class Crowded(Quick):
        def __call__(self, *given: Any) -> RoundResult:
            self.left_out = left_out[given[3].attempt - 1]
            return super().__call__(*given)

    turn(Crowded("fail", "pass"))

    with store.read() as session:
        items = {item.conversation_id: (item.outcome, item.reason) for item in session.exec(select(SnapshotItem)).all()}
    assert items == {first: ("used", "train"), second: ("left_out", "over_replay_share"), third: ("used", "train")}


def test_an_erased_person_ends_the_round_as_cancelled(store: Store, vault: Vault, turn: Turn) -> None:
    round_id = ask(store)

    def erased(*given: Any) -> RoundResult:
        with store.begin() as session:
            row = rounds.get_round(session, round_id)
            row.cancel_requested, row.message = True, "a person whom this round used was forgotten"
            session.add(row)
        raise Cancelled("2 messages of this round are gone")

    assert turn(erased) == "cancelled"
    assert row_of(store, round_id).message == "a person whom this round used was forgotten"


@pytest.mark.parametrize("only_voted", [False, True])
def test_who_is_forgotten_while_the_snapshot_reads_is_not_learned_from(
    store: Store, vault: Vault, turn: Turn, only_voted: bool
) -> None:
    doomed = add_person(store, vault, vault.person_hash("app", "ann"))
    other = add_person(store, vault, "bob")
    cluster = next(name for name in map(str, range(60)) if vault.part_of(name) == "train")
    message = _rated_answer(store, add_rated(store, vault, other if only_voted else doomed, "q", "a", cluster=cluster))
    with store.begin() as session:
        rater = vault.person_hash("app", "ann")
        session.add(tables.Vote(app_id="app", message_hmac=message, rater_hmac=rater, value=1))
    round_id = ask(store)

    class Forgetful(Quick):
        """Its snapshot is taken, and not yet recorded, when somebody in it is forgotten."""

        def __call__(self, *given: Any) -> RoundResult:
            *others, journal = given

            class Late:
                started = journal.started

                def finished(self, stage: str, manifest: Any, *, ran: bool) -> None:
                    if stage == "snapshot":
                        forget(store, vault, "app", "ann")
                    journal.finished(stage, manifest, ran=ran)

            return super().__call__(*others, Late())

    assert turn(Forgetful("pass")) == "cancelled"
    assert "was forgotten while round 1 took its snapshot" in row_of(store, round_id).message
    with store.read() as session:
        assert session.exec(select(SnapshotItem)).all() == [] and session.exec(select(tables.Model)).all() == []


def _rated_answer(store: Store, conversation: str) -> str:
    """The keyed client id of a conversation's answer."""
    with store.read() as session:
        query = select(tables.Message.client_hmac).where(tables.Message.conversation_id == conversation)
        return session.exec(query.where(tables.Message.role == "assistant")).one()


# ---- over HTTP --------------------------------------------------------------------------------------------


def test_rounds_over_http(client: TestClient) -> None:
    made = client.post("/v1/rounds", json={"recipe": RECIPE})
    assert (made.status_code, made.json()["state"], made.json()["recipe"]) == (201, "requested", "small")
    assert client.post("/v1/rounds", json={"recipe": "tiny"}).json()["id"] == 2
    assert [one["id"] for one in client.get("/v1/rounds").json()] == [2, 1]
    assert client.post("/v1/rounds/1/cancel").json()["state"] == "cancelled"
    shown = client.get("/v1/rounds/1").json()
    assert (shown["state"], shown["attempts"], shown["progress"]) == ("cancelled", [], None)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("POST", "/v1/rounds", {"recipe": "nowhere"}, 404, "no recipe is called 'nowhere'"),
        ("POST", "/v1/rounds", {"recipe": "name: [x"}, 422, "not valid YAML"),
        ("POST", "/v1/rounds", {"recipe": RECIPE + "epochs: 3"}, 422, "does not act on the key `epochs`"),
        ("GET", "/v1/rounds/7", None, 404, "no round has the number 7"),
        ("POST", "/v1/rounds/7/cancel", None, 404, "no round has the number 7"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_so(
    client: TestClient, method: str, path: str, body: Any, status: int, sentence: str
) -> None:
    answer = client.request(
        method, path, content=json.dumps(body) if body else None, headers={"content-type": "application/json"}
    )

    assert answer.status_code == status and sentence in answer.json()["detail"]


def test_a_running_round_shows_its_progress_over_http(client: TestClient, settings: Settings, store: Store) -> None:
    round_id = ask(store)
    held = claim(store)
    folder = settings.rounds / "0001" / "attempt-1" / "train.1.tmp"
    folder.mkdir(parents=True)
    progress.report_progress(folder, "train", 3, 10, loss=0.5)
    with held.writing() as session:
        session.add(tables.Attempt(round_id=round_id, number=1, folder="rounds/0001/attempt-1"))

    shown = client.get(f"/v1/rounds/{round_id}").json()

    assert (shown["progress"]["done"], shown["progress"]["loss"]) == (3, 0.5)
    assert shown["progress"]["time"] <= time.time()
