"""Whatever a browser, or who plays one, sends to the pages: never a 5xx, never a page of somebody else's making."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest
from hypothesis import given, settings, strategies
from starlette.testclient import TestClient

from tests.conftest import make_settings
from tests.factories import web
from tests.service.web.test_pages import fill, token_of

PATHS = (
    "/",
    "/rounds",
    "/rounds/1",
    "/rounds/2147483648",
    "/rounds/999999999999999999999",
    "/rounds/-1",
    "/rounds/x",
    "/models",
    "/models/rollback",
    "/models/good/promote",
    "/models/%00/promote",
    "/models/%ED%A0%80/promote",
    "/fragments/",
    "/fragments/rounds/2147483648",
    "/fragments/rounds/\u0661",
    "/fragments/%00",
    "/static/%00",
    "/static/..%2fapp.py",
    "/login",
    "/logout",
)
KINDS = (
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/json",
    "text/plain; charset=nothing",
    "",
)
BODIES = strategies.binary(max_size=80) | strategies.sampled_from(
    [
        b"csrf=%C3%A9&key=%00&override_reason=%ED%A0%80",
        b"csrf=" + b"x" * 20_000,
        b"&".join(b"a%d=1" % number for number in range(2_000)),
        b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n\xff\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="csrf"; filename="f"\r\n\r\na\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nhalf',
    ]
)
HEADERS = strategies.dictionaries(
    strategies.sampled_from(["cookie", "authorization", "origin", "x-api-key", "accept", "range", "if-none-match"]),
    strategies.sampled_from(
        [
            "",
            "perennial=",
            "perennial=\u00e9",
            "perennial=AAAA",
            "Bearer",
            "Bearer \u00e9",
            "Basic !",
            "http://[",
            "bytes=9-1",
        ]
    )
    | strategies.text("ab=; \u00ff", max_size=12),
    max_size=3,
)


@pytest.fixture(scope="module")
def client(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    copy(sqlite_template, home / "perennial.db")
    fill(found := make_settings(home))
    (found.models / "bad" / "model.gguf").unlink()
    with web(found) as opened:
        yield opened


@settings(max_examples=150)
@given(
    method=strategies.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]),
    path=strategies.sampled_from(PATHS),
    kind=strategies.sampled_from(KINDS),
    body=BODIES,
    headers=HEADERS,
)
def test_no_request_makes_a_page_fail(
    client: TestClient, method: str, path: str, kind: str, body: bytes, headers: dict[str, str]
) -> None:
    sent = {name: value.encode("latin-1") for name, value in ({"content-type": kind} | headers).items()}
    answer = client.request(method, path, content=body if method in ("POST", "PUT") else None, headers=sent)
    assert answer.status_code < 500, (answer.status_code, answer.text)


@settings(max_examples=40)
@given(reason=strategies.text(max_size=30) | strategies.sampled_from(["\0", "x" * 3_000, "<script>"]))
def test_no_reason_makes_a_promotion_fail(client: TestClient, reason: str) -> None:
    """With a token that is right, for a model that is refused and whose file is gone."""
    token = token_of(client.get("/models/bad/promote").text)
    answer = client.post("/models/bad/promote", data={"csrf": token, "override_reason": reason})
    assert answer.status_code in (409, 422) and "<script>" not in answer.text
