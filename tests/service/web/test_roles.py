"""Every route of the application, and what it asks of whoever calls: none is left out, and the wrong role gets 403.

A new route needs its line here: method, address, and the scope that it asks for (`-`: none; a|b: one of them).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from service.api_keys import SCOPES, create_key
from service.store.session import Store, open_store
from service.store.tables import User
from service.users import ROLES
from service.vault import open_vault
from service.web.pages.session import COOKIE, Cookies
from service.web.pages.visit import PageRoute
from tests.conftest import make_settings
from tests.factories import web

API = """
GET     /healthz                               -
GET     /readyz                                -
POST    /v1/conversations                      ingest
POST    /v1/conversations/import               ingest
GET     /v1/conversations/{conversation_id}    read
PUT     /v1/votes/{message_id}                 ingest
DELETE  /v1/votes/{message_id}                 ingest
POST    /v1/messages/{message_id}/corrections  ingest
DELETE  /v1/messages/{message_id}/corrections  ingest
POST    /v1/comparisons                        ingest
DELETE  /v1/comparisons                        ingest
POST    /v1/chat/completions                   chat
POST    /v1/responses                          chat
GET     /metrics                               read
GET     /v1/models                             chat|read|models
GET     /v1/models/{model_id}                  chat|read|models
POST    /v1/models/{model_id}/promote          models
POST    /v1/models/rollback                    models
POST    /v1/models/{model_id}/deploy           models
GET     /v1/targets                            read
GET     /v1/watch                              read
GET     /v1/rounds                             read
GET     /v1/rounds/{round_id}                  read
POST    /v1/rounds                             rounds
POST    /v1/rounds/{round_id}/cancel           rounds
GET     /v1/users/{user}                       people
DELETE  /v1/users/{user}                       people
POST    /v1/users/export                       people
POST    /v1/users/forget                       people
GET     /v1/audit                              admin
"""
PAGES = """
GET     /static/{name}                         -
GET     /login                                 -
GET     /docs                                  -
POST    /login                                 -
POST    /logout                                -
GET     /account                               read
POST    /account/password                      read
GET     /                                      read
GET     /fragments/{path}                      read
GET     /rounds                                read
GET     /rounds/{round_id}                     read
GET     /models                                read
GET     /models/{model_id}                     read
POST    /models/{model_id}/ask                 chat
POST    /models/{model_id}/ask-held-out        operate
GET     /models/{model_id}/files/{name}        models
GET     /models/{model_id}/files/Modelfile     models
GET     /models/rollback                       read
POST    /models/rollback                       models
GET     /models/{model_id}/promote             read
POST    /models/{model_id}/promote             models
GET     /conversations                         operate
GET     /conversations/{conversation_id}       operate
GET     /chat                                  chat
GET     /chat/{name}                           chat
POST    /chat/{name}                           chat
GET     /review                                review
GET     /review/{conversation_id}              review
POST    /review/{conversation_id}              review
GET     /rounds/new                            rounds
POST    /rounds/plan                           rounds
POST    /rounds                                rounds
GET     /rounds/compare                        read
GET     /rounds/{round_id}/events              read
POST    /rounds/{round_id}/cancel              rounds
GET     /rounds/{round_id}/conversations       operate
GET     /rounds/{round_id}/attempts/{attempt}/log           operate
GET     /rounds/{round_id}/attempts/{attempt}/files/{name}  read
GET     /rounds/{round_id}/card                read
GET     /rounds/{round_id}/card.json           read
GET     /rounds/{round_id}/card/answers        operate
POST    /rounds/{round_id}/card/answers        operate
GET     /recipes                               operate
GET     /recipes/{name}                        operate
POST    /recipes/check                         read
POST    /recipes/save                          operate
GET     /bases                                 operate
GET     /bases/jobs                            operate
POST    /bases/adopt                           admin
POST    /bases/anchors                         operate
POST    /bases/suite                           admin
POST    /bases/jobs/{job_id}/stop              operate
GET     /schedule                              operate
POST    /schedule/on                           rounds
POST    /schedule/{name}/off                   rounds
GET     /settings                              people
POST    /settings/names                        admin
POST    /settings/retention                    admin
GET     /settings/keys                         admin
POST    /settings/keys                         admin
POST    /settings/keys/{key_id}/rotate         admin
POST    /settings/keys/{key_id}/revoke         admin
GET     /settings/users                        admin
POST    /settings/users                        admin
POST    /settings/users/{name}/role            admin
POST    /settings/users/{name}/password        admin
POST    /settings/users/{name}/logout          admin
POST    /settings/users/{name}/disable         admin
POST    /settings/users/{name}/enable          admin
GET     /settings/people                       people
POST    /settings/people/preview               people
POST    /settings/people/export                people
POST    /settings/people/forget                people
GET     /audit                                 admin
"""


@dataclass(frozen=True)
class Row:
    """A route, and the scopes of which it asks for one."""

    method: str
    path: str
    scopes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def address(self) -> str:
        """The address with something in place of each parameter."""
        return re.sub(r"\{\w+\}", "1", self.path)


def rows(table: str) -> list[Row]:
    return [
        Row(method, path, frozenset() if scopes == "-" else frozenset(scopes.split("|")))
        for method, path, scopes in map(str.split, table.strip().splitlines())
    ]


API_ROWS, PAGE_ROWS = rows(API), rows(PAGES)
GUARDED_API = [row for row in API_ROWS if row.scopes]
GUARDED_PAGES = [row for row in PAGE_ROWS if row.scopes]
FORMS = [row for row in PAGE_ROWS if row.method == "POST"]


@dataclass(frozen=True)
class House:
    """One application with a user of each role; `keys` makes keys, `sessions` the cookie and the forms' token of a role."""

    client: TestClient
    store: Store
    cookies: Cookies
    users: dict[str, str]
    made: dict[frozenset[str], str]

    def key(self, scopes: frozenset[str]) -> str:
        if scopes not in self.made:
            self.made[scopes] = create_key(self.store, "test", None, sorted(scopes))
            self.client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
        return self.made[scopes]

    def page(self, row: Row, role: str | None, token: str | None = None) -> Any:
        """The answer to a request of a page by this role, its form filled in."""
        session = self.cookies.begin(None) if role is None else self.cookies.begin(None, self.users[role], 1)
        return self.send(row, session.cookie, token)

    def send(self, row: Row, cookie: str, token: str | None = None) -> Any:
        session = self.cookies.begin(None)
        kept = type(session)(cookie, None)
        fields = {"csrf": self.cookies.token(kept) if token is None else token}
        data = self.fields(row) | fields if row.method == "POST" else None
        headers = {"Cookie": f"{COOKIE}={cookie}"}
        return self.client.request(row.method, row.address, data=data, headers=headers, follow_redirects=False)

    def fields(self, row: Row) -> dict[str, str]:
        """Something for every field that the form must have."""
        route = next(one for one in all_routes(self.client.app) if (row.method, row.path) in names_of(one))
        needed = [one for one in route.dependant.body_params if one.field_info.is_required()]
        return {one.alias: "1" if one.field_info.annotation is int else "x" for one in needed}


