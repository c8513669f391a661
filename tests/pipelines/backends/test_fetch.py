"""A base from the hub: fetched by huggingface_hub's own client from a stand-in, at a commit that stays the same."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.backends.fetch import BaseFolder, Pin, fetch_base
from pipelines.errors import ModelError
from pipelines.recipe import Base
from pipelines.recipe_file import parse_recipe
from pipelines.stages.baseline import find_base, prepare_origin
from tests.pipelines.hub import Hub, serving

TINY = Path(__file__).resolve().parents[3] / "models" / "tiny"
MODEL = "Somebody/Small-Chat"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, which this machine takes for the real one; the environment says offline, as `make serve` does."""
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.delenv("HF_HUB_CACHE", raising=False)
        yield hub


def test_a_hub_model_is_fetched_though_the_process_is_offline_and_stays_so(
    hub: Hub, tmp_path: Path, tokenizer_folder: Path
) -> None:
    commit = hub.push(MODEL, tokenizer_folder, **{"config.json": b"{}", "weights.bin": b"pickle"})
    before = dict(os.environ)
    found = fetch_base(Base(model=MODEL, hub=True), tmp_path)
    assert found.pin == Pin(model=MODEL, asked="main", commit=commit) and found.name == "small-chat"
    assert (found.folder / "tokenizer.json").read_bytes() == (tokenizer_folder / "tokenizer.json").read_bytes()
    assert not (found.folder / "weights.bin").exists()
    assert dict(os.environ) == before and os.environ["HF_HUB_OFFLINE"] == "1"


def test_what_was_fetched_is_taken_without_a_look_up_until_another_revision_is_named(
    hub: Hub, tmp_path: Path, tokenizer_folder: Path
) -> None:
    first = hub.push(MODEL, tokenizer_folder)
    assert _commit(fetch_base(Base(model=MODEL, hub=True), tmp_path)) == first
    second = hub.push(MODEL, tokenizer_folder, **{"config.json": b"{}"})
    hub.asked.clear()
    assert _commit(fetch_base(Base(model=MODEL, hub=True), tmp_path)) == first and not hub.asked
    assert _commit(fetch_base(Base(model=MODEL, hub=True, revision=second), tmp_path)) == second and hub.asked


def test_a_pinned_commit_is_fetched_where_the_branch_has_moved_and_the_cache_is_gone(
    hub: Hub, tmp_path: Path, tokenizer_folder: Path
) -> None:
    first = hub.push(MODEL, tokenizer_folder)
    hub.push(MODEL, tokenizer_folder, **{"config.json": b"{}"})
    pin = Pin(model=MODEL, asked="main", commit=first)
    assert fetch_base(Base(model=MODEL, hub=True), tmp_path, pin).pin == pin


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        (Base(model="Nobody/Nothing", hub=True), "the hub did not give the model 'Nobody/Nothing'"),
        (Base(model=MODEL, hub=True, revision="v9"), "has no revision 'v9'; set `base.revision`"),
        (Base(model="here", hub=True, revision="v1"), "here is a folder here, which has no revision 'v1'"),
    ],
)
def test_what_the_hub_does_not_have_is_said_in_a_sentence(
    hub: Hub, tmp_path: Path, tokenizer_folder: Path, base: Base, sentence: str
) -> None:
    hub.push(MODEL, tokenizer_folder)
    (tmp_path / "here").mkdir()
    with pytest.raises(ModelError, match=sentence):
        fetch_base(base, tmp_path)


def test_a_gated_model_is_said_with_what_to_do(hub: Hub, tmp_path: Path, tokenizer_folder: Path) -> None:
    hub.push(MODEL, tokenizer_folder)
    hub.gated.add(MODEL)
    with pytest.raises(
        ModelError, match=r"only to those who accepted its terms: accept them on its page, put a token .* HF_TOKEN"
    ):
        fetch_base(Base(model=MODEL, hub=True), tmp_path)


def test_a_hub_that_is_silent_is_said(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=f"the hub did not give the model '{MODEL}': "):
        fetch_base(Base(model=MODEL, hub=True), tmp_path)


def test_a_revision_of_a_local_folder_is_refused_with_the_recipe() -> None:
    text = (
        "name: x\nbase: {model: models/tiny, revision: main}\nmixture: {user: 1}\nevaluate: {suites: []}\ngates: []\n"
    )
    with pytest.raises(Exception, match="add `hub: true`, or leave it out for a local folder"):
        parse_recipe(text, "x")


def test_the_origins_manifest_pins_the_commit_for_every_later_round(hub: Hub, tmp_path: Path) -> None:
    first, models = hub.push(MODEL, TINY), tmp_path / "models"
    base = Base(model=MODEL, hub=True)
    origin = prepare_origin(find_base(base, tmp_path, models), "F16", models)
    assert origin.commit == first and origin.id.startswith("small-chat-origin-")
    hub.push(MODEL, TINY, **{"extra.txt": b"a later commit"})
    os.rename(tmp_path / "cache", tmp_path / "gone")
    again = find_base(base, tmp_path, models)
    assert again.pin and again.pin.commit == first
    assert prepare_origin(again, "F16", models) == origin


def _commit(found: BaseFolder) -> str:
    assert found.pin is not None
    return found.pin.commit
