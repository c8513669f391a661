"""What a key may ask of a round over the API, and whether a model that passed is promoted by itself."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from pipelines.context import RoundResult
from pipelines.errors import RecipeError
from pipelines.recipe_file import parse_recipe
from service.api_keys import LOCAL, Caller, Forbidden, create_key, list_keys, revoke_key
from service.bases.records import AdoptedBase, write_base
from service.rounds import requests
from service.rounds.automatic import objection_to_promoting
from service.rounds.execution import execute
from service.rounds.permission import check_permission, check_suites
from service.settings import Settings, load_settings
from service.store import models, rounds
from service.store.session import Store
from service.vault import Vault
from tests.service.web.test_auth import with_key

PROJECT = Path(__file__).resolve().parents[3]
RECIPE: dict[str, Any] = {
    "name": "small",
    "base": {"model": "models/tiny"},
    "mixture": {"user": 0.6, "general": 0.4},
    "evaluate": {"suites": ["tiny_math"]},
    "gates": [{"suite": "tiny_math", "margin": {"champion": 3.0, "origin": 3.0}}],
}
Ask = Callable[..., Any]


def changed(**changes: Any) -> str:
    """The recipe as YAML with some of its sections replaced."""
    return yaml.safe_dump(RECIPE | changes)


@pytest.fixture
def ask(sqlite_client: TestClient) -> Ask:
    """Asks for a round with a fresh key of these scopes: `ask("rounds", promote="automatic")`."""
    state = sqlite_client.app.state  # type: ignore[attr-defined]

    def asking(scopes: str, recipe: str | None = None, **changes: Any) -> Any:
        key = create_key(state.store, f"key {scopes}", None, scopes)
        state.keys._read_at = float("-inf")
        text = recipe or changed(**changes)
        return sqlite_client.post("/v1/rounds", json={"recipe": text}, headers=with_key(key))

    return asking


# ---- who ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "status"),
    [("rounds", 403), ("rounds,read", 403), ("rounds,models", 201), ("models", 403), ("admin", 201)],
)
def test_automatic_promotion_needs_the_scope_models_besides_rounds(ask: Ask, scopes: str, status: int) -> None:
    answer = ask(scopes, promote="automatic")
    assert answer.status_code == status
    if status == 403 and "rounds" in scopes:
        assert "needs the scope 'models' besides 'rounds'; say `promote: manual`" in answer.json()["detail"]


def test_the_round_of_the_issue_is_refused_for_each_of_its_reasons(ask: Ask) -> None:
    wide = [{"suite": "tiny_math", "margin": {"champion": 100, "origin": 100}}]
    assert ask("rounds", promote="automatic", gates=wide, train={"learning_rate": 0.5}).status_code == 403
    told = ask("rounds,models", promote="automatic", gates=wide, train={"learning_rate": 0.5})
    assert told.status_code == 422 and "PERENNIAL_GATES_MAX_MARGIN" in told.json()["detail"]
    told = ask("rounds,models", promote="automatic", train={"learning_rate": 0.5})
    assert told.status_code == 422 and "PERENNIAL_RECIPES_MAX_LEARNING_RATE" in told.json()["detail"]


def test_a_recipe_by_its_name_is_checked_like_one_in_the_body(ask: Ask) -> None:
    assert ask("rounds", recipe="tiny").status_code == 201
    assert ask("rounds", recipe="eden-qwen2.5-32b").status_code == 403


# ---- what --------------------------------------------------------------------------------------------------

BEYOND: list[tuple[str, dict[str, Any]]] = [
    ("GATES_MAX_MARGIN", {"gates": [{"suite": "tiny_math", "margin": {"champion": 5.1, "origin": 3}}]}),
    ("GATES_MAX_MARGIN", {"gates": [{"suite": "tiny_math", "margin": {"champion": 3, "origin": 5.1}}]}),
    ("GATES_MAX_MARGIN", {"gates": [*RECIPE["gates"], {"suite": "tiny_math", "floor_below_origin": 6}]}),
    (
        "GATES_MAX_MARGIN",
        {
            "evaluate": {"suites": ["tiny_math", "heldout"]},
            "gates": [*RECIPE["gates"], {"suite": "heldout", "metric": "rougeL", "min_gain": -6}],
        },
    ),
    ("GATES_MAX_STOPS", {"preference": {"stops": {"sycophancy": 100}}}),
    ("GATES_MAX_STOPS", {"preference": {"stops": {"kl": 1}}}),
    ("RECIPES_MAX_LEARNING_RATE", {"phases": [{"name": "p", "rounds": [1, None], "learning_rate": 0.5}]}),
    ("RECIPES_MAX_LEARNING_RATE", {"preference": {"learning_rate": 0.5}}),
    ("RECIPES_MAX_EPOCHS", {"train": {"epochs": 11}}),
    ("RECIPES_MAX_EPOCHS", {"phases": [{"name": "p", "rounds": [1, None], "epochs": 1000}]}),
    ("RECIPES_MAX_RANK", {"train": {"lora": {"r": 4096, "alpha": 4096}}}),
    ("RECIPES_MAX_SCALE", {"train": {"lora": {"r": 1, "alpha": 4096}}}),
    ("RECIPES_MAX_SCALE", {"export": {"scales": [1.0, 50.0]}}),
    ("RECIPES_MAX_TOKENS", {"train": {"max_tokens": 10**9}}),
    ("RECIPES_MAX_TOKENS", {"select": {"response_tokens": [1, 10**9]}}),
    ("RECIPES_MAX_BATCH", {"train": {"batch": {"per_device": 10**6}}}),
    ("RECIPES_MAX_BATCH", {"preference": {"batch": {"per_device": 10**6}}}),
    ("RECIPES_MAX_ITEMS", {"evaluate": {"suites": ["tiny_math"], "items": 10**6}}),
    ("RECIPES_MAX_ITEMS", {"evaluate": {"suites": ["tiny_math"], "heldout": 10**6}}),
    ("RECIPES_MAX_ITEMS", {"evaluate": {"suites": ["tiny_math"], "dev_items": 10**6}}),
    ("RECIPES_MAX_ITEMS", {"preference": {"probes": 10**6}}),
    ("RECIPES_MAX_SHARE", {"select": {"per_user": {"max_share": 1.0}}}),
    ("RECIPES_MAX_SHARE", {"select": {"per_user": {"max_votes": 0.5}}}),
]


@pytest.mark.parametrize(("name", "changes"), BEYOND, ids=range(len(BEYOND)))
def test_every_bound_holds_for_an_admins_key_too_and_its_setting_widens_it(
    sqlite_settings: Settings, name: str, changes: dict[str, Any]
) -> None:
    recipe = parse_recipe(changed(**changes), "given")
    with pytest.raises(RecipeError, match=f"at most [0-9.]+ .* PERENNIAL_{name}$"):
        check_permission(sqlite_settings, LOCAL, recipe)
    wide = load_settings({"PERENNIAL_HOME": str(sqlite_settings.home), f"PERENNIAL_{name}": "2000000000"})
    check_permission(wide, LOCAL, recipe)


def test_a_recipe_whose_gates_have_no_margin_is_refused(ask: Ask) -> None:
    told = ask("rounds,models", gates=[{"suite": "tiny_math", "floor": 0}])
    assert told.status_code == 422 and "no gate of the recipe has a margin" in told.json()["detail"]


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (PROJECT / "data" / "recipes").glob("tiny*.yaml")))
def test_the_shipped_recipes_are_inside_the_bounds(ask: Ask, recipe: str) -> None:
    assert ask("rounds", recipe=recipe).status_code == 201


@pytest.mark.parametrize(
    "model",
    ["{absolute}", "models/../models/tiny", "../{name}/models/tiny", "./models/tiny", "models/tiny/", "models//tiny",
     "models/nowhere", "data/suites", "models", "models/.", "/", "Qwen/Qwen2.5-0.5B-Instruct", "models\\tiny"],
)  # fmt: skip
def test_a_base_that_is_not_installed_by_its_own_name_needs_an_admins_key(ask: Ask, model: str) -> None:
    named = model.format(absolute=PROJECT / "models" / "tiny", name=PROJECT.name)
    told = ask("rounds,models", base={"model": named})
    assert told.status_code == 403 and "is none of those installed here (models/tiny" in told.json()["detail"]
    assert ask("admin", base={"model": named}).status_code == 201


def test_a_base_that_was_adopted_is_installed_wherever_it_lies(ask: Ask, sqlite_settings: Settings) -> None:
    folder = str(PROJECT / "models" / "tiny")
    facts: dict[str, Any] = {
        "facts": None,
        "quantize": "Q8_0",
        "origin": "o",
        "proofs": (),
        "recipe": None,
        "choices": (),
    }
    write_base(sqlite_settings, AdoptedBase(name="mine", source=folder, revision=None, folder=folder, **facts))
    assert ask("rounds", base={"model": folder}).status_code == 201
    assert ask("rounds", base={"model": f"{folder}/../tiny"}).status_code == 403


def test_scales_are_chosen_on_dev_items_or_refused(sqlite_settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "data" / "suites", tmp_path / "data" / "suites")
    (tmp_path / "data" / "suites" / "tiny_math" / "dev.jsonl").unlink()
    settings, several = replace(sqlite_settings, project=tmp_path), {"scales": [0.5, 1.0]}
    with pytest.raises(RecipeError, match="several scales to choose from, and the suite 'tiny_math' has no dev items"):
        check_suites(settings, parse_recipe(changed(export=several), "given"))
    check_suites(settings, parse_recipe(changed(), "given"))


def test_a_base_of_the_hub_needs_an_admins_key_unless_it_was_fetched_before(
    ask: Ask, sqlite_settings: Settings
) -> None:
    hub = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "hub": True}
    told = ask("rounds,models", base=hub)
    assert told.status_code == 403 and "may not fetch it" in told.json()["detail"]
    assert ask("admin", base=hub).status_code == 201
    folder = sqlite_settings.models / "qwen2.5-0.5b-instruct-origin-12345678"
    folder.mkdir(parents=True)
    pin = '{"model": "Qwen/Qwen2.5-0.5B-Instruct", "asked": "main", "commit": "abc"}'
    manifest = (
        f'{{"stage": "origin", "input": "", "output": {{"pin": {pin}}}, "files": {{}}, "seconds": 1, "finished_at": 1}}'
    )
    (folder / "manifest.json").write_text(manifest)
    assert ask("rounds", base=hub).status_code == 201
    assert ask("rounds", base={**hub, "revision": "other"}).status_code == 403


@pytest.mark.parametrize("name", ["../suites/tiny_math", "/etc", "nowhere", "tiny_math/", ".", "..", "SOURCE.md"])
def test_a_suite_that_is_not_installed_is_named_to_everybody(ask: Ask, name: str) -> None:
    told = ask("admin", evaluate={"suites": ["tiny_math", name]})
    assert told.status_code == 422 and "is none of those installed here" in told.json()["detail"]
    assert "tiny_kmmlu" in told.json()["detail"]


def test_a_machine_without_models_and_suites_says_so(sqlite_settings: Settings, tmp_path: Path) -> None:
    bare = replace(sqlite_settings, project=tmp_path)
    asker = Caller("one", None, frozenset({"rounds"}))
    with pytest.raises(Forbidden, match=r"none of those installed here \(none\)"):
        check_permission(bare, asker, parse_recipe(changed(), "given"))
    with pytest.raises(RecipeError, match="none of those installed here: heldout"):
        check_permission(bare, LOCAL, parse_recipe(changed(), "given"))


# ---- when it has passed ------------------------------------------------------------------------------------


def asked_by(store: Store, key: str | None, by: str = "key:one") -> int:
    round_id = requests.request_round(store, changed(promote="automatic"), by, key=key)
    assert round_id is not None
    return round_id


def key_id(store: Store, scopes: str) -> str:
    create_key(store, "one", None, scopes)
    return list_keys(store)[-1].id


def test_a_key_that_was_revoked_since_promotes_nothing(store: Store) -> None:
    round_id = asked_by(store, key_id(store, "rounds,models"))
    assert objection_to_promoting(store, round_id) is None
    revoke_key(store, "one")
    assert "was revoked since" in (objection_to_promoting(store, round_id) or "")


def test_a_key_without_the_right_promotes_nothing_whatever_its_round_says(store: Store) -> None:
    assert "may not promote" in (objection_to_promoting(store, asked_by(store, key_id(store, "rounds"))) or "")


@pytest.mark.parametrize(
    ("by", "promotes"),
    [("cli:ana", True), ("schedule:tiny", True), ("key:localhost", True), ("key:shop", False)],
    ids=["the command line", "a schedule", "this machine's own user", "a key of an earlier version"],
)
def test_rounds_without_a_noted_key_are_promoted_unless_one_asked(store: Store, by: str, promotes: bool) -> None:
    assert (objection_to_promoting(store, asked_by(store, None, by)) is None) == promotes


def test_the_round_says_why_its_model_waits(settings: Settings, store: Store, vault: Vault) -> None:
    round_id = asked_by(store, key_id(store, "rounds,models"))
    claimed = requests.claim_round(store, "host:1:a", 60)
    assert claimed is not None
    revoke_key(store, "one")

    state = execute(
        settings, store, vault, claimed[1], lambda *_: RoundResult(outcome="pass", reasons=("good.",), counts={})
    )

    with store.read() as session:
        row = rounds.get_round(session, round_id)
        assert state == row.state == "passed" and models.champion_id(session) is None
    assert re.fullmatch(r"good\. The key .* was revoked since, so its model waits to be promoted\.", row.message)


@pytest.mark.parametrize(
    ("place", "status"),
    [("data/general", 201), ("mine", 201), ("../mine", 403), ("/etc/mine", 403), ("data/suites", 403)],
)
def test_anchors_over_the_api_are_a_set_of_the_home_and_no_folder_of_the_machine(
    ask: Ask, place: str, status: int
) -> None:
    assert ask("rounds", anchors=place).status_code == status
