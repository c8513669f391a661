"""The pages of conversations: a list with filters, and one conversation with its tree and its fate. Scope `operate`."""

import threading
import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from sqlmodel import Session
from starlette.responses import RedirectResponse

from pipelines.curate.reasons import in_words
from pipelines.errors import InputError
from pipelines.feedback.reasons import CONVERSATION_REASONS
from pipelines.feedback.reasons import PARTS as PART_REASONS
from service.store import browse, people
from service.store.browse import Choices, Filters, Listing
from service.store.session import Store
from service.store.tables import Conversation
from service.vault import Vault
from service.web.deps import StoreDep, VaultDep
from service.web.pages.reading import OUTCOMES, PARTS, STATES, conversation_view, row_views
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, VisitDep

_CHOICES_SECONDS = 60.0
_VOTES = {"up": 1, "down": -1}

router = APIRouter(prefix="/conversations", route_class=PageRoute, include_in_schema=False)
Text = Annotated[str, Query(max_length=256)]


@dataclass(frozen=True)
class Asked:
    """The filters as the form sends them; empty: any."""

    state: Text = ""
    rule: Text = ""
    app: Text = ""
    model: Text = ""
    vote: Text = ""
    language: Text = ""
    topic: Text = ""
    month: Text = ""
    part: Text = ""
    round: Text = ""

    @property
    def given(self) -> dict[str, str]:
        """Those that are set."""
        return {field.name: text for field in fields(self) if (text := getattr(self, field.name).strip())}

    def filters(self, session: Session) -> Filters:
        """What the list is asked for. Raises InputError for a month or a round that is none."""
        given = self.given
        since, before = _month(given.get("month"))
        return Filters(
            state=given.get("state"),
            rule=given.get("rule"),
            app=None if "app" not in given else people.app_id(session, given["app"]) or "",
            model=given.get("model"),
            vote=_VOTES.get(given.get("vote", "")),
            language=given.get("language"),
            topic=given.get("topic"),
            since=since,
            before=before,
            part=given.get("part"),
            round=_round(session, given.get("round"), given.get("rule")),
        )


class ChoicesWatch:
    """What the filters offer, read again once it is a minute old."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._seen: Choices | None = None
        self._due = 0.0

    def __call__(self) -> Choices:
        """The choices of at most a minute ago."""
        with self._lock:
            if self._seen is None or time.monotonic() >= self._due:
                with self._store.read() as session:
                    self._seen = browse.choices(session)
                self._due = time.monotonic() + _CHOICES_SECONDS
            return self._seen


@router.get("")
def conversations(
    visit: VisitDep,
    store: StoreDep,
    vault: VaultDep,
    asked: Annotated[Asked, Depends()],
    after: Text = "",
    id: Text = "",
) -> Response:
    """The newest conversations that pass the filters; or the one with an id."""
    visit.require("operate")
    problem = ""
    with store.read() as session:
        apps = people.all_apps(session)
        listing = Listing((), None)
        if id.strip():
            listing = Listing(tuple(_named(session, vault, apps, id.strip())), None)
        else:
            try:
                listing = browse.browse(session, asked.filters(session), after or None)
            except InputError as error:
                problem = str(error)
        rows = row_views(session, vault, listing.conversations)
    if id.strip() and len(rows) == 1:
        return RedirectResponse(f"/conversations/{rows[0].row.id}", 303, dict(HEADERS))
    choices = _choices(visit, store)
    return visit.page(
        "conversations.html",
        422 if problem else 200,
        here="/conversations",
        rows=rows,
        apps=[name for _, name in apps],
        rules=[(rule, f"{_words_of(rule)} ({count:,})") for rule, count in choices.rules],
        pairs=lambda names: [(name, name) for name in names],
        choices=choices,
        given=asked.given,
        id=id.strip(),
        problem=problem,
        is_first=not after,
        looked=listing.looked,
        next=None if listing.next is None else "?" + urlencode({**asked.given, "after": listing.next}),
        newest="?" + urlencode(asked.given),
        states=STATES,
        parts=PARTS,
    )


@router.get("/{conversation_id}")
def conversation(conversation_id: str, visit: VisitDep, store: StoreDep, vault: VaultDep) -> Response:
    """One conversation."""
    visit.require("operate")
    with store.read() as session:
        view = conversation_view(session, vault, conversation_id)
        return visit.page(
            "conversation.html", here="/conversations", states=STATES, parts=PARTS, outcomes=OUTCOMES, **view
        )


def _choices(visit: VisitDep, store: Store) -> Choices:
    state = visit.request.app.state
    if not hasattr(state, "conversation_choices"):
        state.conversation_choices = ChoicesWatch(store)
    watch: ChoicesWatch = state.conversation_choices
    return watch()


def _words_of(rule: str) -> str:
    return in_words(rule) or CONVERSATION_REASONS.get(rule, "") or rule


def _named(session: Session, vault: Vault, apps: list[tuple[str, str]], id: str) -> list[Conversation]:
    """By the id of a conversation or a message that an app gave, or by ours."""
    if "\0" in id:
        return []
    chats = [(app, vault.conversation_hash(app, id)) for app, _ in apps]
    return browse.named(session, chats, [vault.message_hash(app, id) for app, _ in apps], id)


def _month(text: str | None) -> tuple[datetime | None, datetime | None]:
    if text is None:
        return None, None
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    except ValueError:
        raise InputError(f"the month {text[:20]!r} is none: write it as 2026-11") from None
    return first, following


def _round(session: Session, text: str | None, rule: str | None) -> int | None:
    """The round that was asked for; the newest one for a reason that only rounds give."""
    if text is not None:
        if not text.isdecimal() or len(text) > 9:
            raise InputError(f"the round {text[:20]!r} is none: write its number")
        return int(text)
    if rule in CONVERSATION_REASONS and rule not in PART_REASONS and not in_words(rule or ""):
        return browse.newest_snapshot(session)
    return None
