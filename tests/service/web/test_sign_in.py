"""Signing in to the pages: by name and password or by key, what a session may, and how it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from types import SimpleNamespace

import httpx
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from service import users
from service.api_keys import create_key, revoke_key
from service.settings import Settings, load_settings
from service.sign_in import PER_NAME
from service.store import audit
from service.store.session import Store, open_store
from service.web.forwarded import client_address
from tests.factories import web
from tests.service.web.test_pages import token_of

pytestmark = pytest.mark.usefixtures("cheap_passwords")
PASSWORD = "correct horse battery"


@pytest.fixture
def store(sqlite_settings: Settings) -> Iterator[Store]:
    """A database with an admin and a viewer."""
    opened = open_store(sqlite_settings)
    users.create_user(opened, "anna", "admin", PASSWORD)
    users.create_user(opened, "vera", "viewer", PASSWORD)
    yield opened
    opened.close()


@pytest.fixture
def app(sqlite_settings: Settings, store: Store) -> Iterator[TestClient]:
    with web(sqlite_settings) as client:
        yield client


@contextmanager
def browser(app: TestClient, name: str | None = None) -> Iterator[TestClient]:
    """A browser of its own, signed in as this user."""
    client = TestClient(app.app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))
    if name is not None:
        assert sign_in(client, name=name, password=PASSWORD).status_code == 200
    yield client


def sign_in(client: TestClient, to: str = "", **typed: str) -> httpx.Response:
    form = client.get("/login").text
    return client.post("/login", data={"csrf": token_of(form), "to": to, **typed})


def post(client: TestClient, path: str, **typed: str) -> httpx.Response:
    """Sends a form with the token of a page of this session."""
    return client.post(path, data={"csrf": token_of(client.get("/account").text), **typed}, follow_redirects=False)


def test_a_user_signs_in_sees_their_name_and_signs_out(app: TestClient) -> None:
    with browser(app) as client:
        assert client.get("/models").url.path == "/login"
        assert "do not belong together" in sign_in(client, name="anna", password="wrong").text
        page = sign_in(client, name="Anna", password=PASSWORD)
        assert page.url.path == "/" and ">anna</a>" in page.text and "Sign out" in page.text
        assert post(client, "/logout").headers["location"] == "/login"
        assert client.get("/").url.path == "/login"


def test_after_signing_in_one_is_where_one_wanted_to_go_and_never_elsewhere(app: TestClient) -> None:
    with browser(app) as client:
        form = client.get("/models?x=1")
        assert form.url.query == b"to=/models%3Fx%3D1" and 'name="to" value="/models?x=1"' in form.text
        assert sign_in(client, "/models?x=1", name="anna", password=PASSWORD).url.path == "/models"
        for other in ("https://evil.example", "//evil.example", "/\\evil.example", "/\nx", "login"):
            assert sign_in(client, other, name="anna", password=PASSWORD).url.path == "/"


def test_the_cookie_is_for_this_site_and_no_script(app: TestClient) -> None:
    with browser(app) as client:
        kept = client.get("/login").headers["set-cookie"].lower()
    assert "httponly" in kept and "samesite=strict" in kept and "secure" not in kept


@pytest.mark.parametrize(
    ("trusted", "headers", "secure"),
    [
        ("10.0.0.0/8", {"X-Forwarded-Proto": "https"}, True),
        ("10.0.0.0/8", {"X-Forwarded-Proto": "http"}, False),
        ("10.0.0.0/8", {}, False),
        ("192.168.0.0/16", {"X-Forwarded-Proto": "https"}, False),
        (None, {"X-Forwarded-Proto": "https"}, False),
    ],
    ids=["tls", "plain", "not said", "another proxy", "nobody trusted"],
)
def test_the_cookie_is_secure_where_a_trusted_proxy_says_so(
    sqlite_settings: Settings, store: Store, trusted: str | None, headers: dict[str, str], secure: bool
) -> None:
    proxies = () if trusted is None else (ip_network(trusted),)
    settings = replace(sqlite_settings, trusted_proxies=proxies)
    with web(settings, client=("10.0.0.2", 5000)) as client:
        assert ("secure" in client.get("/login", headers=headers).headers["set-cookie"].lower()) is secure


FORWARDED = [
    ("10.0.0.2", "203.0.113.9", "203.0.113.9"),
    ("10.0.0.2", "6.6.6.6, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
    ("10.0.0.2", "", "10.0.0.2"),
    ("10.0.0.2", "nonsense", "10.0.0.2"),
    ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
    ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
    ("::ffff:10.0.0.2", "::ffff:203.0.113.9", "203.0.113.9"),
]


@pytest.mark.parametrize(("peer", "said", "address"), FORWARDED)
def test_attempts_count_for_the_address_that_a_trusted_proxy_names(peer: str, said: str, address: str) -> None:
    settings = load_settings({"PERENNIAL_TRUSTED_PROXIES": "10.0.0.0/8, ::1"})

    app = SimpleNamespace(state=SimpleNamespace(settings=settings))
    headers = [(b"x-forwarded-for", said.encode())] if said else []
    scope = {"type": "http", "app": app, "client": (peer, 1), "headers": headers}
    assert client_address(Request(scope)) == address


def test_a_form_without_its_token_changes_nothing(app: TestClient, store: Store) -> None:
    with browser(app, "vera") as client:
        other = token_of(app.get("/login").text)
        for path in ("/logout", "/login", "/account/password"):
            fields = {"csrf": other, "name": "vera", "password": PASSWORD, "new": PASSWORD, "again": PASSWORD}
            assert client.post(path, data=fields).status_code == 403
        assert client.get("/").url.path == "/"


def test_the_wrong_role_is_refused_with_the_role_that_would_do(app: TestClient) -> None:
    with browser(app, "vera") as client:
        refused = client.post("/models/rollback", data={"csrf": token_of(client.get("/account").text)})
        assert refused.status_code == 403 and "the user &#39;vera&#39; may not do this" in refused.text
        assert "Sign in as somebody else" in refused.text and ">Rounds</a>" in refused.text
        assert client.get("/audit").status_code == 403 and "/audit" not in client.get("/").text


def test_another_role_and_being_disabled_hold_from_the_next_click_on(app: TestClient, store: Store) -> None:
    with browser(app, "vera") as client:
        assert client.get("/audit").status_code == 403
        users.set_role(store, "vera", "admin")
        assert client.get("/audit").status_code == 200
        users.disable_user(store, "vera")
        assert client.get("/audit").url.path == "/login"
        assert "do not belong together" in sign_in(client, name="vera", password=PASSWORD).text


def test_out_everywhere_ends_the_sessions_of_other_browsers(app: TestClient) -> None:
    with browser(app, "anna") as here, browser(app, "anna") as there, browser(app, "vera") as other:
        assert post(here, "/logout").status_code == 303 and there.get("/").url.path == "/"
        assert post(there, "/logout", everywhere="1").status_code == 303
        assert sign_in(here, name="anna", password=PASSWORD).url.path == "/"
        assert there.get("/").url.path == "/login" and other.get("/").url.path == "/"


def test_a_session_that_signed_out_everywhere_does_not_come_back_with_its_cookie(app: TestClient) -> None:
    with browser(app, "anna") as client:
        cookie = client.cookies["perennial"]
        post(client, "/logout", everywhere="1")
        client.cookies.set("perennial", cookie)
        assert client.get("/").url.path == "/login"


def test_a_user_changes_their_password_and_stays_signed_in_here_alone(app: TestClient, store: Store) -> None:
    new = PASSWORD + " staple"
    with browser(app, "vera") as here, browser(app, "vera") as there:
        wrong = post(here, "/account/password", password="wrong", new=new, again=new)
        assert wrong.status_code == 403 and "the present password is another one" in wrong.text
        other = post(here, "/account/password", password=PASSWORD, new=new, again=new + "r")
        assert other.status_code == 422 and "not the same" in other.text
        short = post(here, "/account/password", password=PASSWORD, new="short", again="short")
        assert short.status_code == 422 and "12 to 512 characters" in short.text
        done = post(here, "/account/password", password=PASSWORD, new=new, again=new)
        assert done.headers["location"] == "/account?changed=1"
        assert "Your password is changed" in here.get("/account?changed=1").text
        assert there.get("/").url.path == "/login"
        assert sign_in(there, name="vera", password=new).url.path == "/"
    with store.read() as session:
        assert ("user:vera", "user_password_changed", "vera") in [
            (row.actor, row.action, row.subject) for row in audit.entries(session)
        ]


def test_too_many_attempts_are_told_when_to_come_again(app: TestClient) -> None:
    with browser(app) as client:
        for _ in range(PER_NAME):
            assert sign_in(client, name="vera", password="wrong").status_code == 403
        told = sign_in(client, name="vera", password=PASSWORD)
        assert told.status_code == 429 and "too many attempts" in told.text and int(told.headers["Retry-After"]) > 800
        assert sign_in(client, name="anna", password=PASSWORD).status_code == 200


def test_a_key_signs_in_too_and_one_of_an_app_is_told_what_would_do(app: TestClient, store: Store) -> None:
    root, shop, chat = (
        create_key(store, label, of, scopes)
        for label, of, scopes in (("root", None, "admin"), ("shop", "shop", "read"), ("bot", None, "chat"))
    )
    app.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    with browser(app) as client:
        told = sign_in(client, key=shop)
        assert told.status_code == 403 and told.url.path == "/login" and "<details" in told.text
        assert "belongs to the app &#39;shop&#39;" in told.text and "sign in with a name and a password" in told.text
        assert client.get("/").url.path == "/login"
        assert "lacks the scope &#39;read&#39;" in sign_in(client, key=chat).text
        assert "unknown or revoked" in sign_in(client, key="pk_no").text
        assert sign_in(client, key=root).url.path == "/" and client.get("/audit").status_code == 200
        assert "signed in with an API key" in client.get("/account").text
        refused = post(client, "/account/password", password="x", new=PASSWORD, again=PASSWORD)
        assert refused.status_code == 403 and "only a user has a password" in refused.text
        revoke_key(store, "root")
        app.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
        assert client.get("/").url.path == "/login"


def test_the_api_takes_keys_and_no_session(app: TestClient) -> None:
    with browser(app, "anna") as client:
        assert client.get("/v1/rounds").status_code == 401
        assert client.post("/v1/models/rollback", headers={"X-Perennial": "1"}).status_code == 401


def test_while_nobody_exists_nobody_signs_in(sqlite_client: TestClient) -> None:
    assert "Nobody needs to sign in yet" in sqlite_client.get("/login").text
    assert sqlite_client.get("/account").status_code == 200
