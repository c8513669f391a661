"""The snapshot: the immutable list of what a round learns from, what measures it, and why the rest is left out.

items.jsonl holds one line per conversation, ids and numbers only:
    {"conversation": "9f..", "person": "1c..", "outcome": "used", "reason": "train", "part": "train",
     "source": "new", "month": "2026-09", "tokens": 34, "turns": [{"key": {...}, "role": "user", ...}], "digest": ".."}
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.artifacts import digest_of
from pipelines.backends.base import fetch_base
from pipelines.chat import escape_markers
from pipelines.contamination import Contamination, suite_items
from pipelines.errors import DataError
from pipelines.recipe import Recipe, Select
from pipelines.records import Corpus, Record, SnapshotItem
from pipelines.stages.selection import FindContaminated, UserCap, select
from pipelines.suites.load import load_suite
from pipelines.suites.rules import GUARD_SUITE
from pipelines.suites.scores import HELDOUT
from pipelines.tokens import ChatTokenizer


class SnapshotOutput(Record):
    """The funnel and the list; `examples` counts what is used (new + replay), `tokens` trained assistant tokens."""

    items: str
    digest: str
    received: int
    rejected: Mapping[str, int]
    clean: int
    examples: int
    new: int
    replay: int
    dev: int
    heldout: int
    left_out: Mapping[str, int]
    tokens: Mapping[str, int]
    people: int
    cap: UserCap | None

    @property
    def sizes(self) -> dict[str, int]:
        """The counts that a round's row shows."""
        names = ("received", "clean", "examples", "new", "replay", "dev", "heldout")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Selector:
    """What selection needs of a recipe besides its rules. `suite_digests` say when it must be done again."""

    count_tokens: Callable[[str], int]
    find_contaminated: FindContaminated
    suite_digests: Mapping[str, str]


def open_selector(recipe: Recipe, project: Path) -> Selector:
    """The recipe's tokenizer and the items of its suites, ready to judge text.

    Raises:
        ModelError, SuiteError: the base model or a suite is missing or malformed.
    """
    tokenizer = ChatTokenizer(fetch_base(recipe.base, project))
    names = [name for name in recipe.evaluate.suites if name not in (HELDOUT, GUARD_SUITE)]
    suites = [load_suite(project / "data" / "suites" / name) for name in names]
    return Selector(
        count_tokens=lambda text: len(tokenizer.text_ids(escape_markers(text))),
        find_contaminated=Contamination(suite_items(suites)).check_pool,
        suite_digests={suite.name: suite.digest for suite in suites},
    )


def snapshot(corpus: Corpus, config: Select, out: Path, selector: Selector) -> SnapshotOutput:
    """The immutable list of records for one round, written to `out`/items.jsonl, with the funnel's counts."""
    items, cap = _selected(corpus, config, selector)
    lines = "".join(item.model_dump_json() + "\n" for item in items)
    (out / "items.jsonl").write_text(lines, encoding="utf-8")
    return _funnel(items, cap, corpus.outcomes())


def read_items(path: Path) -> list[SnapshotItem]:
    """The records of an items.jsonl, in its order.

    Raises:
        DataError: a line is not a snapshot item of this version.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return [SnapshotItem.model_validate_json(line) for line in file]
    except ValueError as error:
        raise DataError(f"{path} is not a snapshot of this version: {error}") from error


def preview(corpus: Corpus, rules: Select, selector: Selector) -> SnapshotOutput:
    """The counts that a snapshot taken now would have; writes nothing."""
    items, cap = _selected(corpus, rules, selector)
    return _funnel(items, cap, corpus.outcomes())


def _selected(corpus: Corpus, rules: Select, selector: Selector) -> tuple[list[SnapshotItem], UserCap | None]:
    count, find = selector.count_tokens, selector.find_contaminated
    return select(corpus.candidates(), rules, count_tokens=count, find_contaminated=find)


def _funnel(items: Sequence[SnapshotItem], cap: UserCap | None, rejected: Mapping[str, int]) -> SnapshotOutput:
    used = [item for item in items if item.outcome == "used"]
    parts = Counter(item.part for item in items if item.outcome == "held_out")
    sources = Counter(item.source for item in used)
    return SnapshotOutput(
        items="items.jsonl",
        digest=digest_of([item.model_dump(mode="json") for item in items]),
        received=len(items) + sum(rejected.values()),
        rejected=dict(rejected),
        clean=len(items),
        examples=len(used),
        new=sources["new"],
        replay=sources["replay"],
        dev=parts["dev"],
        heldout=parts["heldout"],
        left_out=dict(sorted(Counter(item.reason for item in items if item.outcome == "left_out").items())),
        tokens={source: sum(i.tokens for i in used if i.source == source) for source in ("new", "replay")},
        people=len({item.person for item in used}),
        cap=cap,
    )
