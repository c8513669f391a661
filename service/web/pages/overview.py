"""What the overview shows, gathered from the tables and this machine; no HTML in here."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from pipelines.curate.reasons import in_words
from pipelines.errors import RecipeError
from pipelines.feedback.reasons import CONVERSATION_REASONS
from pipelines.recipe_file import load_recipe
from service.curation.changes import Change, sample_changes
from service.obstacles import Obstacle, find_obstacles
from service.rounds.outlook import ScheduleOutlook, schedule_outlooks
from service.settings import Settings
from service.store import models
from service.store.clock import database_time
from service.store.funnel import Funnel, LeftOut, funnel
from service.store.rounds import list_rounds
from service.store.session import Store
from service.store.tables import Model, Promotion, Round
from service.store.trainable import TrainableWatch
from service.store.weeks import Arrived, Thumbs, arrived, thumbs_by_model
from service.vault import Vault
from service.web.pages.counted import Counted
from service.web.pages.machine import machine_of
from service.web.pages.model_views import engine_of, result_of
from service.web.pages.outcome import Outcome
from service.web.pages.rounds import latest_stages
from service.web.pages.visit import NAVIGATION
from service.web.pages.wheel import Drawn, Place, drawn
from service.web.pages.words import N_

WEEK, MONTHS = timedelta(days=7), timedelta(days=180)
_MANY_LINES, _MANY_ROWS = 6, 24  # of the chart, the models that were rated last; of the table, its newest days


@dataclass(frozen=True)
class Figures:
    """What takes long to count: all of it together, so that it fits together.

    `outcome` is what the champion came to in its round, None where no report tells. `least` is the rating from which on the settings' recipe takes a conversation, None where it cannot be read.
    """

    funnel: Funnel
    changes: Sequence[Change]
    week: Arrived
    thumbs: Sequence[Thumbs]
    slots: Sequence[ScheduleOutlook]
    outcome: Outcome | None
    least: int | None


@dataclass(frozen=True)
class Hands:
    """What waits for somebody: conversations that could not be checked, candidates that passed, a round that failed."""

    quarantined: int
    candidates: Sequence[str]
    failed: Round | None
    names_by_rules: bool

    def __bool__(self) -> bool:
        return bool(self.quarantined or self.candidates or self.failed or self.names_by_rules)


@dataclass(frozen=True)
class LeftOutRow:
    """A reason with how many it left out, in words, and the address of the list of them."""

    row: LeftOut
    words: str
    least: int | None
    link: str


class Overview:
    """The overview of a process: its slow figures are counted in threads of their own, for all who look."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, trainable: TrainableWatch) -> None:
        self._settings = settings
        self.figures = Counted(partial(_figures, settings, store, vault))
        self.obstacles: Counted[list[Obstacle]] = Counted(lambda: find_obstacles(settings, store, counts=trainable))
        self.machine = Counted(lambda: machine_of(settings))

    def view(self, session: Session) -> dict[str, Any]:
        """Everything that the page shows. `figures` and what hangs on them are None while they are counted first."""
        figures, settings = self.figures(), self._settings
        rounds = list_rounds(session, 50)
        running = next((one for one in rounds if one.state == "running"), None)
        latest = running or next(iter(rounds), None)
        last, stored = models.last_promotion(session), models.list_models(session)
        waiting = [one.model for one in stored if models.is_waiting(session, one.model)]
        newest = next((one.model for one in stored if one.model.kind == "candidate"), None)
        return {
            "obstacles": self.obstacles(),
            "hands": _hands(settings, figures, waiting, latest),
            "figures": figures,
            "lists": any(path == "/conversations" for path, _, _ in NAVIGATION),
            "wheel": _wheel(figures, latest, newest, waiting, last),
            "champion": last,
            "age": (database_time(session) - last.at) if last else None,
            "engine": engine_of(session, settings),
            "running": running,
            "requested": sum(one.state == "requested" for one in rounds),
            "ended": next((one for one in rounds if one.state not in ("requested", "running")), None),
            "left_out": _left_out(figures.funnel, figures.least) if figures else [],
            "week_left_out": [(words_of(reason), count) for reason, count in figures.week.left_out] if figures else [],
            "thumbs": thumbs_chart(figures.thumbs) if figures else None,
            "machine": self.machine(),
            "latest": latest,
            "latest_stages": latest_stages(session, settings, latest),
        }


