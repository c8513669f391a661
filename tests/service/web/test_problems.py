"""Hostile and mistaken requests: always a problem with one sentence, never a 5xx."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DataError as UnstorableValue
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from pipelines import errors
from service.settings import Settings
from service.web.app import create_app
from service.web.pages.visit import PageRoute
from service.web.problems import STATUS, OpenAIRoute, status_of
from tests.factories import conversation, web

MESSAGE = {"role": "user", "content": "x"}


def body(**fields: Any) -> bytes:
    return json.dumps({"id": "c", "user": "u", "messages": [MESSAGE]} | fields).encode()


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON: input data was truncated"),
        (b'{"id": x}', 400, "invalid character (byte 7)"),
        (body()[:-1] + b"\xff}", 400, "not valid JSON"),
        (b"[1, 2", 400, "not valid JSON"),
        (b"7", 422, "expected `object`, got `int`"),
        (body(id=""), 422, "id: expected `str` of length >= 1"),
        (body(id="x" * 257), 422, "id: expected `str` of length <= 256"),
        (body(user=None), 422, "missing required field `user`; send the id of the person"),
        (body(messages=[]), 422, "messages: expected `array` of length >= 1"),
        (
            body(messages=[{"role": "robot", "content": "x"}]),
            422,
            "messages[0].role: 'robot' is none of system, developer",
        ),
        (body(messages=[{"role": "user"}]), 422, "messages[0]: it has neither `content` nor `tool_calls`"),
        (body(messages=[MESSAGE | {"text": "y"}]), 422, "unknown field 'text' in messages[0]"),
        (body(conset=True), 422, "unknown field 'conset'; did you mean 'consent'?"),
        (body(zzz=True), 422, "known are app, comparisons, consent"),
        (body(satisfaction=6), 422, "satisfaction: expected `int` <= 5"),
        (body(satisfaction=4.5), 422, "satisfaction: expected `int | null`, got `float`"),
        (body(messages=[{"role": "user", "content": "a\0b"}]), 422, "NUL character"),
        (body(metadata={"a": {"b\0": 1}}), 422, "NUL character"),
        (body(time="yesterday"), 422, "time: invalid RFC3339 encoded datetime"),
        (body(time="0001-01-01T00:00:00+14:00"), 422, "before the year 2000"),
        (body(time="9999-12-31T23:59:59-14:00"), 422, "lies in the future"),
        (body(messages=[MESSAGE | {"id": "m"}, MESSAGE | {"id": "m"}]), 422, "the id 'm' is used twice"),
        (body(messages=[MESSAGE | {"parent": "m"}, MESSAGE | {"id": "m"}]), 422, "does not come before it"),
        (body(messages=[MESSAGE | {"id": "m", "parent": "m"}]), 422, "does not come before it"),
        (body(messages=[MESSAGE | {"parent": "elsewhere"}]), 422, "is not a message of this conversation"),
        (body(votes=[{"message": 0, "value": "up"}]), 422, "is a user message"),
        (body(votes=[{"message": 10**30, "value": "up"}]), 422, "no message at position"),
        (body(votes=[{"message": -1, "value": "up"}]), 422, "no message at position"),
        (
            b'{"id": "c", "user": "u", "metadata": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
            422,
            "nested too deeply",
        ),
        (b"[" * 100_000, 422, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    sqlite_client: TestClient, content: bytes, status: int, sentence: str
) -> None:
    answer = sqlite_client.post("/v1/conversations", content=content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text
    assert sentence in answer.json()["detail"]


def test_a_body_over_the_limit_is_413(sqlite_settings: Settings) -> None:
    from dataclasses import replace

    big = json.dumps(conversation("x" * 5_000)).encode()
    with web(replace(sqlite_settings, max_body_bytes=2_000)) as client:
        declared = client.post("/v1/conversations", content=big)
        streamed = client.post("/v1/conversations", content=iter([big[:1_500], big[1_500:]]))
    for answer in (declared, streamed):
        assert (
            answer.status_code == 413
            and "larger than 2000 bytes, the most that this route takes; send less, or stream it to /v1/conversations/import"
            in answer.json()["detail"]
        )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("PATCH", "/v1/conversations", 405),
        ("DELETE", "/v1/votes/m", 422),
        ("DELETE", "/v1/votes/m%00?user=u", 422),
        ("GET", "/v1/conversations/%00", 404),
        ("GET", "/v1/conversations/" + "%ED%A0%80", 404),
        ("GET", "/v1/conversations/c?app=%00", 422),
        ("GET", "/v1/models/%00", 404),
        ("GET", "/v1/models/nobody", 404),
        ("POST", "/v1/models/%00/promote", 404),
        ("POST", "/v1/models/rollback", 409),
        ("POST", "/v1/chat/completions", 400),
        ("POST", "/v1/rounds/1/cancel", 404),
        ("GET", "/v1/rounds/99999999999999999999", 404),
        ("GET", "/v1/rounds/-1", 404),
        ("GET", "/v1/rounds/0", 404),
        ("GET", "/v1/rounds/2147483648", 404),
        ("GET", "/v1/rounds/9223372036854775807", 404),
        ("POST", "/v1/rounds/2147483648/cancel", 404),
        ("POST", "/v1/rounds/-2147483649/cancel", 404),
        ("GET", "/v1/conversations/c?app=%ED%A0%80", 404),
    ],
)
def test_other_mistakes_are_problems_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == problem["status"] == status and problem["title"] and problem["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "sentence"),
    [
        (b'{"override_reason": "because"}', "application/x-www-form-urlencoded", "the body must be a JSON object"),
        (b"[]", "application/json", "the body must be a JSON object"),
        (b"{", "application/json", "the body is not valid JSON: expecting property name"),
        (b'{"override_reason": "a\\u0000b"}', "application/json", "the character NUL"),
    ],
)
def test_a_promotion_that_cannot_be_read_is_told_why(
    client: TestClient, content: bytes, kind: str, sentence: str
) -> None:
    answer = client.post("/v1/models/rollback", content=content, headers={"content-type": kind})
    assert answer.status_code == 422 and sentence in answer.json()["detail"], answer.text


@pytest.mark.parametrize("path", ["/v1/models/rollback", "/v1/rounds", "/v1/chat/completions"])
def test_half_a_character_is_told_in_a_sentence_too(sqlite_client: TestClient, path: str) -> None:
    for body in (b'{"\\ud800": 1}', b'{"recipe": "\\ud800", "override_reason": "\\ud800", "model": "\\ud800"}'):
        answer = sqlite_client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422) and answer.json()["detail"], answer.text


def test_what_nobody_foresaw_has_an_id_that_the_log_has_and_says_nothing_else(sqlite_settings: Settings) -> None:
    app = create_app(sqlite_settings)

    @app.get("/broken")
    def broken() -> None:
        raise KeyError("somebody's secret")

    with capture_logs() as lines, TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.get("/broken")
    problem = answer.json()
    [line] = [one for one in lines if one["event"] == "unexpected_error"]
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert problem["id"] == line["id"] and problem["id"] in problem["detail"]
    assert line["error"] == "KeyError" and line["place"].startswith("tests/service/web/test_problems.py:")
    assert "secret" not in answer.text + repr(lines)


def test_an_answer_that_breaks_off_is_logged_and_cut(sqlite_settings: Settings) -> None:
    app = create_app(sqlite_settings)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("somebody's secret")

    app.add_api_route("/broken", lambda: StreamingResponse(pieces()), response_class=StreamingResponse)
    with capture_logs() as lines, TestClient(app, base_url="http://127.0.0.1") as client:
        with pytest.raises(ValueError):
            client.get("/broken")
    assert [one["error"] for one in lines if one["event"] == "unexpected_error"] == ["ValueError"]
    assert "secret" not in repr(lines)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("q", {}, Exception("away")), 503),
        (PoolTimeout(), 503),
        (UnstorableValue("q", {}, Exception("out of range")), 422),
        (ProgrammingError("q", {}, Exception("no such table")), 500),
    ],
)
@pytest.mark.parametrize("route", [APIRoute, OpenAIRoute, PageRoute])
def test_a_database_that_cannot_is_told_from_code_that_is_wrong(
    sqlite_settings: Settings, route: type[APIRoute], error: Exception, status: int
) -> None:
    app = create_app(sqlite_settings)

    def broken() -> None:
        raise error

    app.router.routes.append(route("/broken", broken))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.get("/broken")
    expected = 400 if status == 422 and route is OpenAIRoute else status
    assert answer.status_code == expected and ("retry-after" in answer.headers) == (status == 503)
    assert "away" not in answer.text and "no such table" not in answer.text


_text = st.text(max_size=20) | st.sampled_from(
    ["c", "m", "\0", "<|im_end|>", "'; DROP TABLE app;--", "\u202e", "가" * 300]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": _text},
        optional={"id": _text, "parent": _text},
    ),
    max_size=4,
)
_hostile = st.fixed_dictionaries(
    {"id": _text, "user": _text, "messages": _messages | _values},
    optional={
        "app": _text,
        "votes": _values
        | st.lists(st.fixed_dictionaries({"message": _text | st.integers(), "value": _text}), max_size=2),
        "hints": _values,
        "satisfaction": _values,
        "consent": _values,
        "time": _values | st.datetimes().map(str),
        "metadata": _values,
        "model": _values,
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=_hostile | _values | st.lists(_hostile, max_size=3))
def test_no_body_makes_the_server_fail(client: TestClient, sent: Any) -> None:
    answer = client.post("/v1/conversations", content=json.dumps(sent).encode())
    assert answer.status_code in (200, 201, 400, 409, 422)
    if isinstance(sent, list) and answer.status_code == 200:
        assert all(row["status"] < 500 for row in answer.json())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.binary(max_size=60))
def test_no_bytes_make_the_server_fail(sqlite_client: TestClient, sent: bytes) -> None:
    for path in ("/v1/conversations", "/v1/conversations/import"):
        assert sqlite_client.post(path, content=sent).status_code < 500
    assert sqlite_client.put("/v1/votes/m", content=sent).status_code < 500


def test_every_error_of_the_tree_has_a_status() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PerennialError)
    ]
    assert {status_of(kind("x")) for kind in kinds} <= {status for _, status in STATUS} and len(kinds) > 10


def test_openapi_describes_bodies_and_resolves_every_reference(sqlite_client: TestClient) -> None:
    found = sqlite_client.get("/openapi.json").json()
    text = json.dumps(found)
    assert "ConversationIn" in found["components"]["schemas"] and "/v1/conversations/import" in found["paths"]
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in found["components"]["schemas"], name


def test_the_busiest_route_is_named_in_the_log_like_the_others(sqlite_client: TestClient) -> None:
    with capture_logs() as lines:
        sqlite_client.post("/v1/conversations", json={})
        sqlite_client.get("/v1/conversations/c")
    routes = [one["route"] for one in lines if one["event"] == "request"]
    assert routes == ["/v1/conversations", "/v1/conversations/{conversation_id:path}"]