def all_routes(app: Any) -> Iterator[APIRoute]:
    """Every route, those of included routers too."""
    for route in getattr(app, "original_router", app).routes:
        if hasattr(route, "original_router"):
            yield from all_routes(route)
        elif getattr(route, "path", "") != "/openapi.json":  # FastAPI's own, for everybody
            assert isinstance(route, APIRoute), f"{route!r} is of a kind that this test does not look into"
            yield route


def names_of(route: APIRoute) -> set[tuple[str, str]]:
    return {(method, re.sub(r":\w+\}", "}", route.path)) for method in route.methods}


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("home")
    copy(sqlite_template, home / "perennial.db")
    settings = make_settings(home)
    store = open_store(settings)
    users = {role: User(name=role, role=role, password="none") for role in ROLES}
    with store.begin() as session:
        session.add_all(users.values())
        ids = {role: user.id for role, user in users.items()}
    with web(settings, headers={}) as client:
        yield House(client, store, Cookies(open_vault(settings, store)), ids, {})
    store.close()


def test_every_route_has_its_line_and_every_line_its_route(house: House) -> None:
    pages, api = set(), set()
    for route in all_routes(house.client.app):
        (pages if isinstance(route, PageRoute) else api).update(names_of(route))
    assert api == {(row.method, row.path) for row in API_ROWS}
    assert pages == {(row.method, row.path) for row in PAGE_ROWS}


@pytest.mark.parametrize("row", GUARDED_API, ids=str)
def test_the_api_asks_for_a_key_with_the_scope(house: House, row: Row) -> None:
    def status(key: str | None) -> int:
        headers = {} if key is None else {"X-API-Key": key}
        body = None if row.method == "GET" else {}
        return house.client.request(row.method, row.address, headers=headers, json=body).status_code

    assert status(None) == 401 and status("pk_nobody") == 401
    assert status(house.key(frozenset(SCOPES) - row.scopes - {"admin"})) == 403
    for scope in row.scopes:
        assert status(house.key(frozenset({scope}))) not in (401, 403)


@pytest.mark.parametrize("row", GUARDED_PAGES, ids=str)
def test_a_page_asks_for_the_role(house: House, row: Row) -> None:
    stranger = house.page(row, None)
    assert stranger.status_code == 303 and stranger.headers["location"].startswith("/login")
    assert house.send(row, house.cookies.begin(house.key(frozenset({"ingest"}))).cookie).status_code == 403
    for role, scopes in ROLES.items():
        answer = house.page(row, role)
        if not scopes & row.scopes:
            assert answer.status_code == 403 and "it needs the scope" in answer.text, role
        elif row.method == "GET":
            assert answer.status_code not in (401, 403) and "/login" not in answer.headers.get("location", ""), role


@pytest.mark.parametrize("row", FORMS, ids=str)
def test_no_form_is_taken_without_the_token_of_its_session(house: House, row: Row) -> None:
    refused = house.page(row, "admin", token="0" * 64)
    assert refused.status_code == 403 and "this form is no longer valid" in refused.text


def test_the_health_of_the_service_is_told_to_everybody(house: House) -> None:
    for row in API_ROWS:
        if not row.scopes:
            assert house.client.get(row.address).status_code not in (401, 403)
