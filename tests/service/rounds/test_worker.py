"""The worker and its children, with real processes: killed at any moment, nothing is lost and nothing runs twice."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psutil
import pytest
from sqlmodel import select
from structlog.testing import capture_logs

from pipelines import stages as spine
from service.rounds import requests
from service.rounds.child import read_settings, settings_record
from service.rounds.requests import Claim, RoundView
from service.rounds.worker import MAX_CRASHES, RoundProcess, run_worker
from service.settings import Settings
from service.store.session import Store, open_store
from service.store.tables import Attempt, Conversation, Stage
from service.vault import Vault, open_vault
from tests.factories import conversation, put
from tests.service.rated import START, add_person, add_rated

RECIPE = """
name: small
base: {model: models/tiny}
mixture: {user: 0.9, general: 0.1}
min_examples: 5
train: {method: lora, epochs: 1, batch: {accumulate: 2}, lora: {r: 2, alpha: 4}, max_tokens: 256, early_stopping: null}
evaluate: {suites: [tiny_kmmlu], items: 200, heldout: 0}
gates: [{suite: tiny_kmmlu, margin: {champion: 3.0, origin: 3.0}}]
"""
SKIPPED = RECIPE.replace("min_examples: 5", "min_examples: 1000")


def ask(store: Store, recipe: str = RECIPE) -> int:
    round_id = requests.request_round(store, recipe, "test")
    assert round_id is not None
    return round_id


def claim(store: Store, lease_seconds: float = 60) -> Claim:
    claimed = requests.claim_round(store, "host:1:a", lease_seconds)
    assert claimed is not None
    return claimed[1]


def wait_for(seconds: float, met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_settings_reach_the_child_as_they_are(settings: Settings, with_settings: Callable[..., Settings]) -> None:
    given = with_settings(master_key="secret", allow_degraded_names=True)

    assert read_settings(json.loads(json.dumps(settings_record(given)))) == given


def test_a_round_with_too_few_examples_is_skipped_with_its_counts(
    settings: Settings, store: Store, vault: Vault
) -> None:
    add_rated(store, vault, add_person(store, vault), "q", "an answer")
    round_id = ask(store, SKIPPED)

    run_worker(settings, once=True, stop=threading.Event(), chores=())

    row = requests.show_round(store, settings, round_id).round
    assert row.state == "skipped" and "the recipe asks for 1000" in row.message
    assert row.counts["clean"] == 1


def test_a_scheduled_round_with_too_little_new_data_is_skipped_with_its_counts(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    text = RECIPE + 'schedule: {cron: "0 3 1 * *", min_new_examples: 9}\n'
    requests.request_round(store, text, "schedule:small", schedule="small", slot=START)
    open_vault(sqlite_settings, store)

    run_worker(sqlite_settings, once=True, stop=threading.Event(), chores=())

    (row,) = requests.list_rounds(store)
    assert (row.state, row.message) == ("skipped", "skipped: 0 new examples, and the schedule asks for at least 9")
    store.close()


def test_a_child_ends_when_its_worker_is_gone(settings: Settings, store: Store) -> None:
    ask(store)
    with RoundProcess(settings, claim(store)) as running:
        assert running._child.process.stdin is not None
        running._child.process.stdin.close()  # what the system does when the worker is killed with -9

        assert running._child.process.wait(300) == -signal.SIGKILL  # not the end of its work, which would be 0


def test_a_cancelled_round_is_killed_within_seconds_and_is_no_crash(settings: Settings, store: Store) -> None:
    round_id = ask(store)
    with capture_logs() as lines, RoundProcess(settings, claim(store)) as running:
        os.kill(running.pid, signal.SIGSTOP)  # or it may see that it is cancelled before its worker does
        requests.cancel_round(store, round_id, "test")

        wait_for(300, running.ended)
        assert not alive(running.pid)
    assert requests.show_round(store, settings, round_id).round.state == "cancelled"
    assert [line["event"] for line in lines if line["event"].startswith("round_")].count("round_stopped") == 1
    assert all(line["log_level"] == "info" for line in lines), lines


def test_a_child_whose_lease_was_lost_is_killed_and_writes_nothing(settings: Settings, store: Store) -> None:
    round_id = ask(store)
    old = claim(store, lease_seconds=-1)
    new = claim(store)
    with RoundProcess(settings, old) as running:
        wait_for(300, running.ended)

        assert not alive(running.pid)
    row = requests.show_round(store, settings, round_id).round
    assert (row.state, row.fence) == ("running", new.fence)


def test_a_child_that_recorded_the_end_is_left_to_finish_by_itself(settings: Settings, store: Store) -> None:
    ask(store)
    with RoundProcess(settings, held := claim(store)) as running:
        os.kill(running.pid, signal.SIGSTOP)
        assert held.finish("passed", "", START)  # as the child does, before it promotes

        running._heart.join(60)
        assert not running._heart.is_alive() and alive(running.pid)


def test_a_child_that_keeps_crashing_ends_the_round_with_an_error(settings: Settings, store: Store) -> None:
    round_id = ask(store)
    for _ in range(MAX_CRASHES):
        running = RoundProcess(settings, claim(store))
        os.kill(running.pid, signal.SIGKILL)
        wait_for(300, running.ended)

    row = requests.show_round(store, settings, round_id).round
    assert row.state == "error" and "ended with SIGKILL 3 times in one stage" in row.message


def test_crashes_in_different_stages_do_not_add_up(settings: Settings, store: Store) -> None:
    round_id = ask(store)
    counts = []
    for number in range(4):
        held = claim(store, lease_seconds=-1)
        counts.append(held.count_crash())
        with held.writing() as session:
            attempt = session.exec(select(Attempt)).first() or Attempt(round_id=round_id, number=1, folder="x")
            session.add(attempt)
            session.flush()
            if number != 1:
                session.add(
                    Stage(attempt_id=attempt.id or 0, name=f"stage {number}", digest="", fence=number, seconds=1)
                )

    assert counts == [1, 1, 2, 1]


def test_an_outage_of_the_database_is_not_counted_as_a_crash(settings: Settings, store: Store) -> None:
    round_id = ask(store)
    for _ in range(MAX_CRASHES):
        running = RoundProcess(settings, claim(store))
        running._lease_lost.set()  # what the heartbeat does when it could not renew for a whole lease
        running._child.close()
        assert running.ended()

    row = requests.show_round(store, settings, round_id).round
    assert (row.state, row.counts.get("crashes")) == ("running", None)


# ---- the whole wheel, killed three times --------------------------------------------------------------------


@contextmanager
def worker(settings: Settings) -> Iterator[psutil.Process]:
    process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(settings,))
    process.start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.join(30)


STAGES = tuple(stage.name for stage in spine.STAGES)


def child_of(process: psutil.Process) -> psutil.Process:
    return next(one for one in process.children() if "service.rounds.child:turn" in one.cmdline())


def finished(view: RoundView) -> dict[str, tuple[int, str]]:
    """The stages of the first attempt that finished, with the fence under which they ran and their digest."""
    return {stage.name: (stage.fence, stage.digest) for stage in view.attempts[0].stages}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_round_killed_at_three_stages_is_finished_and_no_finished_stage_runs_again(sqlite_settings: Settings) -> None:
    settings = replace(sqlite_settings, allow_degraded_names=True)
    store = open_store(settings)
    vault = open_vault(settings, store)
    people = [add_person(store, vault, name) for name in ("ann", "bob", "cho")]
    for number in range(12):
        add_rated(store, vault, people[number % 3], f"What is the colour of stone {number}?", "It is blue.")
    round_id = ask(store)

    def look() -> RoundView:
        return requests.show_round(store, settings, round_id)

    def killed_in(stage: str, victim: Callable[[], psutil.Process]) -> dict[str, tuple[int, str]]:
        """Kill once the stage runs, or a later one, and give the stages that had finished by then."""
        wait_for(400, lambda: stage in STAGES[: STAGES.index(look().round.stage or STAGES[0]) + 1])
        process = victim()
        family = [process, *process.children(recursive=True)]
        process.kill()
        wait_for(300, lambda: not any(alive(one.pid) for one in family))
        assert look().round.state == "running", "the round ended before the kill"
        return finished(look())

    with worker(settings) as first:
        put(store, vault, conversation("How are you today?", "Fine, thank you.", consent=True))
        before = [killed_in("train", lambda: child_of(first))]
        wait_for(300, lambda: look().round.fence == 2)
        before.append(killed_in("export", lambda: first))
    with worker(settings) as third:
        wait_for(300, lambda: look().round.fence == 3)
        before.append(killed_in("evaluate", lambda: child_of(third)))
        wait_for(400, lambda: look().round.state not in ("requested", "running"))

    view = look()
    assert view.round.state in ("passed", "inconclusive"), view.round.message  # which one is for the gate to say
    stages = finished(view)
    assert list(stages) == list(STAGES) and view.round.fence == 4
    for claim_number, earlier in enumerate(before, 1):
        assert earlier.items() <= stages.items(), "a finished stage ran again"
        later = {name: fence for name, (fence, _) in stages.items() if name not in earlier}
        assert min(later.values()) > claim_number
    assert not list(settings.rounds.glob("*/*/scratch")) and not list(settings.rounds.glob("*/*/*.tmp"))
    assert view.attempts[0].reports and view.models
    with store.read() as session:
        late = [row.curated_at for row in session.exec(select(Conversation)).all() if row.curated_at]
    assert view.round.finished_at and len(late) == 1 and late[0] < view.round.finished_at, (
        "curation waited for the round"
    )
    store.close()
