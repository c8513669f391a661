"""Deploy targets: each one really served from, the one before kept, a failure that changes nothing there and says so."""

import base64
import hashlib
import hmac
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from pipelines.artifacts import sha256_of
from pipelines.errors import Conflict, InputError, NotFound
from service.cli import app
from service.models.promotion import rollback
from service.models.targets import placing
from service.models.targets.configuration import read_targets
from service.models.targets.deploy import check_targets, deploy, deploy_due, list_targets
from service.models.targets.webhook import WebhookTarget
from service.obstacles import find_obstacles
from service.private_files import private_files
from service.rounds.aftercare import Aftercare
from service.settings import Settings
from service.store.session import Store
from service.store.tables import Audit, ServedForm
from tests.factories import web
from tests.service.cli.test_parts import wait_for
from tests.service.ollama_stub import listening, ollama
from tests.service.served import add_model, crown

on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a program of somebody's has its model."""
    path = tmp_path / "eden" / "models" / "model.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the model that the program came with")
    return path


def configure(settings: Settings, text: str) -> None:
    settings.targets_path.write_text(text, encoding="utf-8")


def champion(store: Store, settings: Settings, name: str, before: str | None = None) -> Path:
    path = add_model(store, settings, name, weights=name)
    crown(store, name, before)
    return path


def states(settings: Settings, store: Store) -> dict[str, tuple[str, str | None]]:
    with store.read() as session:
        return {one.name: (one.state, one.model_id) for one in list_targets(settings, session)}


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_copy_takes_the_place_of_the_model_and_the_one_before_stays(
    store: Store, settings: Settings, place: Path
) -> None:
    configure(settings, f"eden: {{kind: copy, path: {place}}}")
    source = champion(store, settings, "first")
    assert states(settings, store) == {"eden": ("waiting", None)}
    [view] = deploy_due(settings, store, "test")
    assert (view.state, view.model_id, sha256_of(place)) == ("current", "first", sha256_of(source))
    assert (place.parent / "model.previous.gguf").read_bytes() == b"the model that the program came with"
    second = champion(store, settings, "second", "first")
    deploy_due(settings, store, "test")
    assert sha256_of(place) == sha256_of(second)
    assert sha256_of(place.parent / "model.previous.gguf") == sha256_of(source)
    assert deploy_due(settings, store, "test") == []
    rollback(store, settings, "test")
    deploy_due(settings, store, "test")
    assert sha256_of(place) == sha256_of(source) and states(settings, store) == {"eden": ("current", "first")}
    assert sorted(one.name for one in place.parent.iterdir()) == ["model.gguf", "model.previous.gguf"]


@on_sqlite
def test_another_user_may_read_what_is_brought_to_its_program(store: Store, settings: Settings, tmp_path: Path) -> None:
    configure(
        settings, f"eden: {{kind: copy, path: {tmp_path}/eden/m.gguf}}\nstudio: {{kind: lm_studio, folder: {tmp_path}}}"
    )
    champion(store, settings, "first")
    with private_files():
        deploy_due(settings, store, "test")
    made = [tmp_path / "eden", tmp_path / "eden" / "m.gguf", *(tmp_path / "perennial").rglob("*")]
    assert len(made) == 4 and all(path.stat().st_mode & 0o044 == 0o044 for path in made)
    assert all(path.stat().st_mode & 0o011 == 0o011 for path in made if path.is_dir())


