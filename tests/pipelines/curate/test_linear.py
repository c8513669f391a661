"""Curation takes time in proportion to the text, however hostile; what replaced quadratic code finds the same."""

import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.curate.config import OVER_BUDGET, CurationConfig
from pipelines.curate.curate import Curator
from pipelines.curate.detect import Span, _united, merge
from pipelines.curate.fakes import hangul_names
from pipelines.curate.gazetteer import gazetteer
from pipelines.curate.names import NameRules
from pipelines.curate.normalise import normalise
from pipelines.curate.recognizers.bounded import DetectionTimedOut
from pipelines.curate.recognizers.phone import _Cover
from pipelines.curate.replace import _alternatives, _lowered
from pipelines.records import Quarantined
from tests.effort import within
from tests.pipelines.curate.chats import CONFIG, KEY, SECRET, Chat

MEGABYTE = 1_000_000
HANGUL = [surname + given for surname in hangul_names("last")[:20] for given in sorted(gazetteer().hangul_given)[:10]]
LATIN = [f"{given.title()} Smith" for given in sorted(gazetteer().given)[:200]]


def fill(words: Sequence[str], characters: int, joint: str = ", ") -> str:
    rng = random.Random(1)
    average = sum(map(len, words)) / len(words) + len(joint)
    return joint.join(rng.choices(words, k=int(characters / average) + 1))[:characters]


HOSTILE: dict[str, Callable[[int], str]] = {
    "Korean names": lambda n: fill(HANGUL, n),
    "Korean names with particles": lambda n: fill([f"{name}에게" for name in HANGUL], n, " "),
    "Korean names in one word": lambda n: fill(HANGUL, n, ""),
    "English names": lambda n: fill(LATIN, n),
    "English names joined by and": lambda n: fill(LATIN, n, " and "),
    "names of both": lambda n: fill([*LATIN, *HANGUL], n, " "),
    "nearly names": lambda n: fill([name[:-1] + "q" for name in LATIN], n, " "),
    "cues": lambda n: ("my name is " * (n // 11 + 1))[:n],
    "capitals": lambda n: ("Aa " * (n // 3 + 1))[:n],
    "one long word": lambda n: "김" * n,
    "one long Latin word": lambda n: "Aa" * (n // 2),
    "digits": lambda n: ("1 2" * (n // 3 + 1))[:n],
    "punctuation": lambda n: ("J. R. " * (n // 6 + 1))[:n],
    "zero-width characters": lambda n: "\u200b".join(fill(LATIN, n // 2)),
    "places": lambda n: ("가나의 수도 capital of " * (n // 16 + 1))[:n],
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_is_searched_for_names_within_two_seconds_or_not_at_all(hostile: Callable[[int], str]) -> None:
    text, rules = normalise(hostile(MEGABYTE)).text, NameRules(CurationConfig().timeout_seconds)

    def search() -> None:
        with suppress(DetectionTimedOut):  # the row is quarantined for it
            rules.find(text)

    within(2.5, search)


@pytest.mark.parametrize("pool", [LATIN, HANGUL], ids=["English", "Korean"])
def test_a_conversation_of_eight_long_messages_of_names_takes_a_few_seconds(
    curator: Curator, chat: Chat, pool: list[str]
) -> None:
    talk = chat(*(fill(pool, 31_990 - n) for n in range(8)))
    # About 5; without bounds Korean ones took 20, and English ones minutes.
    within(12, lambda: curator.curate(talk, SECRET, KEY), tries=1)


def test_what_takes_more_processor_time_than_it_may_is_quarantined_for_that(chat: Chat) -> None:
    curator = Curator(CONFIG.model_copy(update={"budget_seconds": 0.05}))
    talk = chat(*(fill(HANGUL, 31_990 - n) for n in range(8)))
    assert within(1, lambda: curator.curate(talk, SECRET, KEY)) == Quarantined(id=talk.id, reason=OVER_BUDGET)


# ---- the same findings as before ---------------------------------------------------------------------------

TEXT = "ab cd 010-1234 Ann Lee é\uff11 " * 4
SPANS = st.lists(
    st.builds(
        lambda start, length, entity: Span(start, min(start + length, len(TEXT)), entity, f"v{start}"),
        st.integers(0, len(TEXT) - 1),
        st.integers(1, 12),
        st.sampled_from(["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "URL", "SECRET"]),
    ),
    max_size=25,
)


def merge_slowly(found: Sequence[Span]) -> list[Span]:
    """Every name compared with all that is taken, and every union read at once."""
    taken: list[Span] = []
    for span in sorted((s for s in found if s.entity != "PERSON"), key=lambda s: (s.start, -s.end)):
        if taken and span.start < taken[-1].end:
            one = _united(taken[-1], span)
            value = one.value or normalise(TEXT[one.start : one.end]).text
            taken[-1] = Span(one.start, one.end, one.entity, value)
        else:
            taken.append(span)
    for span in sorted((s for s in found if s.entity == "PERSON"), key=lambda s: (s.start, -s.end)):
        if not any(span.start < other.end and other.start < span.end for other in taken):
            taken.append(span)
    return sorted(taken, key=lambda s: s.start)


@given(found=SPANS)
def test_findings_are_merged_as_by_comparing_each_with_each(found: list[Span]) -> None:
    assert merge(found, TEXT) == merge_slowly(found)


def test_merging_takes_linear_time() -> None:
    spans = [Span(n, n + 2, "PERSON" if n % 3 else "URL", "v") for n in range(0, 120_000, 2)]
    assert len(within(2, lambda: merge(spans, "x" * 120_002))) == len(spans)


NAMES = st.text("aAbB é", min_size=1, max_size=5)


@given(names=st.sets(NAMES, max_size=8), text=st.text("aAbB é", max_size=40))
def test_a_tree_of_names_finds_what_a_list_of_them_did_longest_first(names: set[str], text: str) -> None:
    listed = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))) or "(?!)"
    for flags, given_names in ((re.NOFLAG, names), (re.IGNORECASE, {_lowered(name) for name in names})):
        before = re.compile(rf"(?<![a-zA-Z])(?:{listed})(?![a-zA-Z])", flags)
        after = re.compile(rf"(?<![a-zA-Z])(?:{_alternatives(given_names)})(?![a-zA-Z])", flags)
        assert [match.span() for match in after.finditer(text)] == [match.span() for match in before.finditer(text)]


def test_thousands_of_names_are_looked_for_in_linear_time() -> None:
    rng = random.Random(3)
    names = {"".join(rng.choices("abcdefghij", k=8)).title() for _ in range(3_000)}
    text = " ".join(sorted(names) * 6)

    def look() -> list[str]:
        re.purge()
        return re.compile(rf"(?<![A-Za-z0-9@])(?:{_alternatives(names)})(?![A-Za-z0-9@])").findall(text)

    assert len(within(2, look)) == 6 * len(names)


@given(
    spans=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (min(pair), max(pair)))),
    start=st.integers(0, 20),
    length=st.integers(0, 8),
)
def test_a_span_within_one_of_many_is_found(spans: list[tuple[int, int]], start: int, length: int) -> None:
    end = start + length
    assert _Cover(spans).holds(start, end) == any(first <= start and end <= last for first, last in spans)
