"""When raw text may go: not because a clock says so once, but when looks that followed one another saw the time pass.

Looks come hourly. As long as none is more than a day after the one before, time has passed as clocks say, and what is due
by the clock goes. After a longer gap nobody knows whether the service was down or the clock jumped: for a day only what
was due at the last look before the gap goes, and then what is due now.

    looks  |||||||||| ............ |||||||||
                    ^ before       ^ since  ^ at       at - since < 1 day: only what was due at `before`
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from service.store.clock import database_time
from service.store.tables import RetentionLook

GAP = timedelta(days=1)
_STEP_BACK = timedelta(hours=1)  # clocks are set right by less


@dataclass(frozen=True)
class Look:
    """A look for what is due: when, since when looks follow one another, and the last one before those."""

    at: datetime
    since: datetime
    before: datetime | None

    @property
    def trusted(self) -> datetime | None:
        """The time up to which raw text may be judged to be due; None if nothing may go yet."""
        return self.at if self.at - self.since >= GAP else self.before


def next_look(last: Look | None, at: datetime) -> Look:
    """The look at this time, after the last one."""
    if last is None:
        return Look(at, at, None)
    if -_STEP_BACK <= at - last.at <= GAP:
        return Look(at, min(last.since, at), last.before)
    before = last.at if at > last.at else last.before
    return Look(at, at, before if before is None or before <= at else None)


def note_look(session: Session) -> Look:
    """Look now, by the database's time, and remember it."""
    row = session.get(RetentionLook, 1)
    look = next_look(None if row is None else Look(row.at, row.since, row.before), database_time(session))
    session.merge(RetentionLook(id=1, at=look.at, since=look.since, before=look.before))
    return look
