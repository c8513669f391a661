"""Carries a claimed round out: pins what it compares with, runs its attempts, records what they did under the fence.

var/rounds/0007/attempt-1/recipe.json      the recipe of this attempt: phase and remedies applied
                          snapshot/ mix/ train/ export/ evaluate/ gate/ report/
"""

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import structlog
from sqlmodel import Session

from pipelines import artifacts, remedies
from pipelines.context import RoundContext, RoundResult, RunRound
from pipelines.errors import Cancelled, Conflict, MissingDependency, NoSpace, PerennialError
from pipelines.feedback.reasons import MIXTURE as MIXTURE_REASONS
from pipelines.recipe import Recipe
from pipelines.records import FeedbackFate, SnapshotItem
from pipelines.stages.mix import LeftOut
from service.corpus import StoreCorpus
from service.rounds.automatic import objection_to_promoting, promote_passed
from service.rounds.left import note_forecast, time_left
from service.rounds.pins import Pins, pin, round_context
from service.rounds.requests import Claim, recipe_of
from service.settings import Settings
from service.store import fates, models, rounds, tables
from service.store.session import Store
from service.vault import Vault

_STATES: Mapping[str, str] = {"pass": "passed", "fail": "failed", "inconclusive": "inconclusive", "skipped": "skipped"}
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def execute(settings: Settings, store: Store, vault: Vault, claim: Claim, run: RunRound | None = None) -> str:
    """Run a claimed round to its end and give its final state; a round that was started goes on where it stopped.

    `run` is pipelines.round.run_round, loaded only here: its stages reach for lm-eval and the like. Errors of
    pipelines.errors end the round with their sentence, all but NoSpace, which is raised; others end it too, and are raised.
    """
    try:
        run = run or _spine()
        row, pins = pin(claim)
        recipe = recipe_of(row).phase(pins.promoted)
        result = _attempts(run, settings, store, vault, claim, recipe, pins)
        state, message = _STATES[result.outcome], " ".join(result.reasons)
    except Cancelled as error:
        state, message = "cancelled", str(error)
    except NoSpace:
        raise
    except PerennialError as error:
        state, message = "error", settings.without_paths(str(error))
    except Exception as error:
        claim.finish("error", f"{type(error).__name__}: see the log of the round", tables.now())
        raise
    automatic = state == "passed" and recipe.promote == "automatic"
    objection = objection_to_promoting(store, claim.round_id) if automatic else None
    if not claim.finish(state, f"{message} {objection}" if objection else message, tables.now()):
        return "lost"
    _log.info("round_ended", round=claim.round_id, state=state)
    if automatic and objection is None:
        promote_passed(settings, store, claim.round_id)
    return state


def _spine() -> RunRound:
    try:
        return cast(RunRound, importlib.import_module("pipelines.round").run_round)
    except ImportError as error:
        missing = (
            f"rounds need the package '{error.name}', which is not installed: pip install 'perennial-service[all]'"
        )
        raise MissingDependency(missing) from error


def _attempts(
    run: RunRound, settings: Settings, store: Store, vault: Vault, claim: Claim, recipe: Recipe, pins: Pins
) -> RoundResult:
    """Attempts until one does not fail, at most the recipe's number of them; each failure changes the next recipe."""
    number = 1
    while True:
        attempt = _Attempt(settings, claim, number)
        recipe = attempt.keep_recipe(recipe)
        result = attempt.recorded()
        if result is None:
            corpus, context = _corpus(store, vault, pins), round_context(settings, store, claim, pins, number)
            result = attempt.run(run, recipe, corpus, context)
            attempt.record(result, recipe, pins)
        if result.outcome != "fail" or number >= recipe.max_attempts:
            return result
        recipe = remedies.next_recipe(recipe, result.verdict.checks if result.verdict else (), number)
        number += 1


