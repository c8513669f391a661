"""One request of one browser: who it is, how its answer is written, and errors shown as pages."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import jinja2
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse

from pipelines.errors import PerennialError
from service.api_keys import Caller, Forbidden
from service.settings import Settings
from service.store.session import Store
from service.users import find_signed_in
from service.web.auth import identify
from service.web.deps import KeysDep, StoreDep, VaultDep
from service.web.pages.session import HEADERS, BrowserSession, Cookies, keep
from service.web.pages.words import LANGUAGE_COOKIE, LANGUAGES, N_, language_of, translations
from service.web.problems import Unauthorized, about_database, invalid, retry_after, status_of

WEB = Path(__file__).parents[1]
# The pages that a visitor can choose: address, label, and the scope without which it is not offered.
NAVIGATION = (
    ("/", N_("Overview"), "read"),
    ("/conversations", N_("Conversations"), "operate"),
    ("/review", N_("Review"), "review"),
    ("/chat", N_("Chat"), "chat"),
    ("/rounds", N_("Rounds"), "read"),
    ("/models", N_("Models"), "read"),
    ("/recipes", N_("Recipes"), "operate"),
    ("/bases", N_("Bases"), "operate"),
    ("/schedule", N_("Schedule"), "operate"),
    ("/settings", N_("Settings"), "people"),
)
_TITLES = {403: N_("You may not do this"), 404: N_("There is no such page"), 500: N_("This did not work")}
_SPECIAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;"})  # attributes stand in double quotes
_LANGUAGE_SECONDS = 365 * 24 * 3600


class Visit:
    """One request of one browser: who it is, and how its answer is written."""

    def __init__(self, request: Request, cookies: Cookies, session: BrowserSession, caller: Caller | None) -> None:
        self.request, self.cookies, self.session, self.caller = request, cookies, session, caller

    @property
    def by(self) -> str:
        """Who this is, for the audit log."""
        return self.caller.actor if self.caller and self.session.is_signed_in else "page:localhost"

    @property
    def language(self) -> str:
        """The language that this visitor reads, one of words.LANGUAGES."""
        return language_of(self.request)

    def require(self, scope: str) -> None:
        """Raises Unauthorized for a stranger, Forbidden for somebody without the scope."""
        if self.caller is None:
            raise Unauthorized("sign in first")
        self.caller.require(scope)

    def may(self, scope: str) -> bool:
        """Whether this visitor holds a scope."""
        return self.caller is not None and self.caller.may(scope)

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page with the headers that every page has."""
        shown = {
            "person": {"signed_in": self.session.is_signed_in, "name": self.caller.label} if self.caller else None,
            "navigation": [(path, label) for path, label, scope in NAVIGATION if self.may(scope)],
            "csrf": self.cookies.token(self.session),
            "here": None,
            **_libraries(),
            **values,
        }
        response = HTMLResponse(self.render(template, **shown), status, dict(HEADERS))
        keep(response, self.session, self.request)
        if self.request.query_params.get("lang") == self.language:
            response.set_cookie(LANGUAGE_COOKIE, self.language, max_age=_LANGUAGE_SECONDS, samesite="lax", path="/")
        return response

    def fragment(self, template: str, **values: Any) -> HTMLResponse:
        """A part of a page, for a script that puts it in place."""
        return HTMLResponse(self.render(template, **values), headers=dict(HEADERS))

    def render(self, template: str, **values: Any) -> str:
        """A template's text in this visitor's language. `may(scope)` tells it what to offer."""
        known = {"language": self.language, "languages": LANGUAGES, "may": self.may}
        return templates(self.language).get_template(template).render(known | values)

    def check_token(self, token: str) -> None:
        """Raises Forbidden for a form that is not one of ours."""
        if not self.cookies.is_token(self.session, token):
            raise Forbidden("this form is no longer valid, or came from another page; load the page again")


class PageRoute(APIRoute):
    """A route that answers errors as a page, and a missing key with the way to sign in."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler, with errors shown as pages."""
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                return await handle(request)
            except Unauthorized:
                return RedirectResponse(_sign_in_address(request), 303, dict(HEADERS))
            except PerennialError as error:
                return problem_page(request, status_of(error), str(error))
            except SQLAlchemyError as error:
                told = about_database(error)
                return problem_page(request, status_of(told), str(told))
            except RequestValidationError as error:
                return problem_page(request, 422, invalid(error))

        return handle_as_page


def _sign_in_address(request: Request) -> str:
    """The form, and where somebody wanted to go."""
    if request.method != "GET" or request.url.path in ("/", "/login") or request.url.path.startswith("/fragments/"):
        return "/login"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/login?to={quote(request.url.path + query)}"


def problem_page(request: Request, status: int, sentence: str) -> Response:
    """What went wrong as a page, with the ways out of it."""
    cookies = Cookies(request.app.state.vault)
    visit = Visit(request, cookies, cookies.open(request), getattr(request.state, "caller", None))
    settings: Settings = request.app.state.settings
    problem = settings.without_paths(sentence)
    page = visit.page(
        "problem.html", status, title=_TITLES.get(status, _TITLES[500]), problem=problem, refused=status == 403
    )
    page.headers.update(retry_after(status))
    return page


async def _visit(request: Request, keys: KeysDep, vault: VaultDep, store: StoreDep) -> Visit:
    """A visit by somebody who may read."""
    cookies = Cookies(vault)
    session = cookies.open(request)
    if session.user is None:
        caller = await identify(request, keys, ["read"], session.key, has_token=True)
    else:
        caller = await run_in_threadpool(_user_of, store, session.user, session.generation)
    if caller.app is not None:
        raise Forbidden(f"the pages show all apps, and {caller} belongs to the app {caller.app!r}")
    request.state.caller = caller
    return Visit(request, cookies, session, caller)


def _user_of(store: Store, user_id: str, generation: int) -> Caller:
    caller = find_signed_in(store, user_id, generation)
    if caller is None:
        raise Unauthorized("this session has ended; sign in again")
    caller.require("read")
    return caller


async def _stranger(request: Request, vault: VaultDep) -> Visit:
    """A visit by somebody who has not signed in yet."""
    cookies = Cookies(vault)
    return Visit(request, cookies, cookies.open(request), None)


async def _guest(request: Request, keys: KeysDep, vault: VaultDep, store: StoreDep) -> Visit:
    """A visit by anybody, who is known where they have signed in."""
    try:
        return await _visit(request, keys, vault, store)
    except (Unauthorized, Forbidden):
        return await _stranger(request, vault)


VisitDep = Annotated[Visit, Depends(_visit)]
GuestDep = Annotated[Visit, Depends(_guest)]
StrangerDep = Annotated[Visit, Depends(_stranger)]


def _libraries() -> dict[str, bool]:
    """Which libraries set-up could fetch: without the one that draws, the pages show figures; without the other, whole pages."""
    return {"draws": _is_fetched("uPlot.iife.min.js"), "swaps": _is_fetched("htmx.min.js")}


def _is_fetched(name: str) -> bool:
    return (WEB / "static" / name).is_file()


@cache
def templates(language: str = "en") -> jinja2.Environment:
    """The templates, read once a language."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    texts = translations(language)
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: _as_text(texts.gettext(text)),
        lambda one, several, n: _as_text(texts.ngettext(one, several, n)),
        newstyle=True,
    )
    return environment


def _as_text(text: str) -> str:
    """Jinja takes what `_` gives for safe, and a template may give it a value instead of a text of its own."""
    return text.translate(_SPECIAL)
