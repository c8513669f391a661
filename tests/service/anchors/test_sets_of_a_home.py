"""`perennial anchors`: whose set is meant, what it is called, and what there is."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.anchors.frames import FAMILIES
from pipelines.errors import InputError, ModelError, NotFound
from service.anchors.bases import named_base, tiny_note
from service.anchors.listing import list_sets
from service.anchors.making import chosen_families, make_set
from service.settings import Settings

PROJECT = Path(__file__).resolve().parents[3]
RECIPE = PROJECT / "data" / "recipes" / "tiny.yaml"


@pytest.fixture
def settings(sqlite_settings: Settings) -> Settings:
    return replace(sqlite_settings, project=PROJECT)


def test_a_base_is_its_folder_its_recipe_or_its_name_in_the_home(settings: Settings) -> None:
    (settings.home / "recipes").mkdir()
    shutil.copy(RECIPE, settings.home / "recipes" / "small.yaml")
    bases = [named_base(settings, what, None) for what in ("models/tiny", str(RECIPE), "small")]

    assert [one.set_name for one in bases] == ["tiny", "tiny", "small"]
    assert [one.quantize for one in bases] == ["Q8_0", "Q4_K_M", "Q4_K_M"]
    assert {one.folder.folder.name for one in bases} == {"tiny"} and tiny_note(settings, bases[0].folder)
    assert named_base(settings, "models/tiny", "mine").set_name == "mine"


@pytest.mark.parametrize(
    ("what", "name", "said", "kind"),
    [
        ("nothere", None, "there is no base 'nothere': give the folder of a model", NotFound),
        ("models/tiny", "../x", "'../x' cannot name a set of anchors", InputError),
        ("data/suites", None, "data/suites is a folder without config.json", ModelError),
    ],
)
def test_what_is_no_base_is_said_in_a_sentence(
    what: str, name: str | None, said: str, kind: type[Exception], settings: Settings
) -> None:
    with pytest.raises(kind, match=said):
        named_base(settings, what, name)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(None, tuple(FAMILIES)), ("math-en, chat-en", ("chat-en", "math-en")), ("chat-en,chit", None), (" ,", None)],
)
def test_families_are_named_as_they_are(wanted: str | None, chosen: tuple[str, ...] | None) -> None:
    if chosen is None:
        with pytest.raises(InputError, match=r"there are chat-own, chat-en"):
            chosen_families(wanted)
    else:
        assert chosen_families(wanted) == chosen


def test_fewer_anchors_than_families_are_refused_before_anything_is_made(settings: Settings) -> None:
    base = named_base(settings, "models/tiny", None)
    with pytest.raises(InputError, match="3 anchors are fewer than the 13 families"):
        make_set(settings, base, count=3, seed=0, families=tuple(FAMILIES), say=print, show=print)
    assert not settings.anchors.exists()


def test_the_list_has_the_shipped_set_and_those_that_are_not_ready(settings: Settings) -> None:
    (settings.anchors / "begun").mkdir(parents=True)
    (settings.anchors / "begun" / "candidates.jsonl").write_text("{}\n", encoding="utf-8")
    shutil.copytree(PROJECT / "data" / "general", settings.anchors / "copy")
    listed = {one.place: one for one in list_sets(settings)}

    assert list(listed) == ["data/general", "begun", "copy"]
    assert listed["begun"].card is None and listed["begun"].state == "begun: make it again to go on"
    assert listed["copy"].card == listed["data/general"].card
