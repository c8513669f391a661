"""How large a body may be, by route, and how little of what was sent comes back in a sentence."""

import asyncio
import json

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.web.limits import IMPORT_PATH, SMALL_BYTES, body_limit
from service.web.middleware import Guard, Held
from tests.effort import within
from tests.factories import conversation

MOST = 32 << 20


@pytest.mark.parametrize(
    ("path", "bytes"),
    [
        ("/v1/conversations", MOST),
        (IMPORT_PATH, None),
        ("/v1/comparisons", MOST),
        ("/v1/chat/completions", 8 << 20),
        ("/v1/messages/m/corrections", 4 << 20),
        ("/v1/rounds", 1 << 20),
        ("/v1/votes/m", SMALL_BYTES),
        ("/v1/models/m/promote", SMALL_BYTES),
        ("/login", SMALL_BYTES),
        ("/v1/nothing", SMALL_BYTES),
    ],
)
def test_a_route_takes_as_much_as_its_bodies_may_hold(path: str, bytes: int | None) -> None:
    assert body_limit(path, MOST) == bytes
    assert bytes is None or body_limit(path, 1_000) == 1_000


@pytest.mark.parametrize("size", [SMALL_BYTES, SMALL_BYTES + 1])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/votes/m"), ("DELETE", "/v1/votes/m"), ("POST", "/v1/models/rollback"), ("POST", "/login")],
)
def test_a_vote_is_no_conversation(
    sqlite_client: TestClient, method: str, path: str, streamed: bool, size: int
) -> None:
    body = b"x" * size
    content = iter([body[:9], body[9:]]) if streamed else body
    kind = {"content-type": "application/x-www-form-urlencoded"} if path == "/login" else {}
    answer = sqlite_client.request(method, path, content=content, headers=kind)
    assert (answer.status_code == 413) == (size > SMALL_BYTES), answer.text
    if size > SMALL_BYTES:
        assert (
            answer.json()["detail"]
            == f"the body is larger than {SMALL_BYTES} bytes, the most that this route takes; send less"
        )


def test_the_longest_correction_is_taken_however_it_is_written(sqlite_client: TestClient) -> None:
    body = json.dumps({"content": "\U0001f600" * 200_000, "user": "u"}).encode()
    answer = sqlite_client.post("/v1/messages/m/corrections", content=body)
    assert len(body) > 2_400_000 and answer.status_code == 404, answer.text


NAME = "n" * 60_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/votes/m", {"value": "up", "user": "u", NAME: 1}),
        ("PUT", "/v1/votes/m", {"value": NAME, "user": "u"}),
        ("PUT", f"/v1/votes/{NAME[:9_000]}", {"value": "up", "user": "u"}),
        ("POST", "/v1/conversations", conversation() | {NAME: 1}),
        ("POST", "/v1/conversations", conversation() | {"messages": [{"role": NAME, "content": "x"}]}),
        ("POST", "/v1/conversations", [conversation() | {NAME: 1}]),
        (
            "POST",
            "/v1/conversations",
            conversation() | {"messages": [{"role": "user", "content": "x", "id": NAME[:256], "parent": NAME[:256]}]},
        ),
        ("POST", IMPORT_PATH, conversation() | {NAME: 1}),
        ("POST", "/v1/comparisons", {NAME: 1}),
        ("POST", "/v1/chat/completions", {"model": "champion", "messages": [], NAME: 1}),
        ("POST", "/v1/chat/completions", {"model": NAME, "messages": []}),
        ("POST", "/v1/rounds", {"recipe": "champion", NAME: 1}),
        ("POST", "/v1/rounds", {"recipe": f"? {NAME}\n: 1"}),
        ("POST", "/v1/rounds", {"recipe": NAME}),
        ("POST", "/v1/models/rollback", {NAME: 1}),
        ("POST", f"/v1/models/{NAME[:9_000]}/promote", {}),
        ("GET", f"/v1/models/{NAME[:9_000]}", None),
        ("GET", f"/v1/conversations/{NAME[:9_000]}", None),
        ("GET", f"/v1/conversations/c?app={NAME[:9_000]}", None),
        ("GET", f"/v1/rounds/{NAME[:9_000]}", None),
        ("GET", f"/v1/rounds/{'9' * 4_000}", None),
        ("GET", f"/{NAME[:9_000]}", None),
    ],
)
def test_a_refusal_is_short_and_quick_whatever_was_sent(
    sqlite_client: TestClient, method: str, path: str, body: object
) -> None:
    answer = within(1, lambda: sqlite_client.request(method, path, json=body))
    assert len(answer.content) < 1_500 and answer.status_code < 500, answer.text[:3_000]


