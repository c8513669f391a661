"""What goes wrong, in a browser and for a program; and the reference of the API as a page."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import make_settings
from tests.factories import web

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def client(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    copy(sqlite_template, home / "perennial.db")
    with web(make_settings(home), raise_server_exceptions=False) as opened:
        yield opened


def is_page(answer: Any) -> bool:
    return bool(
        answer.headers["content-type"].startswith("text/html")
        and "default-src 'none'" in answer.headers["content-security-policy"]
        and 'role="alert"' in answer.text
        and 'href="/"' in answer.text
    )


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/rounds/1/nowhere", "/<script>", "/%00"])
def test_an_address_that_there_is_not_is_a_page_in_a_browser_and_json_for_a_program(
    client: TestClient, path: str
) -> None:
    page, problem = client.get(path, headers=BROWSER), client.get(path)
    assert page.status_code == problem.status_code == 404 and is_page(page)
    assert "There is no such page" in page.text and "<script>" not in page.text.replace("<script src", "")
    assert problem.json()["detail"].endswith("; see /openapi.json")


def test_a_method_that_is_not_allowed_says_which_are(client: TestClient) -> None:
    assert client.put("/v1/conversations/import").headers["allow"] == "POST"
    page = client.put("/models", headers=BROWSER)
    assert page.status_code == 405 and is_page(page) and page.headers["allow"] == "GET"
    assert client.put("/models").json()["detail"] == "PUT is not allowed here; see /openapi.json"


def test_an_address_of_a_page_that_cannot_be_read_is_a_page(client: TestClient) -> None:
    answer = client.get("/rounds/x")
    assert answer.status_code == 422 and is_page(answer) and "round_id" in answer.text


def test_what_nobody_foresaw_is_a_page_with_the_id_that_the_log_has(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.app.state._state, "vitals", None)  # type: ignore[attr-defined]
    page, problem = client.get("/readyz", headers=BROWSER), client.get("/readyz")
    assert page.status_code == problem.status_code == 500 and is_page(page)
    assert re.search(r"under the id [0-9a-f]{8}", page.text) and problem.json()["id"]
    monkeypatch.setitem(client.app.state._state, "vault", None)  # type: ignore[attr-defined]
    assert client.get("/readyz", headers=BROWSER).json()["status"] == 500


def test_the_reference_shows_every_operation_and_every_shape_of_the_document(client: TestClient) -> None:
    document, page = client.get("/openapi.json").json(), client.get("/docs")
    assert page.status_code == 200 and not re.search(r"<script(?! src=\"/static/)|\sstyle=|https?://(?!127)", page.text)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            article = page.text.split(f'<article class="card below" id="{operation["operationId"]}">')[1].split(
                "</article>"
            )[0]
            assert path in article and method.upper() in article and operation["summary"] in html.unescape(article)
            assert all(f">{one['name']}" in article for one in operation.get("parameters", ()))
            assert all(f">{status}</td>" in article for status in operation["responses"])
            security = operation.get("security", [])
            assert ("X-API-Key: $KEY" in article) is (security != [] and {} not in security)
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in page.text
    assert set(re.findall(r'href="#(shape-\w+)"', page.text)) <= set(re.findall(r'id="(shape-\w+)"', page.text))


def test_the_examples_of_the_reference_are_what_the_service_takes(client: TestClient) -> None:
    """Each JSON body is at least understood: whatever is refused is refused for another reason than its shape."""
    text = html.unescape(client.get("/docs").text)
    for method, path, body in re.findall(
        r"curl -X (\w+) 'http://127.0.0.1(/v1[^']*)'.*?-d '(.*?)'</pre>", text, re.DOTALL
    ):
        answer = client.request(method, path, json=json.loads(body.replace("'\\''", "'")))
        assert answer.status_code not in (400, 405), (path, answer.text)


def test_the_reference_needs_no_key_and_is_linked_everywhere(client: TestClient) -> None:
    assert 'href="/docs"' in client.get("/login").text and 'href="/docs"' in client.get("/").text
