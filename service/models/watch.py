"""The watch over a new champion: do people, errors or lengths say that it is worse than the weeks before?

    thumbs     people's thumbs that point down, three a person at most
    broken     answers that broke off
    longer     answers longer than those before; shorter: shorter

Each is a bet that may be looked at every minute (pipelines/gate/sequential.py): together they cry wolf at most once in a
hundred promotions. `PERENNIAL_WATCH`: off; warn, which says so; on, which rolls back too. docs/decisions/watch.md.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import log
from typing import Any

import numpy as np
import structlog
from sqlmodel import Session

from pipelines.errors import PerennialError
from pipelines.gate.sequential import Evidence, bet_against_mean, bet_on_larger_share
from service.models import promotion
from service.settings import Settings
from service.store import audit, models
from service.store.session import Store
from service.store.tables import ChampionWatch, Promotion, now
from service.store.watching import Answer, Thumb, answers_between, thumbs_between

BY = "watch"
ALPHA = 0.01
BEFORE, AFTER = timedelta(days=28), timedelta(days=28)
MIN_BEFORE = 50
"""Observations of the weeks before, below which nothing is compared."""
MEAN = 0.75
"""Lengths: a new answer is longer (or shorter) than an earlier one drawn at random in more than three of four cases."""
THUMBS_EACH = 3
_KINDS = ("thumbs", "broken", "longer", "shorter")
_EACH = ALPHA / len(_KINDS)
_PER_BLOCK, _MOST_EACH = 500, 4  # so many earlier observations allow one more of them against each later one
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Signal:
    """One comparison: mean before and after, on so many, and whether it speaks against the champion.

    `evidence` is the largest capital of the bet over what it needs, 1 or more is an alarm; None while too few came before.
    """

    kind: str
    before: float | None
    after: float | None
    n_before: int
    n_after: int
    evidence: float | None

    @property
    def is_alarm(self) -> bool:
        """Whether the champion is worse by more than the margin."""
        return self.evidence is not None and self.evidence >= 1.0

    def words(self) -> str:
        """What it says, for people."""
        if self.before is None or self.after is None:
            return f"{_WORDS[self.kind]}: too few to compare ({self.n_before} before, {self.n_after} since)"
        if self.kind in ("longer", "shorter"):
            said = f"{self.after:.0%} of {self.n_after} answers are {self.kind}"
            return f"{said} than one of the {self.n_before} before, drawn at random"
        numbers = f"{self.before:.1%} of {self.n_before} before, {self.after:.1%} of {self.n_after} since"
        return f"{_WORDS[self.kind]}: {numbers}"


_WORDS = {
    "thumbs": "thumbs down",
    "broken": "answers that broke off",
    "longer": "longer answers",
    "shorter": "shorter answers",
}


@dataclass(frozen=True)
class Observed:
    """What was seen of one side, in order: thumbs (1 is down), answers (1 broke off), lengths."""

    thumbs: np.ndarray
    broken: np.ndarray
    lengths: np.ndarray


def observed(thumbs: Sequence[Thumb], answers: Sequence[Answer]) -> Observed:
    """Thumbs of every person, three at most, and the first answer of each conversation: what belongs together is one."""
    each: Counter[str] = Counter()
    counted = []
    for one in thumbs:
        each[one.rater] += 1
        if each[one.rater] <= THUMBS_EACH:
            counted.append(1.0 if one.value < 0 else 0.0)
    first = list({one.conversation_id: one for one in reversed(answers)}.values())[::-1]
    return Observed(
        np.array(counted),
        np.array([0.0 if one.state == "complete" else 1.0 for one in first]),
        np.array([float(one.length) for one in first if one.length is not None and one.state == "complete"]),
    )


def compare(before: Observed, after: Observed) -> tuple[Signal, ...]:
    """The four comparisons. Nothing changed: one of them is an alarm in at most one promotion of a hundred."""
    return (
        _share("thumbs", before.thumbs, after.thumbs),
        _share("broken", before.broken, after.broken),
        _lengths("longer", before.lengths, after.lengths),
        _lengths("shorter", before.lengths, after.lengths),
    )


def watch_champion(settings: Settings, store: Store, at: datetime | None = None) -> ChampionWatch | None:
    """Look at the champion once and do what the setting says; its row, None if there is nothing to watch.

    Watched are promotions (no rollbacks, no first champion) for four weeks.
    """
    if settings.watch == "off":
        return None
    at = at or now()
    with store.read() as session:
        last = models.last_promotion(session)
        if last is None or not _is_watched(last, at):
            return None
        signals = compare(*_both(session, last, at))
    alarms = [one for one in signals if one.is_alarm]
    with store.begin() as session:
        row, is_new = _note(session, last, signals, alarms, at)
    if alarms and is_new:
        _log.warning("champion_worse", model=last.model_id, signals=[one.kind for one in alarms])
    if alarms and settings.watch == "on":
        _roll_back(settings, store, last)
    return row


def latest_watch(session: Session) -> ChampionWatch | None:
    """The watch of the present champion's promotion; None if it is not watched, or not looked at yet."""
    last = models.last_promotion(session)
    return session.get(ChampionWatch, last.id) if last else None


