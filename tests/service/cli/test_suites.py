"""`perennial suites`: added, shown, listed, removed, and what is refused in a sentence."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.errors import DataError, InputError, NotFound, RecipeError, Refused, SuiteError
from service.cli import app
from tests.pipelines.hub import Hub, serving
from tests.pipelines.suites.test_benchmarks import parquet

PROJECT = Path(__file__).resolve().parents[3]
Perennial = Callable[..., Result]


@pytest.fixture
def perennial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Perennial:
    """Runs a command in a home of its own; no command here needs a database."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.fixture
def checks(tmp_path: Path) -> Path:
    path = tmp_path / "shop.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"Port {n}?", "answer": str(n)}) for n in range(20)))
    return path


def test_checks_are_added_listed_shown_and_removed(perennial: Perennial, checks: Path) -> None:
    assert "2 dev and 18 gate items, scored by exact" in perennial("suites", "add", str(checks)).output
    listed = perennial("suites", "list").output
    assert "tiny_math" in listed and "shop" in listed and "its owner's" in listed
    assert "Port" in perennial("suites", "show", "shop").output
    assert "shop is removed" in perennial("suites", "remove", "shop").output
    assert isinstance(perennial("suites", "show", "shop").exception, NotFound)


def test_a_benchmark_comes_from_the_folder_that_is_named(perennial: Perennial, tmp_path: Path) -> None:
    rows = [{"question": f"{n} + 1?", "answer": f"...\n#### {n + 1}"} for n in range(30)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = perennial("suites", "add", "gsm8k", "--data", str(tmp_path / "test.jsonl"), "--name", "sums").output
    assert "sums v1." in said and "3 dev and 27 gate items, scored by exact" in said and "licence: MIT" in said


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a few rows of GSM8K in its layout, which this machine takes for the real one while it is offline."""
    with serving() as hub:
        rows = [{"question": f"{n} + 1?", "answer": f"...\n#### {n + 1}"} for n in range(30)]
        for part, shown in (("train", rows[:8]), ("test", rows[8:])):
            for config in ("main", "socratic"):  # the same questions, answered otherwise
                parquet(tmp_path / "data" / config / f"{part}-00000-of-00001.parquet", shown)
        hub.push("openai/gsm8k", tmp_path / "data")
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.delenv("HF_HUB_CACHE", raising=False)
        yield hub


def test_a_benchmark_comes_from_the_hub_at_a_commit_that_the_suite_keeps(perennial: Perennial, hub: Hub) -> None:
    (commit,) = hub.commits["openai/gsm8k"]
    said = perennial("suites", "add", "gsm8k", "--hub").output
    assert "3 dev and 22 gate items" in said and f"revision: {commit}" in said
    assert not [path for path in hub.asked if "socratic" in path and "resolve" in path], (
        "what is not its items stays there"
    )
    gone = perennial("suites", "add", "gsm8k", "--hub", "--revision", "v9", "--name", "other").exception
    assert isinstance(gone, DataError) and "'openai/gsm8k' has no revision 'v9'" in str(gone)
    unknown = perennial("suites", "add", "math", "--hub").exception
    assert isinstance(unknown, DataError) and "name the folder with --data" in str(unknown)
    assert "other" not in (listed := perennial("suites", "list").output) and " math " not in listed


@pytest.mark.parametrize(
    ("words", "kind", "sentence"),
    [
        (
            ("add", "mmlu"),
            InputError,
            "--data FOLDER, or let it be fetched: --hub; its authors publish it at https://huggingface.co/datasets/cais/mmlu",
        ),
        (("add", "mmlu", "--hub", "--data", "d"), InputError, "--data FOLDER, or let it be fetched: --hub"),
        (("add", "mmlu", "--data", "d", "--revision", "v1"), InputError, "--revision is for --hub"),
        (("add", "shop.jsonl", "--hub"), InputError, "are for benchmarks"),
        (("add", "glue"), InputError, "'glue' is neither a benchmark"),
        (("add", "mmlu", "--scorer", "exact"), InputError, "--scorer is for checks of your own"),
        (("add", "shop.jsonl", "--name", "tiny_math"), Refused, "there is a suite 'tiny_math' already"),
        (("remove", "tiny_math"), Refused, "ships with the project and stays"),
        (("show", "corrections"), NotFound, "each round reads it from the corpus"),
        (("show", "nothing"), NotFound, "no suite is called 'nothing'; there are tiny_humaneval"),
    ],
    ids=[
        "no data",
        "folder and hub",
        "revision of a folder",
        "hub of a file",
        "no benchmark",
        "scorer of a benchmark",
        "a name that is taken",
        "shipped",
        "of the corpus",
        "unknown",
    ],
)
def test_what_cannot_be_done_ends_in_a_sentence(
    perennial: Perennial, words: tuple[str, ...], kind: type[Exception], sentence: str
) -> None:
    error = perennial("suites", *words).exception
    assert isinstance(error, kind) and sentence in str(error)


def test_a_round_whose_suite_is_missing_or_too_small_is_refused_before_it_is_asked_for(
    perennial: Perennial, checks: Path, tmp_path: Path
) -> None:
    shipped = (PROJECT / "data" / "recipes" / "tiny.yaml").read_text()
    recipe = tmp_path / "shop.yaml"
    recipe.write_text(shipped.replace("tiny_math", "shop"))
    error = perennial("round", "run", "--recipe", str(recipe)).exception
    assert isinstance(error, SuiteError) and "suite 'shop' is missing" in str(error)
    assert "add it with `perennial suites add`" in str(error)
    perennial("suites", "add", str(checks))
    error = perennial("round", "run", "--recipe", str(recipe)).exception
    assert isinstance(
        error, RecipeError
    ) and "shop: never: a margin of 3.0 needs at least 200 items, and there are 18" in str(error)
    assert perennial("round", "list").output.count("\n") == 1
