"""Promotion and rollback: what is refused, what is recorded, and that two at once leave one champion."""

import os
import signal
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import select

from pipelines.errors import ArtifactError, Conflict, InputError, NotFound, PerennialError, Refused
from service.engine.supervisor import Supervisor
from service.models.promotion import promote, rollback
from service.settings import Settings
from service.store import models
from service.store.session import Store, open_store
from service.store.tables import Audit, Model, Promotion
from tests.service.served import add_model, add_round, add_rows, crown

# The rules are the same on both databases; where each case loads a model in a child, one is enough.
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


@pytest.fixture
def home(store: Store, settings: Settings) -> Path:
    """A home whose champion is the origin, with one round judged against it."""
    add_model(store, settings, "origin", kind="origin", verdict=None)
    crown(store, "origin")
    add_round(store, counts={"champion": "origin"})
    return settings.home


def champion(store: Store) -> str | None:
    with store.read() as session:
        return models.champion_id(session)


@pytest.mark.usefixtures("home")
def test_a_candidate_that_passed_becomes_champion_and_the_link_follows(store: Store, settings: Settings) -> None:
    add_model(store, settings, "better", round_id=1)
    row = promote(store, settings, "better", "key:1")
    assert (champion(store), row.previous_id, row.kind, row.override_reason) == ("better", "origin", "promote", None)
    assert os.readlink(settings.home / "champion") == "models/better"


@on_sqlite
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"verdict": "fail", "reasons": ["tiny_math: 4 points lost: fail"]},
            "its gate said fail; tiny_math: 4 points lost",
        ),
        ({"verdict": "inconclusive"}, "its gate said inconclusive"),
        ({"verdict": None}, "no gate has judged it yet"),
        ({"tainted_at": datetime(2026, 11, 1, tzinfo=UTC)}, "learned from a person who was erased on 2026-11-01"),
        ({"kind": "origin", "verdict": None}, "no gate has judged"),
    ],
)
def test_what_the_gate_did_not_pass_needs_an_override_with_a_reason(
    store: Store, settings: Settings, values: dict[str, object], said: str
) -> None:
    add_model(store, settings, "doubtful", **{"round_id": 1, **values})
    with pytest.raises(Refused, match=said):
        promote(store, settings, "doubtful", "key:1")
    with pytest.raises(InputError, match="needs a reason"):
        promote(store, settings, "doubtful", "key:1", override_reason="  ")
    row = promote(store, settings, "doubtful", "key:1", override_reason=" we looked at all of it ")
    assert row.override_reason == "we looked at all of it"
    with store.read() as session:
        audit = session.exec(select(Audit).where(Audit.subject == "doubtful")).one()
    assert audit.actor == "key:1" and said.split(";")[0] in str(audit.detail)


@on_sqlite
@pytest.mark.usefixtures("home")
def test_a_candidate_judged_against_an_earlier_champion_is_stale(store: Store, settings: Settings) -> None:
    add_model(store, settings, "one", round_id=1)
    add_model(store, settings, "two", round_id=1)
    promote(store, settings, "one", "test")
    with pytest.raises(Refused, match="compared it with 'origin', but the champion is now 'one'"):
        promote(store, settings, "two", "test")


@on_sqlite
@pytest.mark.usefixtures("home")
def test_an_override_that_was_not_needed_is_not_recorded_as_one(store: Store, settings: Settings) -> None:
    add_model(store, settings, "fine", round_id=1)
    assert promote(store, settings, "fine", "test", override_reason="just in case").override_reason is None


@on_sqlite
def test_the_first_champion_may_be_the_origin_but_not_an_ungated_candidate(store: Store, settings: Settings) -> None:
    add_model(store, settings, "ungated", verdict=None)
    with pytest.raises(Refused, match="no gate"):
        promote(store, settings, "ungated", "test")
    add_model(store, settings, "origin", kind="origin", verdict=None)
    assert promote(store, settings, "origin", "test").kind == "first"


@on_sqlite
def test_the_first_candidate_promoted_leaves_its_origin_to_roll_back_to(store: Store, settings: Settings) -> None:
    add_model(store, settings, "origin", kind="origin", verdict=None)
    add_round(store, counts={"champion": None})
    add_model(store, settings, "candidate", round_id=1, parents=["origin"])
    row = promote(store, settings, "candidate", "test")
    assert (row.previous_id, row.kind, champion(store)) == ("origin", "promote", "candidate")
    assert rollback(store, settings, "test").model_id == "origin"


@pytest.mark.usefixtures("home")
def test_the_champion_cannot_be_promoted_again_nor_a_model_that_does_not_exist(
    store: Store, settings: Settings
) -> None:
    with pytest.raises(Refused, match="the champion already"):
        promote(store, settings, "origin", "test", override_reason="again")
    with pytest.raises(NotFound, match="no model is called 'nobody'; the newest are origin"):
        promote(store, settings, "nobody", "test")


