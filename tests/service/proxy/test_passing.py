"""What passes the proxy: bytes as they are, headers but for the connection's and ours, errors, and breaks."""

import gzip
import json
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.api_keys import create_key
from service.ingest.losses import read_losses
from service.settings import Settings
from service.store.session import open_store
from tests.service.live import running
from tests.service.proxy.conftest import Front
from tests.service.proxy.scripted import OK, chunked, completion, scripted, whole

CHAT = "/v1/chat/completions"
ASKED = {"model": "m-1", "messages": [{"role": "user", "content": "Hi"}]}
ODD = [
    b": a comment\n\n",
    b'event: x\r\ndata: {"id": "a"}\r\n\r\n',
    b'data: {"t": "\xed\x95',  # a Hangul syllable over two chunks
    b'\x9c"}\n\n',
    b"data: \xff\xfe no unicode\n\n\n\n",
    b"retry: 10\rdata: [DONE]",
]


def test_a_stream_of_odd_bytes_comes_as_it_was_sent(front: Front) -> None:
    front.upstream.says(*chunked(*ODD))
    with front.http.stream("POST", CHAT, json=ASKED | {"stream": True}) as answer:
        pieces = list(answer.iter_raw())
    assert b"".join(pieces) == b"".join(ODD)
    assert len(pieces) > 1 and answer.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(completion("Hi", "a"), indent=3).encode() + b"\n\n", ()),
        (gzip.compress(b'{"id": "a"}'), ("Content-Encoding: gzip",)),
        (b"\x00\xff binary", ("Content-Disposition: x",)),
        (b"", ()),
    ],
    ids=["json", "gzip", "binary", "empty"],
)
def test_a_whole_answer_comes_as_it_was_sent(front: Front, body: bytes, headers: tuple[str, ...]) -> None:
    front.upstream.says(whole(body, *headers))
    with front.http.stream("POST", CHAT, json=ASKED) as answer:
        assert b"".join(answer.iter_raw()) == body
    assert answer.headers["content-length"] == str(len(body))
    for line in headers:
        name, _, value = line.partition(": ")
        assert answer.headers[name] == value


def test_the_request_arrives_as_it_was_sent(front: Front) -> None:
    front.upstream.says(whole({}))
    body = '{"model" : "m-1",\n\t"messages": [{"role":"user","content":"\\ud55c 글"}]}'.encode()
    named = {"Content-Type": "application/json", "Authorization": "Bearer sk-1", "X-Custom": "ü", "User-Agent": "me"}
    headers = {name: value.encode() for name, value in named.items()}
    front.http.post(f"{CHAT}?a=%20b&c=%2f", content=body, headers=headers)
    assert front.upstream.body() == body
    head = front.upstream.head()
    assert head[":line"] == f"POST {CHAT}?a=%20b&c=%2f HTTP/1.1"
    assert (head["authorization"], head["x-custom"], head["user-agent"]) == ("Bearer sk-1", "ü", "me")
    assert head["host"] == f"127.0.0.1:{front.upstream.port}"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/models", "GET /v1/models HTTP/1.1"),
        ("/v1/models/a%2Fb?x=%3D", "GET /v1/models/a%2Fb?x=%3D HTTP/1.1"),
        ("/api/tags", "GET /api/tags HTTP/1.1"),
        ("/health", "GET /health HTTP/1.1"),
        ("/v1/conversations/conv_1", "GET /v1/conversations/conv_1 HTTP/1.1"),
        ("/v1/messages/count_tokens", "GET /v1/messages/count_tokens HTTP/1.1"),
        ("/proxy/v1/models", "GET /v1/models HTTP/1.1"),
    ],
)
def test_other_paths_pass_too(front: Front, path: str, asked: str) -> None:
    front.upstream.says(whole({"object": "list"}))
    assert front.http.get(path).json() == {"object": "list"}
    assert front.upstream.head()[":line"] == asked


