"""How much of the gold a finder covers, and what it takes besides."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.privacy.rows import Gold, Row

Finding = tuple[int, int]
Finder = Callable[[Row], list[Finding]]
STRUCTURED = ("phone", "email", "url", "card", "iban", "ip", "id", "passport", "licence", "plate", "secret")


@dataclass(frozen=True)
class Score:
    """`recall` by kind: gold spans covered to the last letter or digit. `precision`: findings that touch gold, of all.

    `tight`: findings, of those that touch gold, that take no letter or digit beside it. `damaged`: near-misses changed.
    """

    planted: dict[str, int]
    recall: dict[str, float]
    structured_recall: float
    precision: float
    tight: float
    near_misses: int
    damaged: int


def score(rows: Sequence[Row], find: Finder) -> Score:
    """The figures of one finder over all rows."""
    planted, covered = Counter[str](), Counter[str]()
    found = right = tight = near = damaged = 0
    for row in rows:
        findings = find(row)
        for gold in row.gold:
            planted[gold.kind] += 1
            covered[gold.kind] += is_covered(row.text, gold, findings)
        found += len(findings)
        touching = [finding for finding in findings if any(_touch(finding, gold) for gold in row.gold)]
        right += len(touching)
        tight += sum(not takes_more(row, finding) for finding in touching)
        near += not row.gold
        damaged += not row.gold and bool(findings)
    kinds = [kind for kind in planted if kind in STRUCTURED]
    return Score(
        dict(planted),
        {kind: round(covered[kind] / planted[kind], 3) for kind in sorted(planted)},
        round(sum(covered[kind] for kind in kinds) / max(1, sum(planted[kind] for kind in kinds)), 3),
        round(right / max(1, found), 3),
        round(tight / max(1, right), 3),
        near,
        damaged,
    )


def is_covered(text: str, gold: Gold, findings: Sequence[Finding]) -> bool:
    """Whether every letter and digit of the gold span lies within a finding."""
    places = (place for place in range(gold.start, gold.end) if text[place].isalnum())
    return all(any(start <= place < end for start, end in findings) for place in places)


def takes_more(row: Row, finding: Finding) -> bool:
    """Whether a finding holds a letter or digit that no gold span holds."""
    inside = {place for gold in row.gold for place in range(gold.start, gold.end)}
    return any(row.text[place].isalnum() and place not in inside for place in range(*finding))


def _touch(finding: Finding, gold: Gold) -> bool:
    return finding[0] < gold.end and gold.start < finding[1]
