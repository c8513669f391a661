"""Whose anchors a recipe mixes in: its own base's, and no other's."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.anchors.sets import CARD, AnchorSet, SetBase, open_set, set_of
from pipelines.errors import DataError, RecipeError
from pipelines.recipe import Recipe
from pipelines.recipe_file import load_recipe
from pipelines.stages.baseline import base_digest

PROJECT = Path(__file__).resolve().parents[3]
SHIPPED = "data/general"
GATE = {"suite": "tiny_math", "margin": {"champion": 3.0, "origin": 3.0}}


def recipe(**changes: Any) -> Recipe:
    given = {
        "name": "small",
        "base": {"model": "models/other"},
        "mixture": {"user": 1.0},
        "evaluate": {"suites": ["tiny_math", "language"]},
        "gates": [GATE],
    }
    return Recipe.model_validate(given | changes)


def find(given: Recipe, sets: Path, project: Path = PROJECT) -> AnchorSet | None:
    return set_of(given, project, sets)


def test_the_shipped_set_says_that_it_is_for_the_tiny_model_as_it_ships() -> None:
    card = open_set(PROJECT / SHIPPED, SHIPPED).card

    assert (card.base.name, card.base.digest) == ("tiny", base_digest(PROJECT / "models" / "tiny"))
    assert sum(card.kept.values()) == 15_000


@pytest.mark.parametrize("name", ["tiny", "tiny-bad", "tiny-mlx", "tiny-qlora"])
def test_recipes_of_the_tiny_model_name_its_set_and_those_of_an_older_version_get_it(name: str, tmp_path: Path) -> None:
    given = load_recipe(PROJECT / "data" / "recipes" / f"{name}.yaml")
    older = given.model_copy(update={"anchors": None})

    for one in (given, older):
        opened = find(one, tmp_path)
        assert opened is not None and opened.place == SHIPPED
        assert opened.language is not None and opened.claims is not None


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "eden-qwen2.5-32b"])
def test_recipes_of_real_models_never_get_the_invented_world(name: str, tmp_path: Path) -> None:
    given = load_recipe(PROJECT / "data" / "recipes" / f"{name}.yaml")

    with pytest.raises(DataError, match=f"the anchors '{given.anchors}' cannot be used: there is no such folder; see"):
        find(given, tmp_path)


def test_a_set_for_another_base_is_refused_in_a_sentence_that_names_both() -> None:
    opened = open_set(PROJECT / SHIPPED, SHIPPED)
    other = SetBase(name="smollm2", digest="f" * 64, revision="a" * 40)

    with pytest.raises(RecipeError) as refusal:
        opened.check_fits(other, "mine")

    assert str(refusal.value) == (
        f"the anchors 'data/general' were made for 'tiny' (files {opened.card.base.digest[:8]}), and the recipe 'mine' trains "
        "'smollm2' (revision aaaaaaaaaaaa): make its own with `perennial anchors make smollm2`, and name them under `anchors`"
    )
    opened.check_fits(other.model_copy(update={"digest": opened.card.base.digest}), "mine")


def test_of_a_base_that_is_not_here_the_name_is_checked() -> None:
    opened = open_set(PROJECT / SHIPPED, SHIPPED)

    opened.check_name(recipe(base={"model": "somebody/Tiny", "hub": True}))
    with pytest.raises(RecipeError, match="were made for 'tiny' .* trains 'qwen2.5-0.5b-instruct': make its own"):
        opened.check_name(recipe(base={"model": "Qwen/Qwen2.5-0.5B-Instruct", "hub": True}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"mixture": {"user": 0.6, "general": 0.3, "coding": 0.1}},
            r"mixes in general and coding and names no set of anchors: make one with `perennial anchors make models/other` "
            r"and name it under `anchors`, or say `mixture: \{user: 1.0\}`",
        ),
        (
            {"gates": [GATE, {"suite": "language"}]},
            "has a gate on 'language', which needs prompts, and it names no set",
        ),
        (
            {"gates": [GATE, {"suite": "language"}], "anchors": "mute"},
            "needs prompts, and the anchors 'mute' have none",
        ),
    ],
    ids=["a mixture", "the language guard", "a set without prompts"],
)
def test_what_needs_a_set_is_refused_beforehand_with_the_way_out(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "mute").mkdir()
    (tmp_path / "mute" / CARD).write_bytes((PROJECT / SHIPPED / CARD).read_bytes())

    with pytest.raises(RecipeError, match=said):
        find(recipe(**changes), tmp_path)


def test_a_recipe_of_its_users_alone_needs_no_set(tmp_path: Path) -> None:
    assert find(recipe(), tmp_path) is None


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "it holds no set.json, which says whose they are"),
        ("{}", "set.json is no set.json of this version: Field required; make the set again"),
        ("{", "set.json is no set.json of this version: Invalid JSON"),
    ],
    ids=["no card", "an empty one", "a broken one"],
)
def test_a_folder_that_does_not_say_whose_it_is_is_refused(card: str | None, said: str, tmp_path: Path) -> None:
    if card is not None:
        (tmp_path / CARD).write_text(card, encoding="utf-8")

    with pytest.raises(DataError, match=said):
        open_set(tmp_path, "mine")
