"""What was written so far: every family by its share, and gone on with behind the last whole line."""

from pathlib import Path

import pytest

from pipelines.anchors.frames import FAMILIES
from pipelines.anchors.work import WORK, Candidate, Terms, Work, shares_of
from pipelines.errors import DataError

TERMS = Terms(base="a" * 64, seed=0, families=("chat-en", "math-en"), run_code=True)
WORDS = ("ash", "oak", "elm", "fir", "yew", "bay", "fig", "may", "box", "ivy", "sap", "bud")


def candidates(work: Work, family: str, good: int = 6) -> list[Candidate]:
    """Six candidates, of which the first ones are good."""
    first = work.tries[family]
    return [
        Candidate(
            id=f"{family}-{first + place:05}",
            prompt=f"Ask {family} {first + place}",
            answer=f"Say {WORDS[place]} {first}",
            reason=None if place < good else "unfinished",
        )
        for place in range(6)
    ]


def write(work: Work, groups: int, good: int = 6) -> list[str]:
    written = []
    while len(written) < groups and (family := work.next_family()) is not None:
        work.add(family, candidates(work, family, good))
        written.append(family)
    return written


@pytest.mark.parametrize("count", [13, 60, 1000, 4001])
def test_the_families_share_what_is_asked_for(count: int) -> None:
    shares = shares_of(count, tuple(FAMILIES))

    assert min(shares.values()) >= 1 and set(shares) == set(FAMILIES)
    assert count <= sum(shares.values()) <= count + len(FAMILIES)
    assert sum(shares_of(4001, tuple(FAMILIES)).values()) == 4001


def test_a_run_that_is_gone_on_with_writes_what_one_in_one_piece_does(tmp_path: Path) -> None:
    whole = Work(tmp_path / "whole", TERMS, 40)
    written = write(whole, 99, good=4)
    for stop in (1, 3):
        write(Work(tmp_path / "pieces", TERMS, 40), stop, good=4)
        with (tmp_path / "pieces" / WORK).open("ab") as file:
            file.write(b'{"family": "chat-en", "candida')  # what a kill leaves
    rest = Work(tmp_path / "pieces", TERMS, 40)
    write(rest, 99, good=4)

    assert len(written) > 4 and rest.next_family() is None
    assert (tmp_path / "pieces" / WORK).read_bytes() == (tmp_path / "whole" / WORK).read_bytes()
    assert (rest.anchors(), rest.rejected) == (whole.anchors(), whole.rejected)


def test_everything_written_is_an_anchor_left_over_or_counted_with_its_reason(tmp_path: Path) -> None:
    work = Work(tmp_path, TERMS, 40)
    write(work, 99, good=4)

    assert sum(work.tries.values()) == sum(map(len, work.kept.values())) + sum(work.rejected.values())
    assert len(work.anchors()) == work.done == 40
    assert sum(work.tries.values()) == work.done + work.spare + sum(work.rejected.values())


def test_a_family_that_gives_nothing_is_given_up_and_the_others_are_not(tmp_path: Path) -> None:
    work = Work(tmp_path, TERMS, 8)
    while (family := work.next_family()) is not None:
        work.add(family, candidates(work, family, good=0 if family == "math-en" else 6))

    assert work.tries["math-en"] == 24 and not work.kept["math-en"]
    assert work.done == work.wanted["chat-en"]


def test_the_same_thing_twice_is_kept_once(tmp_path: Path) -> None:
    work = Work(tmp_path, TERMS, 40)
    same = candidates(work, "chat-en")
    work.add("chat-en", same)
    work.add("chat-en", same)

    assert work.rejected == {"near_duplicate": 6}
    assert Work(tmp_path, TERMS, 40).rejected == {"near_duplicate": 6}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "b" * 64}, "was begun for another base; give this one another name"),
        ({"seed": 1}, "was begun with --seed 0 --families chat-en,math-en: go on with these"),
        ({"families": ("chat-en",)}, "was begun with --seed 0 --families chat-en,math-en: go on"),
        ({"run_code": False}, "and with a sandbox for code or without as today"),
    ],
    ids=["base", "seed", "families", "sandbox"],
)
def test_work_of_other_terms_is_not_gone_on_with(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    Work(tmp_path, TERMS, 8)

    with pytest.raises(DataError, match=said):
        Work(tmp_path, TERMS.model_copy(update=changes), 8)


def test_a_file_that_is_no_work_is_refused(tmp_path: Path) -> None:
    (tmp_path / WORK).write_text("{}\n", encoding="utf-8")

    with pytest.raises(DataError, match="is no work of this version; delete it"):
        Work(tmp_path, TERMS, 8)
