"""The OpenAPI document says all of what is answered: schemathesis asks every operation, on both databases.

By hand, against a running service:

    SCHEMATHESIS_HOOKS=tests.service.web.fuzzing schemathesis run http://127.0.0.1:8600/openapi.json -H "X-API-Key: pk_..."
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from starlette.routing import Route

from pipelines.gguf.protocol import End, Start, Text
from service.api_keys import create_key
from service.settings import Settings
from service.store.session import Store
from service.store.tables import Attempt
from service.web import openapi
from service.web.app import create_app
from tests.service.live import running, saying
from tests.service.served import add_model, add_round, crown

PROJECT = Path(__file__).resolve().parents[3]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


def test_every_operation_answers_what_the_document_says(settings: Settings, store: Store) -> None:
    """Seeded and bounded; the examples of the document name rows that are there."""
    add_model(store, settings, "tiny-origin", kind="origin", verdict=None)
    crown(store, "tiny-origin")
    add_round(store, stage="gate")
    add_model(store, settings, "tiny-r0001-a1", round_id=1).unlink()  # promoting it would load it, each time
    with store.begin() as session:
        session.add(Attempt(round_id=1, number=1, folder="rounds/0001/attempt-1", state="finished", verdict="pass"))
    key = create_key(store, "fuzz", None, ["admin"])
    reply = (
        Start(model="tiny-origin", sha256="s", prompt_tokens=3),
        Text(text="Hi."),
        End(reason="stop", completion_tokens=1),
    )
    with running(settings, engine=False) as live, saying(settings, *reply):
        example = openapi.CONVERSATIONS_BODY["requestBody"]["content"]["application/json"]["example"]
        stored = httpx.post(f"{live.url}/v1/conversations", json=example, headers={"X-API-Key": key}, trust_env=False)
        assert stored.status_code == 201, stored.text
        done = _fuzz(f"{live.url}/openapi.json", key, live.settings.home)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]


def test_every_refusal_in_the_table_belongs_to_an_operation(sqlite_settings: Settings) -> None:
    document = create_app(sqlite_settings).openapi()
    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert set(openapi.OWN_REFUSALS) <= operations


def test_every_route_but_the_pages_is_in_the_document(sqlite_settings: Settings) -> None:
    app = create_app(sqlite_settings)
    paths = {route.path.replace(":path", "") for route in app.router.routes if isinstance(route, Route)}
    assert {path for path in paths if path.startswith("/v1/")} <= set(app.openapi()["paths"])


def _fuzz(url: str, key: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    words = [
        "run",
        url,
        "-H",
        f"X-API-Key: {key}",
        "--checks",
        ",".join(CHECKS),
        "--phases",
        "examples,coverage,fuzzing",
    ]
    bounds = ["--seed", "1", "--max-examples", "10", "--continue-on-failure", "--warnings", "off", "--no-color"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "SCHEMATHESIS_HOOKS": "tests.service.web.fuzzing"}
    return subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *words, *bounds],
        env=environment,
        cwd=folder,  # it writes a cache
        capture_output=True,
        text=True,
        timeout=300,
    )