def taken_back(session: Session) -> ChampionWatch | None:
    """The watch of the model that it rolled back last, while nothing was promoted since."""
    last = models.last_promotion(session)
    if last is None or last.by != BY:
        return None
    before = models.promotion_before(session, last)
    return session.get(ChampionWatch, before.id) if before else None


def sentence(row: ChampionWatch) -> str:
    """What the watch found, in words."""
    signals = [Signal(**one) for one in row.signals]
    alarms = [one for one in signals if one.is_alarm]
    return (
        "; ".join(one.words() for one in alarms or signals if one.before is not None) or "too little came in to compare"
    )


def _is_watched(last: Promotion, at: datetime) -> bool:
    return last.kind in ("promote", "automatic") and last.previous_id is not None and at < last.at + AFTER


def _both(session: Session, last: Promotion, at: datetime) -> tuple[Observed, Observed]:
    earlier = last.at - BEFORE
    before = observed(
        [one for one in thumbs_between(session, earlier, last.at) if one.model != last.model_id],
        [one for one in answers_between(session, earlier, last.at) if one.model != last.model_id],
    )
    after = observed(
        [one for one in thumbs_between(session, last.at, at) if one.model == last.model_id],
        [one for one in answers_between(session, last.at, at) if one.model == last.model_id],
    )
    return before, after


def _note(
    session: Session, last: Promotion, signals: Sequence[Signal], alarms: Sequence[Signal], at: datetime
) -> tuple[ChampionWatch, bool]:
    """The row of this promotion, and whether its alarm is the first; an alarm stays, whatever comes after it."""
    assert last.id is not None
    row = session.get(ChampionWatch, last.id) or ChampionWatch(promotion_id=last.id, model_id=last.model_id)
    is_new = bool(alarms) and row.alarm_at is None
    row.looked_at = at
    if row.alarm_at is None:
        row.signals = [asdict(one) for one in signals]
    if is_new:
        row.alarm_at = at
        detail: dict[str, Any] = {one.kind: f"{one.before:.3f} to {one.after:.3f}" for one in alarms}
        audit.record(session, BY, "watch_alarm", last.model_id, {"promotion": last.id, **detail}, at)
    session.add(row)
    return row, is_new


def _roll_back(settings: Settings, store: Store, watched: Promotion) -> None:
    """Bring the champion before back, unless somebody promoted meanwhile; what speaks against it stays an alarm."""
    with store.read() as session:
        last = models.last_promotion(session)
    if last is None or last.id != watched.id:
        return
    try:
        promotion.rollback(store, settings, BY)
    except PerennialError as error:
        _log.error("watch_cannot_roll_back", model=watched.model_id, error=settings.without_paths(str(error)))


def _share(kind: str, before: np.ndarray, after: np.ndarray) -> Signal:
    if len(before) < MIN_BEFORE or not len(after):
        return Signal(kind, None, None, len(before), len(after), None)
    each = min(_MOST_EACH, max(1, len(before) // _PER_BLOCK))
    evidence = bet_on_larger_share(_shuffled(before), after, _EACH, each)
    return Signal(kind, float(before.mean()), float(after.mean()), len(before), len(after), _of_needed(evidence))


def _lengths(kind: str, before: np.ndarray, after: np.ndarray) -> Signal:
    """Each new answer against an earlier one drawn at random, ties by half."""
    if len(before) < MIN_BEFORE or not len(after):
        return Signal(kind, None, None, len(before), len(after), None)
    pairs = min(len(before), len(after))
    sides = np.sign(after[:pairs] - _shuffled(before)[:pairs]) * (1 if kind == "longer" else -1)
    evidence = bet_against_mean((sides + 1) / 2, MEAN, _EACH)
    return Signal(kind, 0.5, float(((sides + 1) / 2).mean()), len(before), len(after), _of_needed(evidence))


def _shuffled(values: np.ndarray) -> np.ndarray:
    """In an order that says nothing, the same at every look: an alarm must not depend on how often one looks."""
    return np.random.default_rng(len(values)).permutation(values)


def _of_needed(evidence: Evidence) -> float:
    return evidence.largest / log(1 / _EACH)
