"""The page of users: made, given another role or password, signed out, disabled; by the functions of `perennial users`."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from pipelines.errors import PerennialError
from service.passwords import SHORTEST
from service.sign_in import renew_password
from service.store.session import Store
from service.users import create_user, disable_user, enable_user, end_sessions, list_users, set_role
from service.web.deps import KeysDep, StoreDep, VaultDep
from service.web.pages.session import HEADERS
from service.web.pages.settings import settings_page
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import status_of

Text = Annotated[str, Form()]
ROLE_WORDS = {
    "viewer": N_("viewer: sees states, counts, rounds and models"),
    "reviewer": N_("reviewer: also reads anonymized conversations one at a time, votes, corrects, drops, chats"),
    "operator": N_("operator: also runs rounds, promotes, recipes, bases, the schedule, and people's data"),
    "admin": N_("admin: everything, and keys, users and the audit"),
}

router = APIRouter(prefix="/settings/users", route_class=PageRoute, include_in_schema=False)


@router.get("")
def users_(visit: VisitDep, store: StoreDep, keys: KeysDep) -> Response:
    """Every user."""
    visit.require("admin")
    return _page(visit, store, is_open=keys.is_open)


@router.post("")
async def create(visit: VisitDep, store: StoreDep, csrf: Text, name: Text, role: Text, password: Text) -> Response:
    """Makes a user."""
    return await _do(visit, store, csrf, lambda: create_user(store, name, role, password, visit.by))


@router.post("/{name}/role")
async def change_role(name: str, visit: VisitDep, store: StoreDep, csrf: Text, role: Text) -> Response:
    """Gives a user another role."""
    return await _do(visit, store, csrf, lambda: set_role(store, name, role, visit.by))


@router.post("/{name}/password")
async def change_password(
    name: str, visit: VisitDep, store: StoreDep, vault: VaultDep, csrf: Text, password: Text
) -> Response:
    """Gives a user another password."""
    return await _do(visit, store, csrf, lambda: renew_password(store, vault, name, password, visit.by))


@router.post("/{name}/logout")
async def logout(name: str, visit: VisitDep, store: StoreDep, csrf: Text) -> Response:
    """Signs a user out everywhere."""
    return await _do(visit, store, csrf, lambda: end_sessions(store, name, visit.by))


@router.post("/{name}/disable")
async def disable(name: str, visit: VisitDep, store: StoreDep, csrf: Text) -> Response:
    """Lets a user sign in no more."""
    return await _do(visit, store, csrf, lambda: disable_user(store, name, visit.by))


@router.post("/{name}/enable")
async def enable(name: str, visit: VisitDep, store: StoreDep, csrf: Text) -> Response:
    """Lets a user sign in again."""
    return await _do(visit, store, csrf, lambda: enable_user(store, name, visit.by))


async def _do(visit: Visit, store: Store, csrf: str, change: Callable[[], object]) -> Response:
    """Does it and shows the users, or the same page with what is wrong."""
    visit.check_token(csrf)
    visit.require("admin")
    try:
        await run_in_threadpool(change)
    except PerennialError as error:
        sentence, status = str(error), status_of(error)
        return await run_in_threadpool(lambda: _page(visit, store, problem=sentence, status=status))
    return RedirectResponse("/settings/users", 303, dict(HEADERS))


def _page(visit: Visit, store: Store, *, problem: str = "", status: int = 200, is_open: bool = False) -> Response:
    return settings_page(
        visit,
        "settings_users.html",
        "/settings/users",
        status,
        users=list_users(store),
        role_words=ROLE_WORDS,
        shortest=SHORTEST,
        problem=problem,
        is_open=is_open,
    )
