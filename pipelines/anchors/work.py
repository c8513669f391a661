"""What was written so far of a set, in a file that only grows: after a kill the next run goes on behind the last line.

candidates.jsonl
    {"base": "3f2a..", "seed": 0, "families": ["chat-en", ...], "run_code": true}      whose it is
    {"family": "math-en", "candidates": [{"id": "math-en-00000", "prompt": "...", "answer": "...", "reason": null}, ...]}
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from pipelines.anchors.frames import FAMILIES
from pipelines.anchors.screen import Distinct
from pipelines.artifacts import write_atomic
from pipelines.errors import DataError
from pipelines.mixture.anchors import Anchor, AnchorTurn
from pipelines.records import Record

WORK = "candidates.jsonl"
_LEAST_TRIES, _TRIES = 24, 6  # candidates of a family for each anchor that is wanted, before it falls short


class Terms(Record):
    """What decides what is written; a file of other terms is another set's."""

    base: str
    seed: int
    families: tuple[str, ...]
    run_code: bool


class Candidate(Record):
    """A prompt with the answer to it, or as far as it came; `reason` says why it is no anchor, None for one."""

    id: str
    prompt: str
    answer: str = ""
    reason: str | None = None

    @property
    def anchor(self) -> Anchor:
        """The anchor that this is."""
        turns = (AnchorTurn(role="user", content=self.prompt), AnchorTurn(role="assistant", content=self.answer))
        return Anchor(id=self.id, family=self.id.rpartition("-")[0], turns=turns)


class Group(Record):
    """What was written at once."""

    family: str
    candidates: tuple[Candidate, ...]


class Work:
    """The file of a set and what follows from it: the same terms and wishes give the same groups, interrupted or not.

    Raises:
        DataError: the file in the folder was begun on other terms, or is none of these files.
    """

    def __init__(self, folder: Path, terms: Terms, count: int) -> None:
        self._path, self.terms = folder / WORK, terms
        self.wanted = shares_of(count, terms.families)
        self.groups: Counter[str] = Counter()
        self.tries: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.kept: dict[str, list[Candidate]] = {family: [] for family in terms.families}
        self._distinct = Distinct()
        folder.mkdir(parents=True, exist_ok=True)
        for group in self._open():
            self._count(group)

    @property
    def done(self) -> int:
        """How many anchors there are, of those that are wanted."""
        return sum(min(len(kept), self.wanted[family]) for family, kept in self.kept.items())

    @property
    def spare(self) -> int:
        """How many good ones there are beyond what is wanted: a family is written several at once."""
        return sum(map(len, self.kept.values())) - self.done

    def next_family(self) -> str | None:
        """The family that lacks the largest part of what is wanted of it; None when nothing is left to do."""
        open_ = [family for family in self.wanted if self._lacks(family) > 0 and not self.is_given_up(family)]
        return max(open_, key=lambda family: (self._lacks(family) / self.wanted[family], family), default=None)

    def is_given_up(self, family: str) -> bool:
        """Whether this base gives too few good answers in a family for more to be worth while."""
        return self.tries[family] >= max(_LEAST_TRIES, _TRIES * self.wanted[family])

    def add(self, family: str, candidates: Sequence[Candidate]) -> None:
        """Keep what was just written, for good: it is on disk when this returns."""
        judged = tuple(self._judged(one) for one in candidates)
        group = Group(family=family, candidates=judged)
        with self._path.open("ab") as file:
            file.write(group.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._tally(group)

    def anchors(self) -> list[Anchor]:
        """The anchors, of each family as many as are wanted."""
        return [one.anchor for family, kept in self.kept.items() for one in kept[: self.wanted[family]]]

    def _lacks(self, family: str) -> int:
        return self.wanted[family] - len(self.kept[family])

    def _judged(self, one: Candidate) -> Candidate:
        if one.reason is not None or self._distinct.add(one.prompt, one.answer):
            return one
        return one.model_copy(update={"reason": "near_duplicate"})

    def _count(self, group: Group) -> None:
        for one in group.candidates:
            if one.reason is None:
                self._distinct.add(one.prompt, one.answer)
        self._tally(group)

    def _tally(self, group: Group) -> None:
        self.groups[group.family] += 1
        self.tries[group.family] += len(group.candidates)
        self.rejected.update(one.reason for one in group.candidates if one.reason is not None)
        self.kept[group.family] += [one for one in group.candidates if one.reason is None]

    def _open(self) -> Iterator[Group]:
        """The groups of the file, which is begun now if there is none; half a line at its end is cut off."""
        if not self._path.is_file():
            write_atomic(self._path, self.terms.model_dump_json() + "\n")
            return
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        head, *lines = whole.decode().splitlines()
        try:
            self._check_terms(Terms.model_validate_json(head))
            yield from map(Group.model_validate_json, lines)
        except ValidationError as error:
            raise DataError(f"{self._path} is no work of this version; delete it to begin the set anew") from error

    def _check_terms(self, begun: Terms) -> None:
        if begun.base != self.terms.base:
            raise DataError(
                f"the set in {self._path.parent} was begun for another base; give this one another name (--name)"
            )
        if begun != self.terms:
            with_ = f"--seed {begun.seed} --families {','.join(begun.families)}"
            how = "" if begun.run_code == self.terms.run_code else ", and with a sandbox for code or without as today"
            raise DataError(
                f"the set in {self._path.parent} was begun with {with_}{how}: go on with these, or give another --name"
            )


def shares_of(count: int, families: Sequence[str]) -> Mapping[str, int]:
    """How many anchors of each family make `count`, at least one each, by the families' shares."""
    whole = sum(FAMILIES[family].share for family in families)
    exact = {family: count * FAMILIES[family].share / whole for family in families}
    counts = {family: max(1, int(number)) for family, number in exact.items()}
    by_rest = sorted(exact, key=lambda family: (int(exact[family]) - exact[family], family))
    for family in by_rest[: max(0, count - sum(counts.values()))]:
        counts[family] += 1
    return counts
