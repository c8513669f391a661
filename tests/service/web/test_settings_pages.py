"""The settings as pages: keys, users, people's data, what the machine is set to; what they do is what the commands do."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from starlette.testclient import TestClient

from service.api_keys import SCOPES, list_keys
from service.choices import next_settings
from service.settings import Settings, read_settings_file
from service.store import audit
from service.store.session import Store, open_store
from service.store.tables import User
from service.users import ROLES, list_users
from service.vault import open_vault
from service.web.pages.session import COOKIE, Cookies
from service.web.pages.settings_keys import SCOPE_WORDS
from service.web.pages.settings_users import ROLE_WORDS
from tests.factories import conversation, put, web
from tests.service.web.test_pages import token_of

pytestmark = pytest.mark.usefixtures("cheap_passwords")
PASSWORD = "correct horse battery"


@pytest.fixture
def store(sqlite_settings: Settings) -> Iterator[Store]:
    opened = open_store(sqlite_settings)
    yield opened
    opened.close()


@pytest.fixture
def admin(sqlite_settings: Settings, store: Store) -> Iterator[TestClient]:
    """The browser of anna, an admin."""
    cookies = Cookies(open_vault(sqlite_settings, store))
    with store.begin() as session:
        anna = User(name="anna", role="admin", password="none")
        session.add(anna)
        session.flush()
        cookie = cookies.begin(None, anna.id, 1).cookie
    with web(sqlite_settings, cookies={COOKIE: cookie}) as client:
        yield client


def post(client: TestClient, path: str, **typed: str | list[str]) -> httpx.Response:
    return client.post(path, data={"csrf": token_of(client.get("/account").text), **typed})


def acts(store: Store) -> list[tuple[str, str]]:
    with store.read() as session:
        return [(row.actor, row.action) for row in reversed(audit.entries(session))]


def test_every_scope_and_role_is_worded() -> None:
    assert tuple(SCOPE_WORDS) == SCOPES and tuple(ROLE_WORDS) == tuple(ROLES)


def test_a_key_is_made_and_shown_once_rotated_and_revoked(admin: TestClient, store: Store) -> None:
    page = post(admin, "/settings/keys", label="shop", app="shop", scopes=["ingest", "read"])
    [key] = re.findall(r"pk_[\w-]{20,}", page.text)
    assert page.status_code == 200 and "cannot be shown again" in page.text
    assert page.headers["cache-control"] == "no-store" and key not in admin.get("/settings/keys").text
    [info] = list_keys(store)
    assert (info.label, info.app, info.scopes) == ("shop", "shop", ("ingest", "read"))
    [new] = re.findall(r"pk_[\w-]{20,}", post(admin, f"/settings/keys/{info.id}/rotate", hours="1.5").text)
    assert new != key and [one.expires_at is not None for one in list_keys(store)] == [True, False]
    gone = post(admin, f"/settings/keys/{list_keys(store)[1].id}/revoke")
    assert gone.url.path == "/settings/keys" and "1 key that has ended" in gone.text
    assert acts(store) == [("user:anna", f"key_{did}") for did in ("created", "rotated", "revoked")]


@pytest.mark.parametrize(
    ("typed", "status", "sentence"),
    [
        ({"label": "shop"}, 422, "a key needs at least one scope"),
        ({"label": " ", "scopes": "read"}, 422, "a key needs a label"),
        ({"label": "shop", "app": "shop", "scopes": "models"}, 422, "a key of one app cannot have the scope 'models'"),
    ],
    ids=["no scope", "no label", "an app and all apps"],
)
def test_a_key_that_cannot_be_is_refused_on_its_page(
    admin: TestClient, store: Store, typed: dict[str, str | list[str]], status: int, sentence: str
) -> None:
    page = post(admin, "/settings/keys", **typed)
    assert page.status_code == status and sentence in html.unescape(page.text) and "A new key" in page.text
    assert list_keys(store) == []


def test_hours_that_are_none_are_refused(admin: TestClient, store: Store) -> None:
    post(admin, "/settings/keys", label="shop", scopes=["read"])
    [info] = list_keys(store)
    for hours in ("soon", "1e400", "nan", "-1", "99999"):
        assert post(admin, f"/settings/keys/{info.id}/rotate", hours=hours).status_code == 422, hours
    assert post(admin, "/settings/keys/nobody/revoke").status_code == 404 and len(list_keys(store)) == 1


def test_users_are_made_and_changed_on_their_page(admin: TestClient, store: Store) -> None:
    page = post(admin, "/settings/users", name="Ben", role="viewer", password=PASSWORD)
    assert page.url.path == "/settings/users" and 'id="user-ben"' in page.text
    for change, typed in (("role", {"role": "operator"}), ("password", {"password": PASSWORD}), ("logout", {})):
        assert post(admin, f"/settings/users/ben/{change}", **typed).status_code == 200
    assert "disabled" in post(admin, "/settings/users/ben/disable").text
    assert [(one.name, one.role, one.disabled_at is None) for one in list_users(store)] == [
        ("anna", "admin", True),
        ("ben", "operator", False),
    ]
    post(admin, "/settings/users/ben/enable")
    assert [actor for actor, _ in acts(store)] == ["user:anna"] * 6


@pytest.mark.parametrize(
    ("path", "typed", "status", "sentence"),
    [
        ("", {"name": "ben", "role": "viewer", "password": "short"}, 422, "12 to 512 characters"),
        ("", {"name": "anna", "role": "viewer", "password": PASSWORD}, 409, "there is a user 'anna' already"),
        ("", {"name": "ben", "role": "root", "password": PASSWORD}, 422, "there is no role 'root'"),
        ("/anna/disable", {}, 409, "'anna' is the last admin"),
        ("/anna/role", {"role": "viewer"}, 409, "'anna' is the last admin"),
        ("/nobody/logout", {}, 404, "there is no user 'nobody'"),
    ],
    ids=["short", "taken", "no role", "last", "last role", "nobody"],
)
def test_what_cannot_be_done_to_a_user_is_said_on_the_page(
    admin: TestClient, path: str, typed: dict[str, str | list[str]], status: int, sentence: str
) -> None:
    page = post(admin, f"/settings/users{path}", **typed)
    assert page.status_code == status and sentence in html.unescape(page.text) and "A new user" in page.text
    assert PASSWORD not in page.text


@pytest.fixture
def person(sqlite_settings: Settings, store: Store) -> None:
    put(store, open_vault(sqlite_settings, store), conversation("zanzibarquartz", user="ana <b>", id="c-ana"))


def test_a_person_is_looked_up_exported_and_forgotten(admin: TestClient, store: Store, person: None) -> None:
    shown = post(admin, "/settings/people/preview", user="ana <b>")
    assert "<dd>1</dd>" in shown.text and "ana &lt;b&gt;" in shown.text and "ana" not in str(shown.url)
    file = post(admin, "/settings/people/export", user="ana <b>")
    assert file.headers["content-disposition"].startswith("attachment; filename*=UTF-8''person-")
    assert json.loads(file.text)["conversations"][0]["messages"][0]["raw"]["content"] == "zanzibarquartz"
    kept = post(admin, "/settings/people/forget", user="ana <b>", again="ana")
    assert kept.status_code == 422 and "nothing was forgotten" in kept.text and "<dd>1</dd>" in kept.text
    report = post(admin, "/settings/people/forget", user="ana <b>", again="ana <b>")
    [receipt] = re.findall(r"<dd class=\"mono wrap\">(\w+)</dd>", report.text)
    assert "Nobody can read this person" in report.text and receipt in admin.get("/settings/people").text
    again = post(admin, "/settings/people/preview", user="ana <b>")
    assert again.status_code == 404 and "nothing is stored for this user" in again.text
    assert acts(store) == [("user:anna", "person_exported"), ("user:anna", "person_forgotten")]


def test_an_id_that_cannot_be_one_is_refused(admin: TestClient) -> None:
    for path in ("preview", "export"):
        assert post(admin, f"/settings/people/{path}", user="x" * 257).status_code == 422
    assert post(admin, "/settings/people/forget", user="x" * 257, again="x" * 257).status_code == 422
    assert post(admin, "/settings/people/preview", user="u", app="no\0app").status_code in (404, 422)


def test_the_machine_says_how_names_are_found_and_where_the_champion_goes(
    sqlite_settings: Settings, admin: TestClient
) -> None:
    bare = html.unescape(admin.get("/settings").text)
    assert "Nothing says how people's names are to be found" in bare and "Nowhere: it answers here" in bare
    (sqlite_settings.home / "targets.yaml").write_text("shelf: {kind: copy, path: /srv/models/m.gguf}\n")
    with web(replace(sqlite_settings, allow_degraded_names=True), cookies=dict(admin.cookies)) as client:
        text = client.get("/settings").text
        assert "Names are found and replaced" in text and "yes: they miss a quarter" in text
        assert "shelf" in text and "/srv/models/m.gguf" in text
        (sqlite_settings.home / "targets.yaml").write_text("shelf: {kind: nowhere}\n")
        assert 'role="alert"' in client.get("/settings").text


def test_how_long_what_is_kept_is_chosen_for_the_next_start(
    sqlite_settings: Settings, admin: TestClient, store: Store
) -> None:
    page = post(admin, "/settings/retention", PERENNIAL_RETENTION_DAYS="14", PERENNIAL_LOG_DAYS="30", other="x")
    assert (
        "It holds once the service was stopped" in page.text and "now 30 days, changed from the next start" in page.text
    )
    assert read_settings_file(sqlite_settings.home)["PERENNIAL_RETENTION_DAYS"] == "14"
    assert next_settings(sqlite_settings).retention_days == 14 and sqlite_settings.retention_days == 30
    for wrong in ("0", "soon", "1\nPERENNIAL_HOST=0.0.0.0", ""):
        refused = post(admin, "/settings/retention", PERENNIAL_RETENTION_DAYS=wrong)
        assert refused.status_code == 422 and "PERENNIAL_RETENTION_DAYS" in refused.text
    assert next_settings(sqlite_settings).retention_days == 14 and acts(store) == [("user:anna", "retention_chosen")]


def test_how_names_are_found_is_chosen_for_the_next_start(
    sqlite_settings: Settings, admin: TestClient, store: Store
) -> None:
    post(admin, "/settings/names", how="rules")
    assert next_settings(sqlite_settings).allow_degraded_names
    for model, sentence in (("nonsense", "ner_model 'nonsense' is neither"), ("", "name a model")):
        refused = post(admin, "/settings/names", how="model", model=model)
        assert refused.status_code == 422 and sentence in html.unescape(refused.text)
    assert next_settings(sqlite_settings).allow_degraded_names
    post(admin, "/settings/names", how="later")
    assert not next_settings(sqlite_settings).says_how_to_find_names
    assert acts(store) == [("user:anna", "names_chosen")] * 2


def test_what_the_environment_says_is_not_chosen(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_RETENTION_DAYS", "9")
    monkeypatch.setenv("PERENNIAL_ALLOW_DEGRADED_NAMES", "1")
    page = admin.get("/settings").text
    assert "set in the environment" in page and 'name="PERENNIAL_RETENTION_DAYS"' not in page
    for path, typed in (("retention", {"PERENNIAL_RETENTION_DAYS": "14"}), ("names", {"how": "later"})):
        refused = post(admin, f"/settings/{path}", **typed)
        assert refused.status_code == 409 and "is set in the environment" in refused.text


def test_tabs_and_navigation_offer_what_a_role_may_open(admin: TestClient, store: Store) -> None:
    assert ">Users</a>" in admin.get("/settings").text and ">Audit</a>" in admin.get("/audit").text
    with store.begin() as session:
        vera = User(name="vera", role="operator", password="none")
        session.add_all([vera, User(name="root", role="admin", password="none")])
        session.flush()
        cookie = Cookies(admin.app.state.vault).begin(None, vera.id, 1).cookie  # type: ignore[attr-defined]
    admin.cookies.clear()
    admin.cookies.set(COOKIE, cookie)
    text = html.unescape(admin.get("/settings").text)
    assert ">People's data</a>" in text and ">Users</a>" not in text and ">Audit</a>" not in text


def test_the_first_user_is_made_on_the_page_and_the_door_is_shut_behind_it(sqlite_client: TestClient) -> None:
    assert "everybody must sign in" in sqlite_client.get("/settings/users").text
    token = token_of(sqlite_client.get("/settings/users").text)
    refused = {"csrf": token, "name": "ben", "role": "viewer", "password": PASSWORD}
    assert "the first user must be an admin" in sqlite_client.post("/settings/users", data=refused).text
    sqlite_client.post("/settings/users", data=refused | {"role": "admin"})
    sqlite_client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    assert sqlite_client.get("/settings/users").url.path == "/login"
    form = {"csrf": token_of(sqlite_client.get("/login").text), "name": "ben", "password": PASSWORD}
    assert sqlite_client.post("/login", data=form).url.path == "/"
