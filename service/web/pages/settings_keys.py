"""The page of API keys: made and shown once, rotated with an overlap, revoked; by the functions of `perennial keys`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Response
from starlette.responses import RedirectResponse

from pipelines.errors import InputError, PerennialError
from service.api_keys import KeyInfo, create_key, list_keys, revoke_key, rotate_key
from service.store.session import Store
from service.store.tables import now
from service.web.deps import KeysDep, StoreDep
from service.web.pages.session import HEADERS
from service.web.pages.settings import settings_page
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import status_of

Text = Annotated[str, Form()]
SCOPE_WORDS = {
    "ingest": N_("send conversations, votes, corrections and comparisons"),
    "read": N_("see states, counts, rounds and models"),
    "review": N_("see anonymized conversations one at a time, vote, correct, drop"),
    "operate": N_("see all anonymized conversations, quarantine, recipes, bases, the schedule"),
    "chat": N_("chat with the champion"),
    "people": N_("give a person their data, forget them"),
    "rounds": N_("start and cancel rounds"),
    "models": N_("promote, roll back"),
    "admin": N_("everything, and keys, users and the audit"),
}

router = APIRouter(prefix="/settings/keys", route_class=PageRoute, include_in_schema=False)


@router.get("")
def keys_(visit: VisitDep, store: StoreDep, keys: KeysDep) -> Response:
    """Every key that was ever made, without the keys themselves."""
    visit.require("admin")
    return _page(visit, store, is_open=keys.is_open)


@router.post("")
def create(
    visit: VisitDep,
    store: StoreDep,
    csrf: Text,
    label: Text,
    app: Text = "",
    scopes: Annotated[tuple[str, ...], Form()] = (),
) -> Response:
    """Makes a key and shows it, once."""
    return _show_key(
        visit, store, csrf, lambda: create_key(store, label.strip(), app.strip() or None, scopes, visit.by)
    )


@router.post("/{key_id}/rotate")
def rotate(key_id: str, visit: VisitDep, store: StoreDep, csrf: Text, hours: Text = "24") -> Response:
    """Makes a key in place of one, which goes on working for some hours, and shows the new one, once."""
    return _show_key(visit, store, csrf, lambda: rotate_key(store, key_id, _overlap(hours), visit.by))


@router.post("/{key_id}/revoke")
def revoke(key_id: str, visit: VisitDep, store: StoreDep, csrf: Text) -> Response:
    """Makes a key useless."""
    visit.check_token(csrf)
    visit.require("admin")
    revoke_key(store, key_id, visit.by)
    return RedirectResponse("/settings/keys", 303, dict(HEADERS))


def _show_key(visit: Visit, store: Store, csrf: str, make: Callable[[], str]) -> Response:
    visit.check_token(csrf)
    visit.require("admin")
    try:
        key = make()
    except PerennialError as error:
        return _page(visit, store, problem=str(error), status=status_of(error))
    return _page(visit, store, key=key)


def _page(
    visit: Visit, store: Store, *, key: str = "", problem: str = "", status: int = 200, is_open: bool = False
) -> Response:
    at = now()
    every = list_keys(store)
    working = [one for one in every if _works(one)]
    return settings_page(
        visit,
        "settings_keys.html",
        "/settings/keys",
        status,
        working=working,
        ended=[one for one in every if one not in working],
        now=at,
        scope_words=SCOPE_WORDS,
        key=key,
        problem=problem,
        is_open=is_open,
    )


def _works(info: KeyInfo) -> bool:
    return info.revoked_at is None and (info.expires_at is None or info.expires_at > now())


def _overlap(hours: str) -> timedelta:
    try:
        return timedelta(hours=float(hours))
    except (ValueError, OverflowError):
        raise InputError(f"{hours[:20]!r} is no number of hours; write for example 24") from None
