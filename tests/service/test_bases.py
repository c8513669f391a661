"""A base is adopted once: found again, proven once, listed, served, and forgotten without its recipe."""

import shutil
from pathlib import Path

import pytest

from pipelines.errors import Conflict, InputError, NotFound, Refused
from pipelines.recipe_file import load_recipe
from service.bases.adoption import add_base, add_file_alone, require_free
from service.bases.recipes import renew_recipe
from service.bases.records import AdoptedBase, get_base, list_bases, remove_base
from service.models.promotion import promote
from service.settings import Settings
from service.store.models import champion_id
from service.store.session import Store, open_store

TINY = Path(__file__).resolve().parents[2] / "models" / "tiny"


FIGURES = (
    "equal on 2,000 of 2,000 texts in 10 scripts",
    "chats of 12 of 12 shapes render to the same tokens",
    "Q8_0 against transformers: KL divergence 0.00",
    "answers to 4 of 4 short questions end by themselves",
)


def silent(_step: str, _done: float | None, _total: float | None) -> None:
    """Nobody watches."""


def adopt(settings: Settings, store: Store, what: Path, name: str | None = None) -> AdoptedBase:
    return add_base(settings, store, str(what), name, None, silent)


def test_a_base_is_adopted_proven_once_served_and_forgotten(sqlite_settings: Settings) -> None:
    settings, store = sqlite_settings, open_store(sqlite_settings)
    steps: list[str] = []
    base = add_base(settings, store, str(TINY), "mine", None, lambda step, *_: steps.append(step))
    for proof, figure in zip(base.proofs, FIGURES, strict=True):
        assert proof.passed and figure in proof.line
    assert list(dict.fromkeys(steps))[:3] == ["fetch", "look", "convert"]
    assert load_recipe(settings.home / "recipes" / "mine.yaml").base.model == str(TINY)
    assert len(base.choices) == 5 and list_bases(settings) == [base]

    (settings.home / "bases" / "mine" / "base.json").unlink()  # as if killed before it was written
    proven = settings.home / "bases" / "mine" / "tokens.json"
    before = proven.stat().st_mtime_ns
    assert adopt(settings, store, TINY, "mine") == base == get_base(settings, "mine")
    assert proven.stat().st_mtime_ns == before

    recipe = settings.home / "recipes" / "mine.yaml"
    recipe.write_text(recipe.read_text().replace("min_examples: 200", "min_examples: 7"))
    with pytest.raises(Refused, match=r"mine.yaml was changed since it was written; --force writes it anew"):
        renew_recipe(settings, "mine")
    assert renew_recipe(settings, "mine", force=True) == base
    assert "min_examples: 200" in recipe.read_text()
    assert "min_examples: 7" in recipe.with_suffix(".yaml.before").read_text()

    with pytest.raises(Conflict, match="a base called 'mine' is here already, from .*models/tiny: give another --name"):
        require_free(settings, "mine", "elsewhere")
    promote(store, settings, base.origin, "cli:test")
    with store.read() as session:
        assert champion_id(session) == base.origin
    with pytest.raises(Refused, match="the origin of 'mine' is the champion"):
        remove_base(settings, store, "mine")

    file = settings.home / "alone.gguf"
    shutil.copyfile(settings.models / base.origin / "model.gguf", file)
    alone = add_file_alone(settings, store, file, "alone", "it cannot be restored", silent)
    assert (alone.facts, alone.recipe, [proof.name for proof in alone.proofs]) == (None, None, ["stops"])
    assert alone.choices == ("it cannot be restored",)
    with pytest.raises(Refused, match="'alone' is a file alone"):
        renew_recipe(settings, "alone")
    remove_base(settings, store, "alone")
    assert list_bases(settings) == [base]
    store.close()


@pytest.mark.exhaustive
def test_a_file_is_adopted_with_its_weights_restored(sqlite_settings: Settings, tmp_path: Path) -> None:
    store, file = open_store(sqlite_settings), tmp_path / "Tiny.Q8_0.gguf"
    origin = adopt(sqlite_settings, store, TINY).origin
    shutil.copyfile(sqlite_settings.models / origin / "model.gguf", file)
    base = adopt(sqlite_settings, store, file, "again")
    assert base.facts is not None and base.recipe == "recipes/again.yaml"
    assert [proof.name for proof in base.proofs] == ["tokens", "agreement", "tokens", "template", "agreement", "stops"]
    assert base.proofs[1].line.startswith("restored from Tiny.Q8_0.gguf: against transformers: KL divergence 0.00")
    remove_base(sqlite_settings, store, "again")
    assert not (sqlite_settings.home / "weights" / "again").exists()
    store.close()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nowhere", "is no folder, no .gguf file and no model of the hub, which is written PUBLISHER/NAME"),
        ("nothing.gguf", "there is no file nothing.gguf"),
    ],
    ids=["nowhere", "no file"],
)
def test_what_is_no_base_is_said(what: str, words: str, sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    with pytest.raises(InputError, match=words):
        add_base(sqlite_settings, store, what, None, None, silent)
    with pytest.raises(NotFound, match="no base is called 'x'; there are: none yet: `perennial base add`"):
        get_base(sqlite_settings, "x")
    store.close()