def thumbs_chart(thumbs: Sequence[Thumbs]) -> dict[str, Any] | None:
    """What the script draws of the thumbs: days in seconds since 1970, and the share that points up by model, in percent.

    `data` is None of a single day, which makes no line.
    """
    if not thumbs:
        return None
    names = list(dict.fromkeys(one.model for one in reversed(thumbs)))[:_MANY_LINES][::-1]
    starts = sorted({one.start for one in thumbs if one.model in names})
    known = {(one.model, one.start): round(100 * one.share, 1) for one in thumbs}
    lines = {name or "–": [known.get((name, start)) for start in starts] for name in names}
    steps = [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in starts]
    data = {"steps": steps, "lines": lines, "time": True, "unit": "%"}
    drawn = json.dumps(data, separators=(",", ":")) if len(steps) > 1 else None
    return {"data": drawn, "rows": list(reversed(thumbs))[:_MANY_ROWS]}


def words_of(reason: str) -> str:
    """A reason in words that templates translate; empty for one of an earlier version."""
    if reason == "low_satisfaction":
        return N_("rated below %(least)s of 5")
    return CONVERSATION_REASONS.get(reason) or in_words(reason)


def _figures(settings: Settings, store: Store, vault: Vault) -> Figures:
    with store.read() as session:
        at, counts, champion = database_time(session), funnel(session), models.champion_id(session)
        result = result_of(session, settings, models.get_model(session, champion).model) if champion else None
        return Figures(
            funnel=counts,
            changes=sample_changes(session, vault) if counts.altered.changed else (),
            week=arrived(session, at - WEEK),
            thumbs=thumbs_by_model(session, at - MONTHS),
            slots=schedule_outlooks(session),
            outcome=result.outcome if result else None,
            least=_least_satisfaction(settings),
        )


def _hands(settings: Settings, figures: Figures | None, waiting: Sequence[Model], latest: Round | None) -> Hands:
    return Hands(
        quarantined=figures.funnel.quarantined if figures else 0,
        candidates=[one.id for one in waiting],
        failed=latest if latest is not None and latest.state in ("failed", "error") else None,
        names_by_rules=settings.ner_model is None and settings.allow_degraded_names,
    )


def _wheel(
    figures: Figures | None,
    latest: Round | None,
    newest: Model | None,
    waiting: Sequence[Model],
    last: Promotion | None,
) -> list[Drawn]:
    count: Callable[[int], str] = "{:,}".format
    known = figures.funnel if figures else None
    tones = {"passed": "good", "failed": "bad", "error": "bad", "running": "info", "requested": "info"}
    return drawn(
        [
            Place(N_("received"), count(known.received) if known else "…"),
            Place(N_("curated"), count(known.clean) if known else "…"),
            Place(N_("examples"), count(known.used) if known else "…"),
            Place(
                N_("round"),
                str(latest.id) if latest else "–",
                f"/rounds/{latest.id}" if latest else None,
                tones.get(latest.state, "warn") if latest else "",
            ),
            Place(
                N_("candidate"),
                _short(newest.id) if newest else "–",
                f"/models/{newest.id}" if newest else None,
                "info" if newest in waiting else tones.get(f"{newest.verdict}ed", "warn") if newest else "",
            ),
            Place(
                N_("champion"),
                _short(last.model_id) if last else "–",
                f"/models/{last.model_id}" if last else None,
                "good" if last else "",
            ),
        ]
    )


def _short(model_id: str) -> str:
    """A model's id without its recipe's name, where there is little room."""
    parts = model_id.rsplit("-", 2)
    if len(parts) == 3 and parts[1] == "origin":
        return "origin"
    return "-".join(parts[-2:]) if len(parts) == 3 else model_id[:14]


def _left_out(counts: Funnel, least: int | None) -> list[LeftOutRow]:
    return [LeftOutRow(row, words_of(row.reason), least, _list_of(row)) for row in counts.left_out]


def _list_of(row: LeftOut) -> str:
    """The address of the conversations that a reason left out."""
    if row.place.startswith("round "):
        return f"/conversations?round={row.place.removeprefix('round ')}&rule={row.reason}"
    return f"/conversations?state={'quarantined' if row.place == 'quarantine' else 'rejected'}&rule={row.reason}"


def _least_satisfaction(settings: Settings) -> int | None:
    try:
        return load_recipe(settings.recipe_path).select.min_satisfaction
    except RecipeError:
        return None
