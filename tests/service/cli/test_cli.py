"""The command line: what people type, and the one sentence they get when it cannot be done."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.errors import InputError, PerennialError, Refused
from service.cli import app, main
from service.rounds.schedule import request_due
from service.settings import Settings, load_settings
from service.store import tables
from service.store.session import migrate, open_store
from tests.factories import conversation, ndjson
from tests.service.ingest.importers import samples

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def perennial(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs a command in a home of its own."""
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    monkeypatch.setenv("PERENNIAL_ALLOW_DEGRADED_NAMES", "1")
    monkeypatch.chdir(PROJECT)

    def run(*words: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, list(words), input=typed, catch_exceptions=True)

    return run


def test_a_file_is_imported_curated_explained_and_its_person_forgotten(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    row = {
        "id": "c-1",
        "user": "ana",
        "consent": True,
        "satisfaction": 5,
        "messages": [
            {"role": "user", "content": "Write to kim@naver.com, please."},
            {"role": "assistant", "content": "I did."},
        ],
    }
    (tmp_path / "rows.ndjson").write_text(json.dumps(row) + "\n")
    assert "1 created" in perennial("import", str(tmp_path / "rows.ndjson")).output
    assert "1 unchanged" in perennial("import", str(tmp_path / "rows.ndjson")).output
    assert "1 clean" in perennial("curate").output
    told = perennial("curate", "--explain", "c-1").output
    assert "EMAIL_ADDRESS" in told and "kim@" not in told
    assert "1 conversations can no longer be read" in perennial("forget", "--yes", typed="ana\n").output


def test_a_bad_line_is_named_and_the_good_ones_are_kept(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rows.ndjson").write_text('{"id": 5}\n' + json.dumps({"messages": conversation()["messages"]}) + "\n")
    done = perennial("import", str(tmp_path / "rows.ndjson"), "--consent", "--user", "each")
    assert done.exit_code == 1
    assert "rows.ndjson, line 1: " in done.output and "1 created" in done.output and "1 no_messages: " in done.output


def test_a_dry_run_stores_nothing_and_shows_counts_samples_and_examples(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    talks = [
        ("Write to kim@naver.com, please.", "I did, gladly, and told them all."),
        ("Where is the river Sol?", "It is in the north."),
    ]
    rows = [
        {"id": f"c-{number}", "user": f"u-{number}", "satisfaction": 5, "messages": conversation(*talk)["messages"]}
        for number, talk in enumerate(talks)
    ]
    (tmp_path / "rows.ndjson").write_bytes(ndjson(*rows, {"id": 5, "messages": []}))
    told = perennial("import", str(tmp_path / "rows.ndjson"), "--dry-run").output
    assert "Nothing is stored" in told and "1 no_user: " in told and "2 no_consent: " in told
    assert "sample 2, anonymized" in told and "It is in the north." in told and "kim@" not in told
    assert "A round of tiny would get, of 2 conversations tried: " in told and "only with --consent" in told
    assert "nothing waits" in perennial("curate").output
    assert "2 created" in perennial("import", str(tmp_path / "rows.ndjson")).output


def test_a_first_map_is_written_and_imported(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "log.csv").write_text("id,session_id,prompt,response,rating\n1,s,Hi,Hello!,1\n2,s,More?,Yes.,0\n")
    assert "log.map.yaml" in perennial("import", str(tmp_path / "log.csv"), "--map", "init").output
    words = ("import", str(tmp_path / "log.csv"), "--map", str(tmp_path / "log.map.yaml"))
    assert "2 no_user" not in perennial(*words, "--user", "each").output
    assert "1 unchanged" in perennial(*words, "--user", "each").output
    assert "say two things" in str(perennial(*words, "--format", "openai").exception)


def test_an_import_says_which_rows_cannot_train_and_a_plan_does_so_in_the_same_words(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    messages = [
        {"role": "user", "content": "Where is the river Sol?"},
        {"role": "assistant", "content": "It is in the north."},
    ]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    words = "1 no_consent: no consent to training was given"
    each = ("import", str(tmp_path / "rows.jsonl"), "--user", "each")
    told = perennial(*each).output
    assert "1 conversations cannot train as the file gives them" in told and words in told
    perennial("curate")
    assert words in perennial("plan", "data/recipes/tiny.yaml", "--quick").output
    told = perennial(*each, "--consent").output
    assert "1 unrated: nobody rated it, or no rating of it counts" in told
    told = perennial(*each, "--consent", "--rating", "up").output
    assert "cannot train" not in told and "consent and ratings count as given now" in told
    assert "cannot train" not in perennial("plan", "data/recipes/tiny.yaml", "--quick").output


def test_an_import_says_that_votes_beside_their_chats_are_not_in_its_count_of_unrated_ones(  # type: ignore[no-untyped-def]
    perennial, tmp_path: Path
) -> None:
    path = samples.write(tmp_path, "export.zip", samples.chatgpt_zip())
    told = " ".join(perennial("import", str(path), "--consent", "--user", "each").output.split())
    assert "votes: 1 created" in told and "1 unrated" in told
    assert "votes and corrections that came beside them are not counted there" in told


def test_a_key_is_made_shown_once_and_revoked(perennial) -> None:  # type: ignore[no-untyped-def]
    key = perennial("keys", "create", "shop", "--scopes", "ingest,read").output.split()[0]
    assert key.startswith("pk_") and key not in perennial("keys", "list").output
    assert "revoked" in perennial("keys", "revoke", "shop").output


def test_a_plan_forecasts_and_warns_without_starting_anything(perennial) -> None:  # type: ignore[no-untyped-def]
    told = " ".join(perennial("plan", "data/recipes/eden-qwen2.5-32b.yaml", "--quick").output.split())
    assert "learning rate 2e-05 is below what holds for 32.8B parameters" in told
    assert "What stops you:" in told and "`perennial worker`" in told
    assert "round" in perennial("round", "list").output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("promote", "nobody"), "no model is called 'nobody'"),
        (("round", "show", "7"), "no round has the number 7"),
        (("plan", "nowhere.yaml"), "cannot read the recipe nowhere.yaml"),
        (("forget", "--yes"), "no user id came on standard input"),
        (("forget", "ana", "--yes"), "a user's id does not belong on the command line"),
        (("why", "m", "--user", "ana"), "a user's id does not belong on the command line"),
        (("import", "data/samples/month-1.ndjson", "--user", "ana"), "a user's id does not belong on the command line"),
        (("import", "data/samples/month-1.ndjson", "--key", "pk_x"), "put it into the environment as API_KEY"),
        (("rollback",), "there is no earlier champion"),
        (("proxy",), "say where the model is: perennial proxy --upstream http://127.0.0.1:11434/v1"),
        (("proxy", "--upstream", "localhost"), "the upstream 'localhost' is no http:// or https:// address"),
        (("proxy", "--upstream", "http://localhost:8601/v1"), "is the address that this listens on"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(perennial, words: tuple[str, ...], sentence: str) -> None:  # type: ignore[no-untyped-def]
    error = perennial(*words).exception
    assert isinstance(error, PerennialError) and sentence in str(error)
    assert "ana" not in str(error).split() and "pk_x" not in str(error)


@pytest.mark.parametrize("command", ["up", "serve"])
def test_an_upstream_that_cannot_be_is_told_before_anything_starts(
    perennial,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("PERENNIAL_UPSTREAM", "localhost:11434")
    error = perennial(command).exception
    assert isinstance(error, PerennialError) and "the upstream 'localhost:11434' is no http://" in str(error)


def test_an_import_takes_the_user_of_lines_without_one_from_standard_input(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": conversation()["messages"]}) + "\n")
    assert "1 created" in perennial("import", str(tmp_path / "rows.jsonl"), "--user", "-", typed="ana\n").output
    assert "nothing is stored for this user" in str(perennial("forget", "--yes", typed="stranger\n").exception)
    assert "forgotten: 1 conversations" in perennial("forget", "-", "--yes", typed="ana\n").output


def test_an_error_reaches_the_terminal_as_one_line_and_status_1(sqlite_settings: Settings) -> None:
    environment = {"PERENNIAL_HOME": str(sqlite_settings.home), "PERENNIAL_PROT": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "models"], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown setting PERENNIAL_PROT") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("nonsense", 2, "no such command 'nonsense'; see perennial --help"),
        ("import", 2, "missing argument 'path'; see perennial import --help"),
        ("import nowhere.ndjson", 1, "there is no file nowhere.ndjson"),
        ("import docs/decisions", 1, "adapter-scale.md holds no JSON, CSV, Parquet or SQLite (nor "),
        ("import README.md --format open-webu", 1, "no format is called 'open-webu'; did you mean open-webui?"),
        ("import data/samples/month-1.ndjson --rating 9", 1, "the rating '9' is none of 1, 2, 3, 4, 5, up, down"),
        ("import data/samples/month-1.ndjson --url here", 1, "'here' is no web address; write e.g. http://127.0.0.1:8600"),
        ("curate --explain nobody", 1, "the app 'default' has no conversation with the id 'nobody'"),
        ("plan data", 1, "cannot read the recipe data: Is a directory"),
        ("round show x", 2, "invalid value for 'round_id': Input should be a valid integer"),
        ("round cancel 9", 1, "no round has the number 9"),
        ("round verify nowhere.json", 1, "cannot read the card nowhere.json"),
        ("round verify README.md", 1, "this file is no decision card"),
        ("round run --recipe nowhere.yaml", 1, "cannot read the recipe nowhere.yaml"),
        ("schedule add nowhere.yaml", 1, "cannot read the recipe nowhere.yaml"),
        ("schedule remove nobody", 1, "no schedule is called 'nobody'"),
        ("why nobody", 1, "no model is called 'nobody'"),
        ("gc --keep 0", 1, "gc must keep at least 1 model, not 0"),
        ("keys create shop --scopes everything", 1, "unknown scope 'everything'"),
        ("keys revoke nobody", 1, "no active key has the id or label 'nobody'"),
        ("serve --port 99999999", 2, "invalid value for '--port'"),
        ("demo --months 9", 2, "invalid value for '--months'"),
        ("up --names nonsense", 1, "ner_model 'nonsense' is neither"),
        ("worker --twice", 2, "no such option: --twice"),
    ],
)  # fmt: skip
def test_whatever_is_typed_wrong_ends_in_one_sentence(
    perennial,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    status: int,
    sentence: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["perennial", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == status and told.count("\n") == 1
    assert told.startswith(f"error: {sentence}")


def test_a_home_that_is_a_file_and_a_database_that_is_none_are_said_in_a_sentence(
    perennial,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("no database, and no folder: " * 100)
    monkeypatch.setattr(sys, "argv", ["perennial", "models"])
    for name, value, sentence in (
        ("PERENNIAL_DATABASE_URL", f"sqlite:///{tmp_path}/file", f"error: {tmp_path}/file is no SQLite database"),
        ("PERENNIAL_HOME", f"{tmp_path}/file", f"error: the home {tmp_path}/file is not a folder"),
    ):
        monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            main()
        told = capsys.readouterr().err
        assert told.startswith(sentence) and told.count("\n") == 1


def test_the_list_of_schedules_says_what_comes_next_and_what_was_missed(
    perennial,  # type: ignore[no-untyped-def]
    sqlite_settings: Settings,
    tmp_path: Path,
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text((PROJECT / "data/recipes/tiny.yaml").read_text() + '\nschedule: {cron: "0 3 1 * *"}\n')
    name = perennial("schedule", "add", str(recipe)).output.split()[1]
    store = open_store(sqlite_settings)
    with store.begin() as session:
        session.get_one(tables.Schedule, name).known_since = datetime(2026, 1, 15, tzinfo=UTC)
    request_due(store, lambda _: datetime(2026, 4, 10, tzinfo=UTC))
    store.close()
    told = " ".join(perennial("schedule", "list").output.split())
    assert f"{name} 0 3 1 * *" in told and "2026-04-01 03:00 2, the latest 2026-03-01 03:00" in told


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PERENNIAL_PORT", "99999999", "it must be a whole number from 1 to 65535"),
        ("PERENNIAL_PORT", "0", "it must be a whole number from 1 to 65535"),
        ("PERENNIAL_PORT", "abc", "it must be a whole number"),
        ("PERENNIAL_RETENTION_DAYS", "9" * 12, "it must be a whole number from 1 to 36500"),
        ("PERENNIAL_ERASURE_KEEP_DAYS", "-1", "it must be a whole number from 1 to 36500"),
        ("PERENNIAL_CURATION_TIMEOUT_SECONDS", "nan", "it must be a number from 0.1 to 3600"),
        ("PERENNIAL_CURATION_TIMEOUT_SECONDS", "inf", "it must be a number from 0.1 to 3600"),
        ("PERENNIAL_LEASE_SECONDS", "1e3", "it must be a whole number"),
        ("PERENNIAL_MAX_QUEUE", "9" * 5000, "it must be a whole number"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str, why: str) -> None:
    with pytest.raises(InputError, match=f"^{name}=.* cannot be used: {why}"):
        load_settings({name: value})


def test_how_llama_cpp_runs_may_stand_in_the_settings_file_for_the_processes_that_load_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_LLAMA", "cuda")  # of set-up, and no setting of the service
    monkeypatch.setenv("PERENNIAL_KV_TYPE", "f32")
    monkeypatch.setenv("PERENNIAL_GPU_LAYERS", "auto")
    monkeypatch.delenv("PERENNIAL_GPU_LAYERS")
    (tmp_path / "settings.env").write_text("PERENNIAL_KV_TYPE=q8_0\nPERENNIAL_GPU_LAYERS=12\n")
    load_settings()
    assert (os.environ["PERENNIAL_KV_TYPE"], os.environ["PERENNIAL_GPU_LAYERS"]) == ("f32", "12")
    with pytest.raises(InputError, match="PERENNIAL_KV_TYPE='q3' cannot be used"):
        load_settings({"PERENNIAL_KV_TYPE": "q3"})


def test_a_settings_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.env").write_bytes(b"PERENNIAL_PORT=1\xff\n")
    with pytest.raises(InputError, match="settings.env is not UTF-8 text"):
        load_settings({"PERENNIAL_HOME": str(tmp_path)})


def test_the_version_is_that_of_the_package(perennial) -> None:  # type: ignore[no-untyped-def]
    assert perennial("--version").output == f"perennial {version('perennial-service')}\n"


LONG = "a-recipe-with-a-long-name-as-people-give-them-r0001-a1"


@pytest.fixture
def two_models(sqlite_settings: Settings) -> None:
    """A home with a model and a round whose names are longer than a narrow terminal; the model is tainted."""
    migrate(sqlite_settings)
    store = open_store(sqlite_settings)
    with store.begin() as session:
        session.add(
            tables.Round(
                id=1, recipe_name=LONG, recipe="", recipe_digest="", requested_by="t", state="passed", message="m" * 90
            )
        )
        session.flush()
        session.add(
            tables.Model(
                id=LONG, kind="candidate", recipe_name=LONG, parents=[], verdict="pass", tainted_at=tables.now()
            )
        )
        session.add(tables.Model(id="origin", kind="origin", recipe_name=LONG, parents=[]))
    store.close()


@pytest.mark.parametrize("words", ["models", "round list"])
def test_ids_are_never_cut_neither_in_a_pipe_nor_on_a_narrow_terminal(
    two_models: None, sqlite_settings: Settings, words: str
) -> None:
    piped = subprocess.run(
        [*CLI, *words.split()], cwd=PROJECT, env=narrow(sqlite_settings), capture_output=True, text=True
    )
    (row,) = [line for line in piped.stdout.splitlines() if LONG in line]
    assert {"pass", "passed"} & set(row.split())  # a row is one line
    assert LONG in at_a_terminal(sqlite_settings, words.split())


def test_models_say_what_tainted_means(two_models: None, perennial) -> None:  # type: ignore[no-untyped-def]
    assert "tainted: learned from a person who was forgotten since" in perennial("models").output


def test_forgetting_shows_what_goes_and_asks(sqlite_settings: Settings, tmp_path: Path, perennial) -> None:  # type: ignore[no-untyped-def]
    put_row(perennial, tmp_path)
    told = at_a_terminal(sqlite_settings, ["forget"], typed=b"ana\nn\n")
    assert "goes for good: 1 conversations, 1 votes and comparisons, 0 corrections" in told
    assert "Forget this person? [y/N]" in told and "Nothing was forgotten." in told
    told = at_a_terminal(sqlite_settings, ["forget"], typed=b"ana\ny\n")
    assert "forgotten: 1 conversations can no longer be read" in told


def test_forgetting_in_a_pipe_is_refused_without_yes(sqlite_settings: Settings, tmp_path: Path, perennial) -> None:  # type: ignore[no-untyped-def]
    put_row(perennial, tmp_path)
    refused = perennial("forget", typed="ana\n")
    assert isinstance(refused.exception, Refused) and "elsewhere add --yes" in str(refused.exception)
    assert "forgotten: 1 conversations" in perennial("forget", "--yes", typed="ana\n").output


CLI = [sys.executable, "-m", "service.cli"]


def put_row(perennial, folder: Path) -> None:  # type: ignore[no-untyped-def]
    row = conversation("Hi", "Hello!", user="ana", votes=[{"message": 1, "value": "up"}])
    (folder / "rows.ndjson").write_bytes(ndjson(row))
    perennial("import", str(folder / "rows.ndjson"))


def narrow(settings: Settings) -> dict[str, str]:
    own = {"PERENNIAL_HOME": str(settings.home), "PATH": "/usr/bin:/bin", "COLUMNS": "40", "TERM": "xterm"}
    return own | {"PYTHONPATH": str(PROJECT)}


def at_a_terminal(settings: Settings, words: list[str], typed: bytes = b"") -> str:
    """What a terminal of 40 columns shows of a command, and what is typed there."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [*CLI, *words], cwd=PROJECT, env=narrow(settings), stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as child:
        os.close(its)
        os.write(ours, typed)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so at the end, macOS gives nothing
                break
            if not part:
                break
            shown += part
        child.wait(60)
    os.close(ours)
    return shown.decode()
