"""What a server without API keys answers to: its own user on this machine, and neither pages nor proxies nor anybody else."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from service.api_keys import create_key
from service.settings import Settings
from service.store.session import migrate, open_store
from service.web.peers import NOBODY, look_up
from tests.conftest import make_settings
from tests.factories import conversation, web
from tests.service.live import Live, running

BARE = {"headers": {}}
JSON = {"Content-Type": "application/json"}
EVERYTHING = [
    ("POST", "/v1/conversations"),
    ("POST", "/v1/conversations/import"),
    ("GET", "/v1/conversations/c"),
    ("PUT", "/v1/votes/m"),
    ("DELETE", "/v1/votes/m?user=u"),
    ("POST", "/v1/messages/m/corrections"),
    ("DELETE", "/v1/messages/m/corrections?user=u"),
    ("POST", "/v1/comparisons"),
    ("DELETE", "/v1/comparisons"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/tiny"),
    ("POST", "/v1/models/tiny/promote"),
    ("POST", "/v1/models/rollback"),
    ("POST", "/v1/models/tiny/deploy"),
    ("GET", "/v1/targets"),
    ("GET", "/v1/watch"),
    ("GET", "/v1/rounds"),
    ("GET", "/v1/rounds/1"),
    ("POST", "/v1/rounds"),
    ("POST", "/v1/rounds/1/cancel"),
    ("GET", "/"),
    ("GET", "/models"),
    ("POST", "/models/rollback"),
    ("POST", "/models/tiny/promote"),
]
CHANGES = [(method, path) for method, path in EVERYTHING if method != "GET"]
POSTS = [path for method, path in EVERYTHING if method == "POST" and path.startswith("/v1/")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of an empty home without keys."""
    settings = make_settings(tmp_path_factory.mktemp("open"))
    migrate(settings)
    return settings


@pytest.fixture(scope="module")
def bare(home: Settings) -> Iterator[TestClient]:
    """A client that sends no header of its own accord."""
    with web(home, **BARE) as client:
        yield client


def is_refused(client: TestClient, method: str, path: str, headers: dict[str, str]) -> bool:
    answer = client.request(method, path, headers=headers, content=b"{}" if method != "GET" else None)
    return answer.status_code == 403 and "without API keys" in answer.text


# ---- who is served -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:8600", "[::1]:8600", "localhost", "127.8.9.1"])
def test_this_machine_has_several_names(bare: TestClient, host: str) -> None:
    assert bare.post("/v1/conversations", json=conversation(), headers={"Host": host}).status_code == 201
    own = {
        "Host": host,
        "Origin": f"http://{host}",
        "Sec-Fetch-Site": "same-origin",
        "Referer": f"http://{host}/models",
    }
    assert bare.post("/v1/conversations", json=conversation(), headers=own).status_code == 201


def test_what_needs_no_body_may_carry_the_header_instead(bare: TestClient) -> None:
    assert bare.post("/v1/models/rollback", headers={"X-Perennial": "1"}).status_code == 409  # nothing to roll back to
    assert bare.post("/v1/rounds/1/cancel", headers={"X-Perennial": "1"}).status_code == 404


def test_with_a_key_no_header_and_no_name_matters(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    key = create_key(store, "admin", None, "admin")
    store.close()
    headers = {"X-API-Key": key, "X-Forwarded-For": "10.0.0.7", "Host": "llm.example", "Origin": "https://app.example"}
    with web(sqlite_settings, client=("10.0.0.7", 5000), **BARE) as client:
        assert client.post("/v1/models/rollback", headers=headers).status_code == 409


# ---- pages -------------------------------------------------------------------------------------------------

OTHER_PAGES = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "https://127.0.0.1"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://127.0.0.1@evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Referer": "https://evil.example/page"},
    {"Referer": "http://127.0.0.1:3000/"},
]


