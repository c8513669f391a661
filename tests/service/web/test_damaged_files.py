"""Files that a crash, a full disk or a person damaged: pages and the API answer all the same, and no path leaves the machine."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.settings import Settings
from service.store.session import open_store
from tests.conftest import make_settings
from tests.factories import web
from tests.service.served import add_model
from tests.service.web.test_pages import fill, token_of

FILES = (
    "rounds/0001/attempt-1/gate/manifest.json",
    "rounds/0001/attempt-1/report/report.json",
    "rounds/0001/attempt-1/train/loss_history.csv",
    "rounds/0001/attempt-1/prefer/progress.jsonl",
    "rounds/0002/attempt-1/train.1.tmp/progress.jsonl",
    "engine.json",
    "origin.json",
)
DAMAGE = {
    "empty": b"",
    "zeros": b"\0" * 300,
    "no text": b"\xff\xfe{",
    "half": b'{"stage": "train", "do',
    "half and the next": b'{"stage": "tr{"stage": "train", "done": 1, "total": 2}\n',
    "a list": b"[1]\n",
    "null": b"null\n",
    "other keys": b'{"stage": 1, "done": "x", "total": [], "preference": {"used": 7}, "output": {"checks": 1}}\n',
    "deep": b"[" * 5_000 + b"\n",
    "no numbers": b"step,loss,dev_loss\nx,y,z\n1,nan,inf\n2\n",
}
LOOKS = ("/", "/rounds", "/rounds/1", "/rounds/2", "/models", "/v1/rounds/1", "/v1/rounds/2", "/v1/models", "/healthz")


@pytest.fixture(scope="module")
def settings(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    fill(found := make_settings(home))
    return found


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with web(settings) as opened:
        yield opened


@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_a_file_holds_everything_is_shown(settings: Settings, client: TestClient, damage: str) -> None:
    kept = {name: path.read_bytes() for name in FILES if (path := settings.home / name).is_file()}
    for name in FILES:
        (settings.home / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.home / name).write_bytes(DAMAGE[damage])
    answers = {path: client.get(path) for path in LOOKS}
    for name in FILES:
        (settings.home / name).unlink()
    for name, content in kept.items():
        (settings.home / name).write_bytes(content)
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(LOOKS, 200)


@pytest.mark.parametrize("damage", ["changed", "gone", "a folder"])
def test_a_model_whose_file_is_damaged_is_refused_without_a_path(
    settings: Settings, client: TestClient, damage: str
) -> None:
    store, name = open_store(settings), damage.replace(" ", "-")
    path = add_model(store, settings, name, round_id=1)
    store.close()
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"GGUF of somebody else")
    if damage == "a folder":
        os.mkdir(path)
    by_api = client.post(f"/v1/models/{name}/promote", json={})
    token = token_of(client.get(f"/models/{name}/promote").text)
    by_page = client.post(f"/models/{name}/promote", data={"csrf": token})
    assert (by_api.status_code, by_page.status_code) == (409, 409)
    assert f"models/{name}/model.gguf" in by_api.json()["detail"]
    for answer in (by_api, by_page):
        assert str(settings.home) not in answer.text


def test_a_token_that_is_no_ascii_is_a_wrong_token(client: TestClient) -> None:
    client.get("/login")  # a visit that is new is refused without a look at its token
    for path in ("/models/good/promote", "/models/rollback", "/logout"):
        assert client.post(path, data={"csrf": "é"}).status_code == 403
    assert client.post("/login", data={"csrf": "é", "key": "é"}).status_code == 403
