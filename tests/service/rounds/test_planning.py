"""The forecast on what is here now."""

import platform
from contextlib import closing

import pytest

from pipelines.recipe_file import load_recipe
from service.rounds.forecast import plan_recipe
from service.settings import Settings
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.service.rated import add_person, add_rated


def test_a_plan_counts_what_selection_would_take(settings: Settings, store: Store, vault: Vault) -> None:
    person = add_person(store, vault)
    train = [name for name in map(str, range(9)) if vault.part_of(name) == "train"]
    for name in train:
        add_rated(store, vault, person, f"question {name}", "An answer.", cluster=name)
    add_rated(store, vault, person, "q", "Unrated.", satisfaction=None)
    recipe = load_recipe(settings.project / "data" / "recipes" / "tiny.yaml").model_copy(
        update={"min_examples": 1, "phases": ()}
    )

    plan = plan_recipe(settings, store, vault, recipe)

    assert plan.examples["user"] == len(train) and plan.tokens["user"] > 0
    assert plan.steps > 0 and any("general" in line for line in plan.lines())
    assert any("tiny_math: an unchanged model passes a margin of 3.0 in" in line for line in plan.lines())


def test_a_model_that_is_not_here_is_planned_by_estimate(settings: Settings, store: Store, vault: Vault) -> None:
    add_rated(
        store, vault, add_person(store, vault), "q", "An answer that is long enough.", cluster=_train_cluster(vault)
    )
    recipe = load_recipe(settings.project / "data" / "recipes" / "tiny.yaml").model_copy(
        update={"min_examples": 1, "phases": ()}
    )
    elsewhere = recipe.model_copy(
        update={"base": recipe.base.model_copy(update={"model": "Somebody/Tiny", "hub": True})}
    )

    plan = plan_recipe(settings, store, vault, elsewhere)

    assert plan.tokens["user"] == len("An answer that is long enough.") // 3 and plan.parameters is None


@pytest.mark.skipif(platform.system() == "Darwin", reason="it is here")
def test_a_device_that_is_not_here_is_said_before_a_round_starts(sqlite_settings: Settings) -> None:
    recipe = load_recipe(sqlite_settings.project / "data" / "recipes" / "tiny.yaml")
    train = recipe.train.model_copy(update={"backend": "mps"})
    with closing(open_store(sqlite_settings)) as store:
        plan = plan_recipe(
            sqlite_settings, store, open_vault(sqlite_settings, store), recipe.model_copy(update={"train": train})
        )

    assert any(
        "the round would be refused: " in line and "which this machine does not have" in line for line in plan.warnings
    )
    assert plan.memory is None and plan.disk_bytes


def _train_cluster(vault: Vault) -> str:
    return next(name for name in map(str, range(99)) if vault.part_of(name) == "train")