@pytest.mark.parametrize("headers", OTHER_PAGES, ids=lambda headers: " ".join(*headers.items()))
def test_no_other_page_changes_anything(bare: TestClient, headers: dict[str, str]) -> None:
    for method, path in CHANGES:
        assert is_refused(bare, method, path, JSON | headers), (method, path)


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "TEXT/PLAIN;a=b"],
)
def test_what_a_page_could_send_unasked_is_refused_even_without_an_origin(bare: TestClient, kind: str | None) -> None:
    for path in POSTS:
        assert is_refused(bare, "POST", path, {} if kind is None else {"Content-Type": kind}), path


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_pages_may_link_here_and_read_nothing(bare: TestClient, site: str) -> None:
    assert bare.get("/models", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert is_refused(bare, "GET", "/models", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
    assert is_refused(bare, "GET", "/v1/rounds", {"Origin": "http://localhost:3000"})


# ---- proxies and other machines ----------------------------------------------------------------------------

PROXIES = [
    "CDN-Loop", "CF-Connecting-IP", "CF-Ray", "Client-IP", "Fastly-Client-IP", "Forwarded", "Tailscale-User-Login",
    "True-Client-IP", "Via", "X-Amzn-Trace-Id", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address",
    "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server",
    "X-Original-URL", "X-ProxyUser-Ip", "X-Real-IP",
]  # fmt: skip


@pytest.mark.parametrize("header", PROXIES)
def test_whatever_a_proxy_says_of_itself_is_heard(bare: TestClient, header: str) -> None:
    assert is_refused(bare, "GET", "/v1/rounds", {header: "x"})
    assert is_refused(bare, "POST", "/v1/models/rollback", JSON | {header: "127.0.0.1"})


def test_a_forwarded_request_reaches_no_route(bare: TestClient) -> None:
    for method, path in EVERYTHING:
        assert is_refused(bare, method, path, JSON | {"X-Forwarded-For": "10.0.0.7"}), (method, path)


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"client": ("10.0.0.7", 5000)}, {}),
        ({"base_url": "http://rebound.example"}, {}),
        ({}, {"Host": "rebound.example:8600"}),
        ({}, {"Host": "127.0.0.1@rebound.example"}),
        ({}, {"Host": "127.0.0.1.rebound.example"}),
        ({}, {"Host": ""}),
    ],
    ids=["another machine", "a rebound name", "with a port", "behind a user", "a longer name", "no name"],
)
def test_another_machine_or_name_reaches_no_route(home: Settings, options: Any, headers: dict[str, str]) -> None:
    with web(home, **BARE, **options) as client:
        for method, path in EVERYTHING:
            assert is_refused(client, method, path, JSON | headers), (method, path)


@pytest.fixture(scope="module")
def live(home: Settings) -> Iterator[Live]:
    with running(home, engine=False) as service:
        yield service


def raw(live: Live, request: str) -> str:
    """The answer to a request as it stands."""
    port = httpx.URL(live.url).port
    with closing(socket.create_connection(("127.0.0.1", port or 0), 10)) as connection:
        connection.sendall(request.format(port=port).replace("\n", "\r\n").encode())
        return connection.recv(100_000).decode()


@pytest.mark.parametrize("line", ["POST /v1/models/rollback", "GET /v1/rounds"])
def test_nginx_as_it_comes_gets_nothing(live: Live, line: str) -> None:
    sent = line + " HTTP/1.0\nHost: 127.0.0.1:{port}\nConnection: close\nX-Perennial: 1\nContent-Length: 0\n\n"
    assert "HTTP/1.0 is what proxies speak" in raw(live, sent)
    assert " 403 " not in raw(live, sent.replace("HTTP/1.0", "HTTP/1.1"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says whose a connection is")
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() != 0, reason="only root can ask as another user")
def test_a_process_of_another_user_of_this_machine_gets_nothing(live: Live) -> None:
    ask = "import sys, urllib.request as r\ntry: print(r.urlopen(sys.argv[1]).status)\nexcept r.HTTPError as e: print(e.read())"
    for user, answer in ((None, "200"), (65534, "a process of the user with the number 65534")):
        command = ["/usr/bin/env", "python3", "-c", ask, f"{live.url}/v1/rounds"]
        done = subprocess.run(
            command, user=user, cwd="/", capture_output=True, text=True, timeout=30, env={"PATH": os.environ["PATH"]}
        )
        assert answer in done.stdout, done


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says whose a connection is")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_connection_is_found_with_its_user_and_left_by_its_process_it_is_nobodys(family: int, host: str) -> None:
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        ours = server.getsockname()[:2]
        client = socket.socket(family)
        client.connect((host, ours[1]))
        accepted, peer = server.accept()
        with closing(accepted):
            assert look_up(peer[:2], ours) == os.getuid()
            client.close()
            assert look_up(peer[:2], ours) == NOBODY
        assert look_up((host, 1), (host, 2)) == NOBODY