@on_sqlite
def test_rollback_walks_back_through_the_champions_one_by_one(store: Store, settings: Settings) -> None:
    for name in ("origin", "a", "b"):
        add_model(store, settings, name, kind="origin" if name == "origin" else "candidate")
        crown(store, name)
    assert [rollback(store, settings, "test").model_id for _ in range(2)] == ["a", "origin"]
    with pytest.raises(Refused, match="no earlier champion"):
        rollback(store, settings, "test")
    promote(store, settings, "b", "test", override_reason="it was right after all")
    assert rollback(store, settings, "test").model_id == "origin"
    with store.read() as session:
        assert [row.kind for row in models.promotions(session)][3:] == ["rollback", "rollback", "promote", "rollback"]


@on_sqlite
def test_rollback_to_a_model_that_learned_from_an_erased_person_needs_a_reason(
    store: Store, settings: Settings
) -> None:
    add_model(store, settings, "old", tainted_at=datetime(2026, 11, 1, tzinfo=UTC))
    add_model(store, settings, "new")
    crown(store, "old")
    crown(store, "new", "old")
    with pytest.raises(Refused, match="erased"):
        rollback(store, settings, "test")
    assert rollback(store, settings, "test", override_reason="the new one insults people").override_reason


@on_sqlite
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("damage", ["missing", "changed", "truncated", "collected"])
def test_a_file_that_is_not_the_gated_one_is_never_promoted(store: Store, settings: Settings, damage: str) -> None:
    path = add_model(store, settings, "broken", round_id=1)
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(path.read_bytes()[:-64] + bytes(64))
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    else:
        with store.begin() as session:
            form = models.get_model(session, "broken").form
            assert form is not None
            form.collected_at = datetime.now(UTC)
            session.add(form)
    with pytest.raises(ArtifactError):
        promote(store, settings, "broken", "test", override_reason="it does not matter")
    assert champion(store) == "origin"


@on_sqlite
@pytest.mark.usefixtures("home")
def test_a_file_that_was_recorded_but_does_not_load_fails_the_smoke_test(store: Store, settings: Settings) -> None:
    path = settings.models / "garbage" / "model.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF" + bytes(4096))
    add_rows(store, settings, "garbage", path, round_id=1)
    with pytest.raises(ArtifactError):
        promote(store, settings, "garbage", "test")


@pytest.mark.usefixtures("home")
def test_two_promotions_at_once_leave_one_champion_and_one_clear_refusal(store: Store, settings: Settings) -> None:
    outcomes: list[str] = []
    for name in ("left", "right"):
        add_model(store, settings, name, round_id=1)

    def run(name: str) -> None:
        try:
            promote(store, settings, name, "test")
            outcomes.append("promoted")
        except PerennialError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) in (["Conflict", "promoted"], ["Refused", "promoted"])
    with store.read() as session:
        assert len(models.promotions(session)) == 2


@pytest.mark.usefixtures("home")
def test_a_champion_that_changed_during_the_check_is_a_conflict(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(store, settings, "slow", round_id=1)
    add_model(store, settings, "quick", round_id=1)
    monkeypatch.setattr("service.models.promotion.verify", lambda *_: crown(store, "quick", "origin"))
    with pytest.raises(Conflict, match="'quick' became the champion meanwhile"):
        promote(store, settings, "slow", "test")


def test_the_judging_champion_is_found_by_time_when_the_round_does_not_name_it(
    store: Store, settings: Settings
) -> None:
    add_model(store, settings, "origin", kind="origin")
    crown(store, "origin")
    add_round(store, started_at=datetime.now(UTC))
    with store.begin() as session:
        session.add(Model(id="candidate", kind="candidate", recipe_name="tiny", round_id=1))
        session.add(Promotion(model_id="candidate", previous_id="origin", kind="promote", by="test"))
    with store.read() as session:
        assert models.judged_against(session, models.get_model(session, "candidate").model) == "origin"


@on_sqlite
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("service.models.promotion.verify", "origin"),
        ("service.store.audit.record", "origin"),
        ("service.store.files.link_champion", "better"),
        ("os.symlink", "better"),
        ("os.replace", "better"),
    ],
)
def test_kill_9_at_each_step_leaves_table_and_link_agreed_once_the_engines_supervisor_is_up(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str, after: str
) -> None:
    add_model(store, settings, "better", round_id=1)
    monkeypatch.setattr("service.models.promotion.verify", lambda *_: None)  # it reads only, and takes seconds
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(step, lambda *_args, **_more: os.kill(os.getpid(), signal.SIGKILL))
        with closing(open_store(settings)) as own:
            promote(own, settings, "better", "key:1")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert champion(store) == after
    Supervisor(store, settings).close()
    assert os.readlink(settings.home / "champion") == f"models/{after}"
    if after == "origin":  # nothing half-done stands in the way of the next try
        assert promote(store, settings, "better", "key:1").model_id == "better"
