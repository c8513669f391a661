"""Half requests, slow readers and too many connections, on real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from service.settings import Settings
from service.web.connections import Limits
from tests.factories import conversation
from tests.service.live import Live, running

QUICK = Limits(head_seconds=0.5, body_seconds=0.5, body_bytes=1_000, write_seconds=0.5, max_connections=8)


@pytest.fixture
def live(sqlite_settings: Settings) -> Iterator[Live]:
    with running(sqlite_settings, engine=False, limits=QUICK) as service:
        yield service


def connected(live: Live) -> socket.socket:
    host, port = live.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """The status and the problem of the one answer before the server closes."""
    raw = b""
    while piece := connection.recv(65536):
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head and b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)


def post(path: str, length: int | None = None) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Perennial: 1\r\n{size}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        (b"GET /healthz HT", 408, "the head of this request was not here after 0.5 s"),
        (post("/v1/conversations", 1_000), 408, "the body of this request was not here after 0.5 s"),
        (post("/v1/conversations", 1_000) + b'{"id": ', 408, "the body of this request"),
        (post("/v1/conversations/import"), 408, "the body of this request"),
        (post("/v1/conversations/import") + b"5\r\n{", 408, "the body of this request"),
        (b"nonsense\r\n\r\n", 400, "this is no HTTP request"),
        (post("/v1/conversations") + b"zz\r\n", 400, "this is no HTTP request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 300 + b"\r\n", 431, "at most 65536 bytes and 200 headers"),
    ],
)
def test_half_a_request_is_cut_with_a_problem(live: Live, sent: bytes, status: int, sentence: str) -> None:
    with closing(connected(live)) as connection:
        connection.sendall(sent)
        found, problem = answer_of(connection)
    assert (found, problem["status"]) == (status, status) and sentence in str(problem["detail"])


def test_a_head_that_drips_is_cut_however_long_it_goes_on(live: Live) -> None:
    started = time.monotonic()
    with closing(connected(live)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with pytest.raises(ConnectionError):
            for number in range(200):
                connection.sendall(f"X-{number}: drip\r\n".encode())
                time.sleep(0.05)
    assert time.monotonic() - started < 5


def test_a_head_that_never_ends_is_cut_before_it_fills_memory(live: Live) -> None:
    with closing(connected(live)) as connection:
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                connection.sendall(b"a" * 10_000)


def test_a_body_that_goes_on_well_enough_is_taken_however_long_it_takes(live: Live) -> None:
    body = json.dumps(conversation("x" * 9_000)).encode()
    with closing(connected(live)) as connection:
        connection.sendall(post("/v1/conversations", len(body)))
        for start in range(0, len(body), 1_000):
            connection.sendall(body[start : start + 1_000])
            time.sleep(0.15)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


def test_a_reader_that_does_not_read_is_cut(live: Live) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = live.url.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        connection.settimeout(10)
        with pytest.raises(ConnectionError):
            while True:  # answers pile up until the server's side is full, then it waits, then it has waited enough
                connection.sendall(request)
                time.sleep(0.001)


def test_idle_connections_make_room_for_new_ones(live: Live) -> None:
    slow = [connected(live) for _ in range(QUICK.max_connections)]
    for connection in slow:
        connection.sendall(b"GET / HT")
    with live.http() as client:
        assert client.get("/openapi.json").status_code == 200
    for connection in slow:
        connection.close()


def test_where_all_connections_are_busy_a_new_one_is_told_so(live: Live) -> None:
    busy = [connected(live) for _ in range(QUICK.max_connections)]
    for connection in busy:
        connection.sendall(post("/v1/conversations", 1_000) + b"{")
    time.sleep(0.1)
    with closing(connected(live)) as connection:
        status, problem = answer_of(connection)
    assert status == 503 and "8 connections are open already" in str(problem["detail"])
    for connection in busy:
        connection.close()


def test_a_connection_is_used_again_and_again(live: Live) -> None:
    with closing(connected(live)) as connection:
        for _ in range(5):
            connection.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 404")
            time.sleep(0.2)


ODD = [
    b"OPTIONS * HTTP/1.1",
    b"CONNECT a:443 HTTP/1.1",
    "GET /\u00e9 HTTP/1.1".encode(),
    b"GET /%ff?%00 HTTP/1.1",
    b"GET /v1/rounds/%00 HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"GET / HTTP/9.9",
    b"BREW / HTTP/1.1",
    b"TRACE / HTTP/1.1",
    b"GET /" + b"a" * 60_000 + b" HTTP/1.1",
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade",
    b"GET / HTTP/1.1\r\nHost: rebound.example",
    b"GET / HTTP/1.1\r\nCookie: \xff\xfe",
    b"GET /v1/models HTTP/1.1\r\nAuthorization: Bearer \xff\xfe",
    b"GET /v1/models HTTP/1.1\r\nOrigin: http://[::1",
    b"POST /v1/conversations HTTP/1.1\r\nContent-Length: " + b"9" * 30,
    b"POST /v1/conversations HTTP/1.1\r\nContent-Length: -1",
    b"POST /v1/conversations HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    b"GET / HTTP/1.1\r\nAccept: \0",
]


def test_odd_requests_are_answered_and_nothing_of_them_is_logged(live: Live) -> None:
    with capture_logs() as lines:
        for request in ODD:
            with closing(connected(live)) as connection:
                connection.sendall(request + b"\r\nHost: 127.0.0.1\r\nX-Perennial: 1\r\nConnection: close\r\n\r\n")
                head = connection.recv(65536).partition(b"\r\n\r\n")[0]
            assert 200 <= int(head.split()[1]) < 500, request[:80]
            assert b"content-type: application/" in head or b"content-type: text/html" in head, request[:80]
    assert not [line for line in lines if line["log_level"] not in ("debug", "info")]