def _corpus(store: Store, vault: Vault, pins: Pins) -> StoreCorpus:
    with store.read() as session:
        seen = frozenset(rounds.seen_conversations(session, pins.lineage))
    return StoreCorpus(store, vault, seen)


class _Attempt:
    """One try: its folder, its row, and the journal of its stages (the Journal of pipelines.round)."""

    def __init__(self, settings: Settings, claim: Claim, number: int) -> None:
        self._settings, self._claim, self._number = settings, claim, number
        self._folder = Path("rounds") / f"{claim.round_id:04d}" / f"attempt-{number}"
        self._path = settings.home / self._folder
        self._path.mkdir(parents=True, exist_ok=True)
        self._recipe: Recipe | None = None
        self._id = self._row_id()
        if number > 1:
            self._share_snapshot()

    def keep_recipe(self, recipe: Recipe) -> Recipe:
        """This attempt's recipe: the given one if it starts now, the one it started with if it goes on."""
        path = self._path / "recipe.json"
        if path.is_file():
            recipe = Recipe.model_validate_json(path.read_text(encoding="utf-8"))
        else:
            artifacts.write_atomic(path, recipe.model_dump_json(indent=1))
        self._recipe = recipe
        return recipe

    def recorded(self) -> RoundResult | None:
        """How this attempt ended, if an earlier claim recorded that; None if it has still to run to its end."""
        with self._claim.store.read() as session:
            row = session.get_one(tables.Attempt, self._id)
        if row.verdict is None:
            return None
        gate = artifacts.read_manifest(self._path / "gate")
        return RoundResult.model_validate(
            {"outcome": row.verdict, "reasons": row.reasons, "counts": {}, "verdict": gate.output if gate else None}
        )

    def run(self, run: RunRound, recipe: Recipe, corpus: StoreCorpus, context: RoundContext) -> RoundResult:
        attempt = artifacts.Attempt(self._path, self._claim.fence, self._claim.check)
        try:
            with artifacts.naming_full_disks(self._path):
                return run(recipe, attempt, corpus, context, self)
        except PerennialError as error:
            sentence = self._settings.without_paths(str(error))
            self._fail("cancelled" if isinstance(error, Cancelled) else "error", sentence)
            raise

    def started(self, stage: str) -> None:
        with self._claim.writing() as session:
            rounds.change_round(session, self._claim.round_id, self._claim.fence, stage=stage)
            done = {row.name for row in rounds.stages(session, self._id)}
        left = time_left(self._path, done, stage).total
        told = {} if left is None else {"seconds_left": round(left)}
        _log.info("stage_started", round=self._claim.round_id, attempt=self._number, stage=stage, **told)

    def finished(self, stage: str, manifest: artifacts.Manifest, *, ran: bool) -> None:
        """Record a stage once, or once more if it ran again: after an update, or an edit, it reads something else."""
        with self._claim.writing(lock="erasure") as session:
            if ran or rounds.find_stage(session, self._id, stage) is None:
                rounds.put_stage(session, self._id, stage, manifest.digest, self._claim.fence, manifest.seconds)
            self._record_selection(session, stage, manifest)
        if stage in ("snapshot", "train") and self._recipe is not None:
            with self._claim.store.read() as session:
                note_forecast(session, self._settings, self._recipe, self._path)
        _log.info(
            "stage_finished", round=self._claim.round_id, stage=stage, seconds=round(manifest.seconds, 1), ran=ran
        )

    def record(self, result: RoundResult, recipe: Recipe, pins: Pins) -> None:
        """Write the attempt's verdict and the models it made, in one transaction under the fence."""
        with self._claim.writing() as session:
            if result.origin is not None:
                models.add_model(
                    session,
                    self._settings.home,
                    result.origin.id,
                    result.origin.form,
                    kind="origin",
                    recipe_name=recipe.name,
                )
            if result.candidate is not None and result.origin is not None:
                parents = (
                    [result.origin.id] if recipe.lineage == "from_origin" else list(pins.lineage) or [result.origin.id]
                )
                models.add_model(
                    session,
                    self._settings.home,
                    f"{recipe.name}-r{self._claim.round_id:04d}-a{self._number}",
                    result.candidate,
                    kind="candidate",
                    recipe_name=recipe.name,
                    round_id=self._claim.round_id,
                    parents=parents,
                    verdict=result.outcome,
                    reasons=list(result.reasons),
                    adapter_path=models.stored_path(self._settings.home, result.adapter),
                )
            row = session.get_one(tables.Attempt, self._id)
            row.state, row.verdict, row.finished_at = "finished", result.outcome, tables.now()
            row.reasons = list(result.reasons)
            session.add(row)
            turn = rounds.get_round(session, self._claim.round_id)
            turn.counts = {**turn.counts, **result.counts}
            session.add(turn)

    def _row_id(self) -> int:
        with self._claim.writing() as session:
            known = [row for row in rounds.attempts(session, self._claim.round_id) if row.number == self._number]
            row = (
                known[0]
                if known
                else tables.Attempt(round_id=self._claim.round_id, number=self._number, folder=str(self._folder))
            )
            row.state = "finished" if row.verdict else "running"
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    def _fail(self, state: str, reason: str) -> None:
        """Note why the attempt stopped, if the round is still ours."""
        try:
            with self._claim.writing() as session:
                row = session.get_one(tables.Attempt, self._id)
                row.state, row.reasons, row.finished_at = state, [reason], tables.now()
                session.add(row)
        except Cancelled:
            _log.warning("claim_lost", round=self._claim.round_id, fence=self._claim.fence)

    def _record_selection(self, session: Session, stage: str, manifest: artifacts.Manifest) -> None:
        """The snapshot's decisions, on feedback too; what the mixture then left out of them, and fresh pairs.

        For a stage that is found again as well: a kill may have come between its end and its record.
        """
        folder = self._path / stage
        if stage == "snapshot":
            known = rounds.get_snapshot(session, self._claim.round_id)
            if known is None or known.digest != manifest.digest:
                self._record_snapshot(session, folder, manifest)
        if stage == "prefer":
            fates.mark_resampled(session, self._claim.round_id, manifest.output.get("replaced", ()))
        if stage == "mix":
            left_out = artifacts.read_records(folder / "left_out.jsonl", LeftOut)
            reasons = {one.conversation: one.reason for one in left_out}
            # what one attempt trained on is used, whatever the others did: the models of both may be kept
            rounds.take_back_in(session, self._claim.round_id, MIXTURE_REASONS, reasons)
            if self._number == 1:
                rounds.leave_out(session, self._claim.round_id, reasons)

    def _record_snapshot(self, session: Session, folder: Path, manifest: artifacts.Manifest) -> None:
        """What the snapshot decided, in place of what an earlier run of it said: models are traced by these rows."""
        if self._number > 1:
            raise Conflict(
                f"since round {self._claim.round_id} began, a suite, the base model or this program has changed, so its "
                "attempts would not read the same snapshot; ask for a new round"
            )
        items = list(artifacts.read_records(folder / "items.jsonl", SnapshotItem))
        rounds.put_snapshot(session, self._claim.round_id, manifest.digest, manifest.output, items)
        fates.put_fates(session, self._claim.round_id, _read_fates(folder / "feedback.jsonl"))
        rounds.refuse_erased(session, self._claim.round_id)

    def _share_snapshot(self) -> None:
        """Every attempt of a round reads the same snapshot."""
        first, mine = self._path.parent / "attempt-1" / "snapshot", self._path / "snapshot"
        if mine.exists():
            return
        temporary = self._path / "snapshot.copy"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(first, temporary)
        temporary.rename(mine)


def _read_fates(path: Path) -> list[FeedbackFate]:
    """What the snapshot made of feedback; nothing where its recipe asked for none."""
    if not path.is_file():
        return []
    return list(artifacts.read_records(path, FeedbackFate))