@pytest.mark.parametrize("path", ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/x/..%2fy", "/v1/..%5cy"])
def test_no_path_climbs_out_of_the_upstreams(front: Front, path: str) -> None:
    raw = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    answer = _raw(front, raw)
    assert b" 400 " in answer.split(b"\r\n")[0] and b"has a step '.' or '..'" in answer and front.upstream.asked == []


def test_the_connections_headers_ours_and_cookies_stay_here(front: Front) -> None:
    front.upstream.says(
        whole({}, "Set-Cookie: a=1", "Connection: x-hop, close", "X-Hop: 1", "Keep-Alive: 5", "X-Kept: 2")
    )
    headers = {
        "Connection": "keep-alive, X-Secret-Hop", "X-Secret-Hop": "1", "TE": "trailers", "Cookie": "session=1",
        "Expect": "100-continue", "Proxy-Authorization": "x", "X-Perennial": "1", "X-Perennial-User": "ana", "X-Kept": "3",
    }  # fmt: skip
    answer = front.http.post(CHAT, json=ASKED, headers=headers)
    sent = set(front.upstream.head())
    assert sent == {
        ":line",
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "content-type",
        "content-length",
        "x-kept",
    }
    assert answer.headers["x-kept"] == "2" and not {"set-cookie", "x-hop", "keep-alive"} & set(answer.headers)


def test_a_key_of_ours_opens_the_proxy_and_never_passes_it(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    key, reader = create_key(store, "app", None, ["chat"]), create_key(store, "reader", None, ["read"])
    store.close()
    with scripted() as upstream, running(replace(sqlite_settings, upstream=upstream.url), engine=False) as live:
        with live.http(headers={"Authorization": "Bearer sk-upstream"}) as http:
            upstream.says(whole({}))
            said = {
                name: http.post(f"/proxy{CHAT}", json=ASKED, headers=headers)
                for name, headers in {
                    "none": {},
                    "reader": {"X-API-Key": reader},
                    "unknown": {"X-API-Key": "pk_" + "x" * 43},
                    "ours": {"X-API-Key": key},
                    "bearer": {"Authorization": f"Bearer {key}"},
                }.items()
            }
    statuses = {name: answer.status_code for name, answer in said.items()}
    assert statuses == {"none": 401, "reader": 403, "unknown": 401, "ours": 200, "bearer": 200}
    assert "needs an API key" in said["none"].json()["error"]["message"]
    ours, bearer = upstream.head(0), upstream.head(1)
    assert ours["authorization"] == "Bearer sk-upstream" and "x-api-key" not in ours and "authorization" not in bearer
    assert key.encode() not in b"".join(upstream.asked)


def test_without_keys_only_its_own_user_is_served(front: Front) -> None:
    front.upstream.says(whole({}))
    for headers in ({"X-Forwarded-For": "10.0.0.1"}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        answer = front.http.post(CHAT, json=ASKED, headers=headers)
        assert answer.status_code == 403 and "answers its own user only" in answer.json()["detail"]
    assert front.upstream.asked == []


@pytest.mark.parametrize(
    ("status", "body"),
    [("404 Not Found", b'{"error": {"message": "model not found"}}'), ("429 Slow", b"later"), ("500 Oops", b"<html>")],
)
def test_the_upstreams_errors_pass_with_status_and_body(front: Front, status: str, body: bytes) -> None:
    front.upstream.says(whole(body, "Retry-After: 7", status=status))
    answer = front.http.post(CHAT, json=ASKED, headers={"X-Perennial-User": "ana"})
    assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (int(status[:3]), body, "7")


def test_an_upstream_that_is_down_or_says_nothing_is_told_in_a_sentence(
    front: Front, sqlite_settings: Settings
) -> None:
    front.upstream.says()
    ended = front.http.post(CHAT, json=ASKED)
    assert ended.status_code == 502 and "ended before it answered" in ended.json()["error"]["message"]
    front.upstream.script = lambda _request, connection: time.sleep(2.5)
    silent = front.http.post(CHAT, json=ASKED)
    assert silent.status_code == 504 and "said nothing for 2 seconds" in silent.json()["detail"]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with (
        running(replace(sqlite_settings, upstream=f"http://127.0.0.1:{port}/v1"), engine=False) as live,
        live.http() as http,
    ):
        gone = http.post(f"/proxy{CHAT}", json=ASKED)
    assert gone.status_code == 502 and gone.headers["content-type"] == "application/problem+json"
    assert f"the upstream http://127.0.0.1:{port} cannot be reached (Connect" in gone.json()["detail"]
    assert gone.json()["error"]["code"] == "upstream_gone"


@pytest.mark.parametrize(
    "script",
    [chunked(b"data: 1\n\n", b"data: 2\n\n", end=False), [OK + b"Content-Length: 99\r\n\r\n", b"half", b""]],
    ids=["stream", "whole"],
)
def test_an_answer_that_breaks_off_breaks_off_here_too(front: Front, script: list[bytes]) -> None:
    front.upstream.says(*script)
    with front.http.stream("POST", CHAT, json=ASKED) as answer, pytest.raises(httpx.RemoteProtocolError):
        assert answer.status_code == 200
        for _ in answer.iter_raw():
            pass


def test_a_client_that_leaves_ends_the_upstreams_work(front: Front) -> None:
    def talk(_request: bytes, connection: socket.socket) -> None:
        connection.sendall(chunked()[0])
        for _ in range(500):
            connection.sendall(b"9\r\ndata: 1\n\n\r\n")
            time.sleep(0.01)

    front.upstream.script = talk
    with front.http.stream("POST", CHAT, json=ASKED) as answer:
        next(answer.iter_raw())
    assert front.upstream.left.wait(3)


def test_a_reader_that_is_slow_slows_the_upstream_down(front: Front) -> None:
    sent = 0

    def flood(_request: bytes, connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(chunked()[0])
        for _ in range(400):
            connection.sendall(b"40000\r\n" + b"x" * 0x40000 + b"\r\n")
            sent += 0x40000

    front.upstream.script = flood
    with front.http.stream("POST", CHAT, json=ASKED) as answer:
        next(answer.iter_raw())
        time.sleep(0.5)
        assert sent < 64 << 20
    assert front.upstream.left.wait(5)


def test_connections_to_the_upstream_are_kept(front: Front) -> None:
    front.upstream.says(whole({}), keeps=True)
    before = front.upstream.connections
    for _ in range(5):
        front.http.post(CHAT, json=ASKED)
    assert front.upstream.connections == before + 1


def test_a_body_too_large_or_a_header_that_cannot_be_is_refused_in_a_sentence(front: Front) -> None:
    big = front.http.post(CHAT, content=b"x" * (33 << 20), headers={"Content-Type": "application/json"})
    assert big.status_code == 413 and "larger than 33554432 bytes" in big.json()["detail"]
    for header, said in (
        ("X-Perennial-Consent", "must be 'true' or 'false', and is 'perhaps'"),
        ("X-Perennial-User", "256"),
    ):
        value: Any = "perhaps" if header.endswith("Consent") else "x" * 300
        answer = front.http.post(CHAT, json=ASKED, headers={header: value})
        assert answer.status_code == 400 and said in answer.json()["detail"]
    assert front.upstream.asked == []


def test_what_is_no_way_of_a_request_is_refused(front: Front) -> None:
    assert front.http.request("TRACE", "/v1/models").status_code == 405
    smuggled = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert b" 400 " in _raw(front, smuggled).split(b"\r\n")[0] and front.upstream.asked == []


def test_many_pass_at_the_same_time(front: Front) -> None:
    front.upstream.says(*chunked(*(b"data: %d\n\n" % number for number in range(20))))
    found: list[bytes] = []

    def ask() -> None:
        with front.live.http() as http:
            found.append(http.post(CHAT, json=ASKED).content)

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24 and len(set(found)) == 1


def _raw(front: Front, request: bytes) -> bytes:
    port = int(front.live.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.settimeout(1.0)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except TimeoutError:
            pass
    return answer


def test_an_answer_that_is_too_long_to_be_recorded_passes_whole_and_is_counted(front: Front) -> None:
    front.upstream.says(*chunked(*[b"x" * (4 << 20)] * 9))
    with front.http.stream("POST", CHAT, json=ASKED | {"user": "lang"}) as answer:
        assert sum(len(piece) for piece in answer.iter_raw()) == 36 << 20
    front.wait_for(lambda: "too_long" in read_losses(front.live.settings.home))
    assert not front.is_known("lang")
