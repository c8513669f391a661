"""The table of formats: told apart by name, written down, and every reason worded."""

import re
from pathlib import Path

import pytest

from pipelines.errors import InputError
from service.ingest.importers.items import Look
from service.ingest.importers.reasons import REASONS
from service.ingest.importers.table import FORMATS, find_format, recognise
from service.ingest.importers.thumbs import as_thumb, read_thumbs

PROJECT = Path(__file__).resolve().parents[4]


def test_every_format_has_a_name_of_its_own_and_stands_in_the_documentation() -> None:
    names = [one.name for one in FORMATS]
    written = (PROJECT / "docs" / "importing.md").read_text(encoding="utf-8")
    assert len(set(names)) == len(names) and [name for name in names if f"`{name}`" not in written] == []
    with pytest.raises(InputError, match="no format is called 'langfus'; did you mean langfuse"):
        find_format("langfus")


def test_every_reason_that_an_importer_gives_has_a_sentence() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "service/ingest/importers").glob("*.py"))
    given = set(re.findall(r'(?:NotTaken|Refusal|Note)\(\s*"([a-z_0-9]+)"', sources))
    assert len(given) > 10 and given <= set(REASONS)


@pytest.mark.parametrize("first", [None, 5, "text", [], {}, {"chat": 5}, {"data": None}, {"messages": "no"}, [1, [2]]])
def test_whatever_an_entry_is_looking_at_it_raises_nothing(first: object) -> None:
    for kind in ("json", "csv", "parquet"):
        assert recognise(Look("x", kind, first)) is None  # type: ignore[arg-type]


THUMBS = [
    (
        "nothing said: a thumb in any spelling",
        (),
        (),
        [(True, "up"), (0, "down"), ("Thumbs_Up", "up"), (3, None), ("", None)],
    ),
    ("a value", ("1",), (), [(1.0, "up"), (True, "up"), ("1", "up"), (0, "down"), (5, "down")]),
    (
        "a comparison, and what is neither",
        (">=4",),
        ("<=2",),
        [(4, "up"), ("5", "up"), (3, None), (1, "down"), ("good", None)],
    ),
    ("a word", ("Good",), (), [("good", "up"), ("bad", "down"), (1, "down")]),
]


@pytest.mark.parametrize(("up", "down", "rows"), [row[1:] for row in THUMBS], ids=[row[0] for row in THUMBS])
def test_which_way_a_score_points(
    up: tuple[str, ...], down: tuple[str, ...], rows: list[tuple[object, str | None]]
) -> None:
    thumbs = read_thumbs(["stars"], up, down)
    assert [thumbs.of("stars", value) for value, _ in rows] == [expected for _, expected in rows]
    assert thumbs.of("other", rows[0][0]) is None and thumbs.of("stars", None) is None
    assert up or as_thumb("👍") == "up"


@pytest.mark.parametrize(
    ("up", "down", "sentence"), [((), ("0",), "says nothing without --up"), ((">=x",), (), "no number")]
)
def test_thumbs_that_say_nothing_are_refused(up: tuple[str, ...], down: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_thumbs((), up, down)
