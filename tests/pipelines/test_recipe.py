"""What a recipe may say: everything that this version acts on, and nothing that it would have to guess."""

from pathlib import Path

import pytest

from pipelines.errors import RecipeError
from pipelines.recipe import Stops
from pipelines.recipe_file import load_recipe, parse_recipe

RECIPES = Path(__file__).resolve().parents[2] / "data" / "recipes"
TINY = (RECIPES / "tiny-qlora.yaml").read_text(encoding="utf-8")


def test_answers_keep_their_length_unless_the_recipe_lets_them_follow() -> None:
    assert Stops().length_follows_preferred is False
    demo = load_recipe(RECIPES / "tiny.yaml").preference
    assert demo is not None and demo.stops.length_follows_preferred


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_read(path: Path) -> None:
    assert load_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("given", "instead", "sentence"),
    [
        ("epochs: 1.9", "epoch: 3", "does not act on the key `train.epoch`; did you mean `epochs`"),
        ("epochs: 1.9", "epochs: .inf", "`train.epochs`: Input should be a finite number"),
        ("learning_rate: 1.5e-3", "learning_rate: .nan", "`train.learning_rate`"),
        ("epochs: 1.9", "epochs: 1.9\n  epochs: 30", "the key `epochs` stands twice"),
        ("epochs: 1.9", "epochs: 1.9\n  seed: -1", "`train.seed`: Input should be greater than or equal to 0"),
        ("[4, 1024]", "[1024, 4]", r"response_tokens \[1024, 4\] fits no answer"),
        ("[4, 1024]", "[-4, 1024]", "fits no answer"),
        ("scales: [1.0]", "scales: []", "`export.scales`"),
        ("scales: [1.0]", "scales: [-1.0]", "`export.scales.0`"),
        ("promote: manual", "phases: [{name: a, rounds: [3, 1]}]", r"rounds \[3, 1\] of phase 'a' name none"),
        ("promote: manual", "phases: [{name: a, rounds: [0, null]}]", "count from 1"),
        ("user: 0.25", "user: 0.35", "add up to 1.1, not to 1"),
        ("promote: manual", "preference: {desirable: -1.0}", "`preference.desirable.*greater than 0"),
        ("promote: manual", "preference: {batch: {per_device: 1, accumulate: 1}}", "a batch of 1 has no room"),
        (
            "promote: manual",
            "preference: {method: bco, batch: {per_device: 1, accumulate: 1}}",
            "`method: bco` may read good and bad",
        ),
        ("promote: manual", "preference: {undesirable: 0}", "`preference.undesirable.*greater than 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(given: str, instead: str, sentence: str) -> None:
    assert given in TINY
    with pytest.raises(RecipeError, match=sentence):
        parse_recipe(TINY.replace(given, instead), "given")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds NoneType"),
        ("- a", "holds list"),
        ("name: [", "not valid YAML"),
        ("name: \0", "not valid YAML"),
        ("[" * 20_000, "nested too deeply"),
        ("a: 2026-99-99", "does not act on the key `a`"),
        ("x" * 60_000 + ": 1", "not valid YAML"),
        ("? " + "x" * 60_000 + "\n: 1", "does not act on the key `x{77}\\.\\.\\.`$"),
        ("name: [" + "x" * 60_000 + "]", "`name`: Input should be a valid string"),
        ("base: " + "x" * 60_000, r"`base`: .* \(given 'x{76}\.\.\.\)"),
        ("\n".join(f"key{n}: 1" for n in range(5_000)), r"; and 4\d\d\d more$"),
        ("1: 2", "`1`: Keys should be strings"),
        ("? {a: b}\n: c", "not valid YAML"),
    ],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_no_recipe_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence) as refusal:
        parse_recipe(text, "given")
    assert len(str(refusal.value)) < 3_000


def test_a_file_that_is_not_utf_8_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: tiny  # für Kim\n".encode("latin-1"))

    with pytest.raises(RecipeError, match="latin.yaml is not UTF-8 text: .* at byte 15"):
        load_recipe(tmp_path / "latin.yaml")
