"""Signing in and out, and what a user sees of themselves.

/login?to=/rounds/3     a name and a password, or an API key; then to where somebody wanted to go
/account                who one is, another password, out everywhere
"""

from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from pipelines.errors import InputError, PerennialError
from service.api_keys import Forbidden, KeyRing
from service.passwords import SHORTEST
from service.sign_in import SignedIn, TooManyAttempts, count_wrong_key, renew_password, sign_in
from service.store.session import Store
from service.users import ROLES, end_sessions, find_signed_in
from service.vault import Vault
from service.web.deps import KeysDep, StoreDep, VaultDep
from service.web.forwarded import client_address
from service.web.pages.session import COOKIE, HEADERS, keep
from service.web.pages.visit import PageRoute, StrangerDep, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import retry_after, status_of

Text = Annotated[str, Form()]
ROLE_NAMES = (N_("viewer"), N_("reviewer"), N_("operator"), N_("admin"))
_MOST_ADDRESS = 500
_WRONG = "this name and password do not belong together"
# an attempt costs 64 MiB: whoever sends many at once gets no more memory, and no more threads, than two
_attempts = CapacityLimiter(2)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/login")
async def login_form(visit: StrangerDep, keys: KeysDep, to: Annotated[str, Query()] = "") -> Response:
    """The form that takes a name and a password, or an API key."""
    await _refresh(keys)
    return _form(visit, keys.is_open, to)


@router.post("/login")
async def login(
    visit: StrangerDep,
    keys: KeysDep,
    store: StoreDep,
    vault: VaultDep,
    csrf: Text,
    name: Text = "",
    password: Text = "",
    key: Text = "",
    to: Text = "",
) -> Response:
    """Begins a session, or says what is wrong with what was typed."""
    visit.check_token(csrf)
    address = client_address(visit.request)
    try:
        if key:
            await _refresh(keys)
            session = visit.cookies.begin(await _signed_in_key(keys, store, vault, key.strip(), address))
        else:
            who = await to_thread.run_sync(sign_in, store, vault, name, password, address, limiter=_attempts)
            if who is None:
                raise Forbidden(_WRONG)
            session = visit.cookies.begin(None, who.user_id, who.generation)
    except (Forbidden, TooManyAttempts) as error:
        page = _form(visit, keys.is_open, to, name, str(error), by_key=bool(key), status=status_of(error))
        if isinstance(error, TooManyAttempts):
            page.headers["Retry-After"] = str(error.seconds)
        return page
    response = RedirectResponse(_own_page(to), 303, dict(HEADERS))
    keep(response, session, visit.request)
    return response


@router.post("/logout")
def logout(visit: StrangerDep, store: StoreDep, csrf: Text, everywhere: Text = "") -> Response:
    """Ends the session, or every session of its user."""
    visit.check_token(csrf)
    if everywhere and visit.session.user is not None:
        caller = find_signed_in(store, visit.session.user, visit.session.generation)
        if caller is not None:
            end_sessions(store, caller.label, caller.actor)
    response = RedirectResponse("/login", 303, dict(HEADERS))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.get("/account")
def account(visit: VisitDep, changed: Annotated[str, Query()] = "") -> Response:
    """Who one is, and what one may."""
    return _account(visit, changed=bool(changed))


@router.post("/account/password")
async def change_password(
    visit: VisitDep, store: StoreDep, vault: VaultDep, csrf: Text, password: Text, new: Text, again: Text
) -> Response:
    """Gives oneself another password; every other session ends."""
    visit.check_token(csrf)
    try:
        who = await to_thread.run_sync(_renew, visit, store, vault, password, new, again, limiter=_attempts)
    except PerennialError as error:
        page = _account(visit, str(error), status_of(error))
        page.headers.update(retry_after(status_of(error)))
        return page
    response = RedirectResponse("/account?changed=1", 303, dict(HEADERS))
    keep(response, visit.cookies.begin(None, who.user_id, who.generation), visit.request)
    return response


def _renew(visit: Visit, store: Store, vault: Vault, password: str, new: str, again: str) -> SignedIn:
    if visit.caller is None or visit.session.user is None:
        raise Forbidden("only a user has a password, and this session has none")
    if new != again:
        raise InputError("the two new passwords are not the same; type the same one twice")
    name = visit.caller.label
    if sign_in(store, vault, name, password, client_address(visit.request)) is None:
        raise Forbidden("the present password is another one")
    return renew_password(store, vault, name, new, visit.by)


async def _refresh(keys: KeyRing) -> None:
    if keys.is_stale:
        await run_in_threadpool(keys.refresh)


async def _signed_in_key(keys: KeyRing, store: Store, vault: Vault, key: str, address: str) -> str:
    """The key, if it opens the pages. Raises Forbidden, TooManyAttempts."""
    caller = keys.find(key)
    if caller is None:
        await run_in_threadpool(count_wrong_key, store, vault, address)
        raise Forbidden("this API key is unknown or revoked; see `perennial keys list`")
    if caller.app is not None:
        raise Forbidden(
            f"{caller} belongs to the app {caller.app!r}, and the pages show all apps: sign in with a name and a password, or "
            "with a key that was made without an app"
        )
    if not caller.may("read"):
        raise Forbidden(f"{caller} lacks the scope 'read'; sign in with another")
    return key


def _form(
    visit: Visit, is_open: bool, to: str, name: str = "", problem: str = "", *, by_key: bool = False, status: int = 200
) -> Response:
    shown = {"to": _own_page(to), "name": name[:64], "problem": problem, "by_key": by_key, "is_open": is_open}
    return visit.page("login.html", status, **shown)


def _account(visit: Visit, problem: str = "", status: int = 200, *, changed: bool = False) -> Response:
    caller = visit.caller
    assert caller is not None  # VisitDep lets nobody else in
    role = (
        next((role for role, scopes in ROLES.items() if scopes == caller.scopes), "") if caller.kind == "user" else ""
    )
    return visit.page(
        "account.html",
        status,
        here="/account",
        caller=caller,
        role=role,
        scopes=sorted(caller.scopes),
        problem=problem,
        changed=changed,
        shortest=SHORTEST,
    )


def _own_page(to: str) -> str:
    """Where to go after signing in: a path of ours, never another site's address."""
    is_path = to.startswith("/") and not to.startswith("//") and len(to) <= _MOST_ADDRESS
    return to if is_path and to.isprintable() and "\\" not in to and not to.startswith("/login") else "/"
