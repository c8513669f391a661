"""gc: which files go and which stay, whatever is asked."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.errors import InputError
from service.models.gc import collect
from service.settings import Settings
from service.store import models
from service.store.session import Store
from service.store.tables import Model, ServedForm
from tests.service.served import add_round, add_rows, crown

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
Add = Callable[..., Path]


@pytest.fixture
def add(store: Store, settings: Settings) -> Add:
    """Adds a model over a small file; each call is a day newer than the one before."""
    days = iter(range(1000))
    add_round(store, counts={"champion": "origin"})

    def make(model_id: str, **values: object) -> Path:
        path = settings.models / model_id / "model.gguf"
        path.parent.mkdir(parents=True)
        path.write_bytes(model_id.encode())
        return add_rows(store, settings, model_id, path, created_at=LONG_AGO + timedelta(days=next(days)), **values)

    return make


def left(settings: Settings) -> set[str]:
    return {path.parent.name for path in settings.models.glob("*/model.gguf")}


def test_the_newest_three_the_champion_the_one_before_and_the_origin_stay(
    store: Store, settings: Settings, add: Add
) -> None:
    add("origin", kind="origin", verdict=None)
    for name in "abcdefgh":
        add(name, verdict="fail")
    for name in ("origin", "a", "b", "c"):
        crown(store, name)
    gone = collect(store, settings)
    assert {one.model_id for one in gone} == {"a", "d", "e"}
    assert left(settings) == {"origin", "b", "c", "f", "g", "h"}


def test_a_dry_run_tells_the_same_and_deletes_nothing(store: Store, settings: Settings, add: Add) -> None:
    for name in "abcd":
        add(name, verdict="fail")
    told = collect(store, settings, keep=1, dry_run=True)
    assert left(settings) == set("abcd")
    assert (
        collect(store, settings, keep=1) == told
        and [one.reason for one in told] == ["it is not among the newest 1"] * 3
    )
    assert left(settings) == {"d"} and collect(store, settings, keep=1) == []


def test_a_candidate_that_waits_for_its_click_stays_and_a_stale_one_goes(
    store: Store, settings: Settings, add: Add
) -> None:
    add("origin", kind="origin", verdict=None)
    crown(store, "origin")
    add("waiting", round_id=1)
    add("stale", round_id=add_round(store, counts={"champion": "somebody else"}))
    add("newest", verdict="fail")
    assert [one.model_id for one in collect(store, settings, keep=1)] == ["stale"]


def test_adapters_stay_even_when_their_model_is_old(store: Store, settings: Settings, add: Add) -> None:
    adapter = add("old", verdict="fail")
    with store.begin() as session:
        form = session.get_one(ServedForm, "old")
        form.kind, form.adapter_path, form.path = "adapter", form.path, "models/base.gguf"
        session.get_one(Model, "old").adapter_path = "rounds/0001/attempt-1/train/adapter"
    add("newest", verdict="fail")
    assert collect(store, settings, keep=1) == [] and adapter.is_file()


@pytest.mark.parametrize(
    ("days_ago", "champion", "goes"),
    [(8, "clean", True), (6, "clean", False), (8, "tainted too", True), (8, None, False)],
)
def test_a_tainted_file_goes_once_another_champion_answers_and_its_days_are_over(
    store: Store, settings: Settings, add: Add, days_ago: int, champion: str | None, goes: bool
) -> None:
    tainted_at = datetime.now(UTC) - timedelta(days=days_ago)
    add("tainted", tainted_at=tainted_at)
    add("tainted too", tainted_at=tainted_at)
    add("clean")
    crown(store, "tainted")
    if champion:
        crown(store, champion, "tainted")
    assert (("tainted" in {one.model_id for one in collect(store, settings)}), "tainted" not in left(settings)) == (
        goes,
        goes,
    )


@pytest.mark.parametrize("kind", ["merged", "adapter"])
def test_all_weights_of_a_tainted_attempt_go_and_what_explains_it_stays(
    store: Store, settings: Settings, add: Add, kind: str
) -> None:
    add("origin", kind="origin", verdict=None)
    crown(store, "origin")
    attempt = settings.rounds / "0001" / "attempt-1"
    files = ("export/model.gguf", "train/adapter/adapter.safetensors", "train/checkpoints/2/x", "prefer/adapter/y")
    for name in (*files, "report/report.md", "evaluate/scores.json"):
        (attempt / name).parent.mkdir(parents=True, exist_ok=True)
        (attempt / name).write_bytes(b"1234")
    long_ago = datetime.now(UTC) - timedelta(days=8)
    path, adapter = attempt / "export" / "model.gguf", "rounds/0001/attempt-1/prefer/adapter"
    add_rows(store, settings, "tainted", path, round_id=1, tainted_at=long_ago, adapter_path=adapter)
    if kind == "adapter":
        with store.begin() as session:
            form = session.get_one(ServedForm, "tainted")
            form.kind, form.adapter_path, form.path = "adapter", form.path, "models/origin/model.gguf"
    told = collect(store, settings, keep=None, dry_run=True)
    assert path.is_file() and sum(one.size_bytes for one in told) == 16
    assert collect(store, settings, keep=None) == told
    assert {file.relative_to(attempt).parts[0] for file in attempt.rglob("*")} == {"report", "evaluate"}
    assert left(settings) == {"origin"}


def test_without_a_number_to_keep_only_tainted_models_go(store: Store, settings: Settings, add: Add) -> None:
    for name in "abcdef":
        add(name, verdict="fail")
    assert collect(store, settings, keep=None) == [] and left(settings) == set("abcdef")


def test_what_went_is_marked_and_a_file_left_by_a_crash_goes_next_time(
    store: Store, settings: Settings, add: Add
) -> None:
    path = add("old", verdict="fail")
    add("newest", verdict="fail")
    collect(store, settings, keep=1)
    with store.read() as session:
        form = models.get_model(session, "old").form
    assert form is not None and form.collected_at is not None
    path.write_bytes(b"the unlink did not happen")
    collect(store, settings, keep=1)
    assert not path.exists()


def test_gc_refuses_to_keep_nothing(store: Store, settings: Settings) -> None:
    with pytest.raises(InputError, match="at least 1"):
        collect(store, settings, keep=0)