MILLION = 1_000_000
METADATA = b'{"id": "c", "user": "u", "messages": [{"role": "user", "content": "x"}], "metadata": {"a": ['
CHAT = b'{"model": "champion", "messages": '


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        (
            "/v1/chat/completions",
            CHAT + b'[{"role": "user", "content": [' + b"1," * (3 * MILLION) + b"1]}]}",
            "more than 50,000 values",
        ),
        ("/v1/chat/completions", CHAT + b"[" + b"1," * (3 * MILLION) + b"1]}", "more than 50,000 values"),
        ("/v1/chat/completions", CHAT + b"[]," + b'"k":1,' * MILLION + b'"k":1}', "at least 1 item"),
        (
            "/v1/chat/completions",
            CHAT + b"[]," + b",".join(b'"%d":1' % n for n in range(MILLION // 2)) + b"}",
            "more than 50,000 values",
        ),
        ("/v1/conversations", METADATA + b"{}," * (10 * MILLION) + b"1]}}", "more than 200,000 values"),
        ("/v1/conversations", METADATA + b"[]," * 60_000 + b"[" * 40 + b"]" * 40 + b"]}}", "nested too deeply"),
        ("/v1/conversations", METADATA + b"1," * (15 * MILLION) + b"1]}}", "more than 200,000 values"),
        ("/v1/conversations", METADATA + b'"a",' * (8 * MILLION) + b"1]}}", "more than 200,000 values"),
        ("/v1/conversations", METADATA + b'"\\\\",' * (6 * MILLION) + b"1]}}", "more than 200,000 values"),
        ("/v1/conversations", b"[" + b"1," * (15 * MILLION) + b"1]", "more than 1,000 conversations"),
        ("/v1/conversations", b"[" + b"{}," * (10 * MILLION) + b'"\\ud800"]', "more than 1,000 conversations"),
        ("/v1/conversations", b"[" + b"1," * (15 * MILLION), "more than 1,000 conversations"),
    ],
    ids=lambda value: value[-40:].decode() if isinstance(value, bytes) else None,
)
def test_millions_of_values_cost_little_before_they_are_refused(
    sqlite_client: TestClient, path: str, body: bytes, sentence: str
) -> None:
    answer = within(2.5, lambda: sqlite_client.post(path, content=body))
    assert answer.status_code in (400, 422) and sentence in answer.json()["detail"]


def test_many_large_bodies_at_once_are_told_to_come_again() -> None:
    app = Guard(_reads_all, max_body_bytes=1_000, held=Held(2_500))

    async def at_once() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            sent = [client.post("/v1/conversations", content=b"x" * 1_000) for _ in range(5)]
            first = [answer.status_code for answer in await asyncio.gather(*sent)]
            return [*first, (await client.post("/v1/conversations", content=b"x" * 1_000)).status_code]

    assert asyncio.run(at_once()) == [200, 200, 503, 503, 503, 200]


async def _reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await Request(scope, receive).body()
        await asyncio.sleep(0.05)
        answer = Response(status_code=200)
    except HTTPException as error:
        answer = Response(status_code=error.status_code)
    await answer(scope, receive, send)
