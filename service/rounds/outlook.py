"""What a schedule is about to do: its next slots, whether there is enough that is new, and when it may run at all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice

from sqlmodel import Session

from pipelines.errors import RecipeError
from pipelines.recipe import Only
from pipelines.recipe_file import parse_recipe
from service.rounds.quiet import Surroundings, objection
from service.rounds.schedule import ScheduleView, schedule_views, slots
from service.store import rounds, schedules
from service.store.clock import database_time
from service.store.session import Store
from service.store.trainable import count_new

SLOTS = 3
Count = Callable[[int], int | None]


@dataclass(frozen=True)
class ScheduleOutlook:
    """A schedule with what it is about to do.

    Attributes:
        following: its next slots, UTC.
        asked, found: new conversations that it asks for and that are there, counted no further; before selection, which
            may leave some out. None while they are being counted.
        only: when its rounds may run, None for at any time; `waits` says why none may run now, if so.
        problem: why this version refuses its recipe; empty if it does not.
    """

    view: ScheduleView
    following: tuple[datetime, ...]
    asked: int
    found: int | None
    only: Only | None
    waits: str | None
    problem: str = ""

    @property
    def is_met(self) -> bool:
        """Whether there is enough that is new."""
        return self.found is not None and self.found >= self.asked


def schedule_outlooks(session: Session, count: Count | None = None) -> list[ScheduleOutlook]:
    """Every schedule by name; `count` says how many new conversations there are, up to so many, None counts them now."""
    count = count or partial(_count_new, session)
    recipes = {row.name: row.recipe for row in schedules.list_schedules(session)}
    return [_outlook(session, view, recipes[view.name], count) for view in schedule_views(session)]


def count_new_now(store: Store, enough: int) -> int:
    """How many conversations could train that the champion and those before it have not seen, up to `enough`."""
    with store.read() as session:
        return _count_new(session, enough)


def _count_new(session: Session, enough: int) -> int:
    _, lineage = rounds.champion_lineage(session)
    return count_new(session, lineage, enough)


def _outlook(session: Session, view: ScheduleView, text: str, count: Count) -> ScheduleOutlook:
    try:
        recipe = parse_recipe(text, view.name)
        following = tuple(islice(slots(view.cron, database_time(session)), SLOTS))
    except RecipeError as error:
        return ScheduleOutlook(view, (), 0, 0, None, None, str(error))
    asked = recipe.schedule.min_new_examples if recipe.schedule else 0
    only = recipe.schedule.only if recipe.schedule else None
    found = count(asked) if asked else 0
    return ScheduleOutlook(view, following, asked, found, only, objection(only, Surroundings()))
