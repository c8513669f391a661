"""What the pages show, gathered from the tables and the rounds' folders; no HTML in here."""

from typing import Any

from sqlmodel import Session

from service.rounds.schedule import schedule_views
from service.store.rounds import list_rounds
from service.web.pages.rounds import took


def rounds_view(session: Session) -> dict[str, Any]:
    """All rounds, newest first, and the schedules that ask for them."""
    found = list_rounds(session)
    return {
        "rounds": [{**one.model_dump(), "took": took(one.started_at, one.finished_at)} for one in found],
        "schedules": schedule_views(session),
    }