@on_sqlite
def test_at_no_moment_is_there_no_whole_model_at_the_place(
    store: Store, settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = champion(store, settings, "first")
    whole = {hashlib.sha256(place.read_bytes()).hexdigest(), sha256_of(source)}
    seen: list[str] = []
    real: dict[str, Any] = {name: getattr(os, name) for name in ("link", "replace")}

    def watched(name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            seen.append(sha256_of(place))
            done = real[name](*args, **options)
            seen.append(sha256_of(place))
            return done

        return call

    configure(settings, f"eden: {{kind: copy, path: {place}}}")
    for name in real:
        monkeypatch.setattr(os, name, watched(name))
    deploy(settings, store, "test")
    assert len(seen) == 6 and set(seen) == whole


@on_sqlite
def test_a_target_that_fails_keeps_the_model_before_says_so_and_is_tried_again(
    store: Store, settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, f"eden: {{kind: copy, path: {place}}}\nother: {{kind: copy, path: {place.parent}/other.gguf}}")
    champion(store, settings, "first")
    deploy_due(settings, store, "test")
    before = sha256_of(place)
    champion(store, settings, "second", "first")
    real = placing._copy

    def torn(source: Path, to: Path) -> str:
        digest = real(source, to)
        return "0" * 64 if to.name.startswith("model") or ".model" in to.name else digest

    monkeypatch.setattr(placing, "_copy", torn)
    deploy_due(settings, store, "test")
    assert sha256_of(place) == before
    assert states(settings, store) == {"eden": ("failed", "first"), "other": ("current", "second")}
    told = {one.name: one.line() for one in find_obstacles(settings, store)}["target_failed"]
    assert "eden" in told and "'first' answers there" in told and "perennial models deploy eden" in told
    with store.read() as session:
        noted = session.exec(select(Audit).where(Audit.action == "deploy_failed")).one()
    assert noted.subject == "eden" and noted.detail["model"] == "second"
    assert deploy_due(settings, store, "test") == []  # not before its pause is over
    monkeypatch.setattr(placing, "_copy", real)
    assert [one.state for one in deploy_due(settings, store, "test", patient=False)] == ["current"]
    assert "target_failed" not in {one.name for one in find_obstacles(settings, store)}


@on_sqlite
def test_nothing_is_swapped_before_every_file_is_there(store: Store, settings: Settings, place: Path) -> None:
    source = champion(store, settings, "first")
    good = placing.Placement(source, sha256_of(source), place, place.with_name("p.gguf"))
    bad = placing.Placement(source, "0" * 64, place.with_name("adapter.gguf"), place.with_name("q.gguf"))
    with pytest.raises(Exception, match="not the file that was gated"):
        placing.place_files([good, bad])
    assert [one.name for one in place.parent.iterdir()] == ["model.gguf"]
    assert place.read_bytes() == b"the model that the program came with"


@on_sqlite
def test_ollama_gets_the_files_and_our_modelfile_and_answers_before_the_names_are_swapped(
    store: Store, settings: Settings
) -> None:
    source = champion(store, settings, "first")
    with ollama() as stub:
        configure(
            settings, f"laptop: {{kind: ollama, url: '{stub.url}', model: eden, parameters: {{temperature: 0.5}}}}"
        )
        deploy_due(settings, store, "test")
        made = stub.models["eden:latest"]
        assert stub.blobs[made["files"]["model.gguf"]] == source.read_bytes() and "adapters" not in made
        assert made["parameters"] == {"num_ctx": 4096, "temperature": 0.5, "stop": ["<|im_end|>"]}
        assert made["template"].endswith("{{ end }}{{ end }}<|im_start|>assistant\n")
        assert set(stub.models) == {"eden:latest"}
        champion(store, settings, "second", "first")
        stub.asked.clear()
        deploy_due(settings, store, "test")
        assert stub.models["eden:previous"] == made and stub.models["eden:latest"]["digest"] != made["digest"]
        assert stub.asked.index("POST /api/chat") < stub.asked.index("POST /api/copy")
        assert check_targets(settings, store) == {}
        stub.models["eden:latest"] = made
        assert "is another model in Ollama" in check_targets(settings, store)["laptop"]


@on_sqlite
@pytest.mark.parametrize("path", ["/api/create", "/api/chat", "/api/tags"])
def test_an_ollama_that_fails_on_the_way_keeps_what_it_had(store: Store, settings: Settings, path: str) -> None:
    with ollama() as stub:
        configure(settings, f"laptop: {{kind: ollama, url: '{stub.url}', model: 'eden:8b'}}")
        champion(store, settings, "first")
        deploy_due(settings, store, "test")
        before = dict(stub.models)
        champion(store, settings, "second", "first")
        stub.broken.add(path)
        [view] = deploy_due(settings, store, "test")
        assert view.state == "failed" and "unexpectedly stopped" in (view.problem or "")
        assert stub.models == before and states(settings, store)["laptop"] == ("failed", "first")


@on_sqlite
def test_llama_server_lists_the_new_one_and_the_one_before_and_lets_go_of_what_it_loaded(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    asked: list[tuple[str, str, bytes]] = []

    def answer(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked.append((method, path, body))
        return 200, {"success": True}

    (tmp_path / "models").mkdir()
    preset = tmp_path / "models.ini"
    preset.write_text("[other]\nmodel = /x.gguf\n\n[champion]\nctx-size = 8192\n")
    with listening(answer) as url:
        configure(settings, f"llama: {{kind: llama_server, folder: {tmp_path}/models, preset: {preset}, url: '{url}'}}")
        first = champion(store, settings, "first")
        deploy_due(settings, store, "test")
        champion(store, settings, "second", "first")
        deploy_due(settings, store, "test")
    assert sorted(one.name for one in (tmp_path / "models").iterdir()) == ["champion-previous.gguf", "champion.gguf"]
    assert sha256_of(tmp_path / "models" / "champion-previous.gguf") == sha256_of(first)
    assert asked[0] == ("POST", "/models/unload", b'{"model":"champion"}')
    kept = preset.read_text()
    assert "[other]\nmodel = /x.gguf" in kept and "ctx-size = 8192" in kept
    assert f"model = {tmp_path}/models/champion.gguf" in kept


@on_sqlite
def test_lm_studio_finds_publisher_model_and_file(store: Store, settings: Settings, tmp_path: Path) -> None:
    configure(settings, f"studio: {{kind: lm_studio, folder: {tmp_path}}}")
    first = champion(store, settings, "first")
    deploy_due(settings, store, "test")
    assert [one.name for one in (tmp_path / "perennial").iterdir()] == ["champion"]
    champion(store, settings, "second", "first")
    deploy_due(settings, store, "test")
    kept = tmp_path / "perennial" / "champion-previous" / "champion-previous.gguf"
    assert sha256_of(kept) == sha256_of(first)
    (tmp_path / "perennial" / "champion" / "champion.gguf").unlink()
    assert "is gone" in check_targets(settings, store)["studio"]


@on_sqlite
def test_a_webhook_is_signed_and_sent_again_until_it_is_taken(store: Store, settings: Settings, tmp_path: Path) -> None:
    secret, pauses, calls = b"a secret of thirty-two bytes ...", [], []
    (tmp_path / "secret").write_text("whsec_" + base64.b64encode(secret).decode())

    def answer(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        calls.append((headers, body))
        return (503 if len(calls) < 3 else 204), {}

    source = champion(store, settings, "first")
    with listening(answer) as url:
        configure(settings, f"ops: {{kind: webhook, url: '{url}/hook', secret_file: {tmp_path}/secret}}")
        [target] = read_targets(settings)
        assert isinstance(target, WebhookTarget)
        from service.models.targets import deploy as deploying

        view = deploying._deploy(settings, store, replace(target, pause=pauses.append), "test", True)
    assert view is not None and view.state == "current" and pauses == [1.0, 4.0]
    for headers, body in calls:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        proof = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{proof}" and headers["webhook-id"] == "promotion-1-ops"
    told = json.loads(calls[0][1])
    assert told["type"] == "champion.changed" and told["data"]["sha256"] == sha256_of(source)
    assert str(settings.home) not in str(told)


@on_sqlite
def test_a_refusal_of_a_webhook_is_not_sent_again(store: Store, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 24)
    champion(store, settings, "first")
    calls: list[str] = []

    def answer(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        calls.append(path)
        return 404, {}

    with listening(answer) as url:
        configure(settings, f"ops: {{kind: webhook, url: '{url}/hook?token=hidden', secret_file: {tmp_path}/secret}}")
        [view] = deploy_due(settings, store, "test")
    assert len(calls) == 1 and view.problem == f"{url.rpartition(':')[0]}/hook answered 404"


@on_sqlite
def test_only_the_champion_is_brought_anywhere(store: Store, settings: Settings, place: Path) -> None:
    with pytest.raises(NotFound, match="no deploy targets"):
        deploy(settings, store, "test")
    configure(settings, f"eden: {{kind: copy, path: {place}}}")
    with pytest.raises(NotFound, match="no champion yet"):
        deploy(settings, store, "test")
    champion(store, settings, "first")
    add_model(store, settings, "other")
    with pytest.raises(Conflict, match="'other' is not the champion"):
        deploy(settings, store, "test", model_id="other")
    with pytest.raises(NotFound, match="no target is called 'edne'; there are eden"):
        deploy(settings, store, "test", "edne")
    assert place.read_bytes() == b"the model that the program came with"


@on_sqlite
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eden: {kind: copie, path: /x}", "is of the kind 'copie'; known are copy, ollama"),
        ("eden: {kind: copy}", "needs `path:`"),
        ("eden: {kind: copy, path: model.gguf}", "no whole path"),
        ("eden: {kind: copy, pth: /x}", "did you mean 'path'"),
        ("Eden Two: {kind: copy, path: /x}", "needs another name"),
        ("o: {kind: ollama, url: localhost, model: eden}", "no address"),
        ("o: {kind: ollama, url: 'http://x', model: 'Eden!'}", "no name of a model"),
        ("o: {kind: ollama, url: 'http://x', model: eden, parameters: {stop: x}}", "taken from the model"),
        ("[eden]", "must name targets"),
        ("eden: copy", "must be a mapping"),
        ("eden: {kind: copy", "not valid YAML"),
    ],
    ids=lambda value: value[:24],
)
def test_a_targets_file_that_cannot_be_used_is_refused_in_a_sentence(settings: Settings, text: str, said: str) -> None:
    configure(settings, text)
    with pytest.raises(InputError, match=said):
        read_targets(settings)


@on_sqlite
def test_a_base_with_an_adapter_goes_only_where_both_are_loaded(
    store: Store, settings: Settings, place: Path, tmp_path: Path
) -> None:
    path = add_model(store, settings, "first")
    adapter = path.with_name("adapter.gguf")
    adapter.write_bytes(b"GGUF: an adapter")
    with store.begin() as session:
        row = session.get(ServedForm, "first")
        assert row is not None
        row.adapter_path, row.adapter_sha256 = "models/first/adapter.gguf", sha256_of(adapter)
        session.add(row)
    crown(store, "first")
    (tmp_path / "llama").mkdir()
    with ollama() as stub:
        configure(
            settings,
            f"alone: {{kind: copy, path: {place}}}\n"
            f"both: {{kind: copy, path: {place.parent}/b.gguf, adapter_path: {place.parent}/a.gguf}}\n"
            f"studio: {{kind: lm_studio, folder: {tmp_path}}}\n"
            f"llama: {{kind: llama_server, folder: {tmp_path}/llama, preset: {tmp_path}/llama/models.ini}}\n"
            f"laptop: {{kind: ollama, url: '{stub.url}', model: eden}}",
        )
        deploy_due(settings, store, "test")
        assert stub.blobs[stub.models["eden:latest"]["adapters"]["adapter.gguf"]] == adapter.read_bytes()
    found = states(settings, store)
    assert {name: state for name, (state, _) in found.items()} == {
        "alone": "failed",
        "both": "current",
        "studio": "failed",
        "llama": "current",
        "laptop": "current",
    }
    assert (place.parent / "a.gguf").read_bytes() == adapter.read_bytes()
    assert f"lora = {tmp_path}/llama/champion.adapter" in (tmp_path / "llama" / "models.ini").read_text()
    assert place.read_bytes() == b"the model that the program came with"


@on_sqlite
def test_a_worker_brings_a_champion_to_its_targets_by_itself(store: Store, settings: Settings, place: Path) -> None:
    configure(settings, f"eden: {{kind: copy, path: {place}}}")
    source = champion(store, settings, "first")
    with Aftercare(settings, store) as lane:
        wait_for(lambda: states(settings, store) == {"eden": ("current", "first")})
        assert lane.watch() is False
    assert sha256_of(place) == sha256_of(source)


@on_sqlite
def test_targets_over_the_api(store: Store, settings: Settings, place: Path) -> None:
    champion(store, settings, "first")
    configure(settings, f"eden: {{kind: copy, path: {place}}}")
    with web(settings) as client:
        [waiting] = client.get("/v1/targets").json()["targets"]
        assert (waiting["name"], waiting["state"], waiting["model"]) == ("eden", "waiting", None)
        [brought] = client.post("/v1/models/champion/deploy", params={"target": "eden"}).json()["targets"]
        assert (brought["state"], brought["model"]) == ("current", "first")
        assert client.post("/v1/models/nobody/deploy").status_code == 409
        assert client.post("/v1/models/champion/deploy", params={"target": "no"}).status_code == 404
        place.write_bytes(b"somebody else's")
        [changed] = client.get("/v1/targets", params={"check": True}).json()["targets"]
        assert "changed there since" in changed["changed"]


@on_sqlite
def test_targets_on_the_command_line(
    store: Store, settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(store, settings, "first", kind="origin", verdict=None)
    configure(settings, f"eden: {{kind: copy, path: {place}}}")
    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))
    said = run("promote", "first")
    assert "first is the champion" in said and "eden" in said and "'first' answers there" in said
    assert "current" in run("models", "targets") and "'first' answers there" in run("models")
    assert run("models", "modelfile", "first").startswith("FROM ./model.gguf\nTEMPLATE")
    place.parent.joinpath("model.previous.gguf").unlink()
    assert "'first' answers there" in run("models", "deploy", "eden")
