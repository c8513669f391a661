"""One request of one browser: who it is, how its answer is written, and errors shown as pages."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import HTMLResponse, RedirectResponse

from pipelines.errors import PerennialError
from service.api_keys import Caller, Forbidden
from service.settings import Settings
from service.web.auth import identify
from service.web.deps import KeysDep, VaultDep
from service.web.pages.session import HEADERS, BrowserSession, Cookies, keep
from service.web.problems import Unauthorized, about_database, retry_after, status_of

WEB = Path(__file__).parents[1]


class Visit:
    """One request of one browser: who it is, and how its answer is written."""

    def __init__(self, request: Request, cookies: Cookies, session: BrowserSession, caller: Caller | None) -> None:
        self.request, self.cookies, self.session, self.caller = request, cookies, session, caller

    @property
    def by(self) -> str:
        """Who this is, for the audit log."""
        return f"key:{self.caller.label}" if self.caller and self.session.key else "page:localhost"

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page with the headers that every page has."""
        person = None
        if self.caller:
            person = {"key_id": self.session.key is not None, "audits": self.caller.may("admin")}
        shown = {"person": person, "csrf": self.cookies.token(self.session), "here": None, "draws": _draws(), **values}
        response = HTMLResponse(templates().get_template(template).render(shown), status, dict(HEADERS))
        keep(response, self.session, self.request)
        return response

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
                return RedirectResponse("/login", 303, dict(HEADERS))
            except PerennialError as error:
                return _problem_page(request, error)
            except SQLAlchemyError as error:
                return _problem_page(request, about_database(error))

        return handle_as_page


def _problem_page(request: Request, error: PerennialError) -> Response:
    cookies = Cookies(request.app.state.vault)
    visit = Visit(request, cookies, cookies.open(request), None)
    settings: Settings = request.app.state.settings
    sentence, status = settings.without_paths(str(error)), status_of(error)
    page = visit.page("problem.html", status, title="This did not work", problem=sentence)
    page.headers.update(retry_after(status))
    return page


async def _visit(request: Request, keys: KeysDep, vault: VaultDep) -> Visit:
    """A visit by somebody who may read."""
    cookies = Cookies(vault)
    session = cookies.open(request)
    caller = await identify(request, keys, ["read"], session.key, has_token=True)
    if caller.app is not None:
        raise Forbidden(f"the pages show all apps, and the key {caller.label!r} belongs to the app {caller.app!r}")
    return Visit(request, cookies, session, caller)


async def _stranger(request: Request, vault: VaultDep) -> Visit:
    """A visit by somebody who has not signed in yet."""
    cookies = Cookies(vault)
    return Visit(request, cookies, cookies.open(request), None)


VisitDep = Annotated[Visit, Depends(_visit)]
StrangerDep = Annotated[Visit, Depends(_stranger)]


def _draws() -> bool:
    """Whether the library that draws curves is there; without it the pages show their figures."""
    return (WEB / "static" / "uPlot.iife.min.js").is_file()


@cache
def templates() -> jinja2.Environment:
    """The templates, read once."""
    loader = jinja2.FileSystemLoader(WEB / "templates")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
