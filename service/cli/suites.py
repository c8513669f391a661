"""`perennial suites add|record|join|list|show|remove`: what models are measured on."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.errors import NotFound, PerennialError, Refused
from pipelines.recipe import APART
from pipelines.suites.benchmarks.make import BENCHMARKS
from pipelines.suites.folder import place_of
from pipelines.suites.join import join_suites
from pipelines.suites.load import SPLITS, Suite, load_suite
from pipelines.suites.tools import check_tools
from pipelines.suites.write import check_name, write_suite
from service.cli.home import console, print_table, whole
from service.cli.user_ids import refuse_typed_key
from service.golden import Host, golden_suite, read_prompts, record_answers, summary
from service.progress import open_progress
from service.settings import Settings, load_settings, make_home
from service.suites import add_suite

_suites = typer.Typer(help="What models are measured on: benchmarks, and checks of your own.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_suites, name="suites")


@_suites.command()
def add(
    what: Annotated[
        str, typer.Argument(help=f"a benchmark ({', '.join(BENCHMARKS)}), or a FILE.jsonl of your own checks")
    ],
    data: Annotated[Path | None, typer.Option(help="the folder or file with the benchmark's published data")] = None,
    hub: Annotated[bool, typer.Option("--hub", help="fetch the benchmark's data from the Hugging Face hub")] = False,
    revision: Annotated[str | None, typer.Option(help="with --hub: a branch, tag or commit, if not main")] = None,
    name: Annotated[str | None, typer.Option(help="what to call it, if not by its own name")] = None,
    shots: Annotated[int | None, typer.Option(help="examples before a question, if not as is usual", min=0)] = None,
    scorer: Annotated[str | None, typer.Option(help="of your own checks, where their keys do not say it")] = None,
) -> None:
    """Add a suite: a published benchmark from a folder or from the hub, or a file of your own checks."""
    suite = add_suite(_home(), what, data=data, hub=hub, revision=revision, name=name, shots=shots, scorer=scorer)
    console.print(
        f"{suite.name} v{suite.version}: {_sizes(suite)}, scored by {suite.scorer}", markup=False, soft_wrap=True
    )
    for line in _about(suite):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    try:
        check_tools(suite)
    except PerennialError as error:
        console.print(f"  it cannot be scored yet: {error}", markup=False, soft_wrap=True)


@_suites.command("list")
def list_all() -> None:
    """All suites: those that ship and those that were added."""
    settings = _home()
    table = Table(whole("suite"), whole("version"), "dev", "gate", "metric", "scorer", "licence")
    for folder in _folders(settings):
        try:
            suite = load_suite(folder)
        except PerennialError as error:
            table.add_row(folder.name, "", "", "", "", "", str(error))
            continue
        counts = [f"{len(suite.items[split]):,}" for split in SPLITS]
        licence = str(suite.metadata.get("licence", ""))
        table.add_row(suite.name, suite.version, *counts, suite.metric, suite.scorer or "lm-eval", licence)
    print_table(table)


@_suites.command()
def show(name: Annotated[str, typer.Argument(help="the suite's name")]) -> None:
    """One suite: where it comes from, its subjects, and an item of it."""
    suite = load_suite(_find(_home(), name))
    scored = suite.scorer or "lm-evaluation-harness"
    console.print(
        f"{suite.name} v{suite.version}: {_sizes(suite)}, {suite.metric} by {scored}", markup=False, soft_wrap=True
    )
    for line in _about(suite):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    subjects: dict[str, int] = {}
    for item in suite.items["gate"]:
        subjects[item.stratum] = subjects.get(item.stratum, 0) + 1
    for subject, count in sorted(subjects.items(), key=lambda pair: (-pair[1], pair[0])) if len(subjects) > 1 else ():
        console.print(f"  {count:>6,} {subject}", markup=False, soft_wrap=True)
    first = (*suite.items["dev"], *suite.items["gate"])[0]
    console.print(f"  the first item:\n{first.question}\n  answer: {first.answer}", markup=False, soft_wrap=True)


@_suites.command()
def remove(name: Annotated[str, typer.Argument(help="the suite's name")]) -> None:
    """Remove a suite that was added. Scores that were measured on it stay where rounds keep them."""
    settings = _home()
    folder = _find(settings, name)
    if folder.parent != settings.suites:
        raise Refused(f"the suite '{name}' ships with the project and stays; only suites that were added are removed")
    shutil.rmtree(folder)
    console.print(f"{name} is removed")


@_suites.command()
def record(
    name: Annotated[str, typer.Argument(help="what to call the suite")],
    ask: Annotated[str, typer.Option(help="the base of the host's API, as https://api.example.com/v1")],
    prompts: Annotated[Path, typer.Option(help="JSONL of prompt, or of messages as in training files")],
    model: Annotated[str, typer.Option(help="the model's name there")],
    max_tokens: Annotated[int, typer.Option(help="how long an answer may be", min=1)] = 512,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="API_KEY", callback=refuse_typed_key, help="API key of the host, from the environment only"
        ),
    ] = None,
) -> None:
    """Keep a hosted model's answers as a golden suite; run it again after an interruption and it goes on."""
    settings, host = _home(), Host(ask, model, key, max_tokens)
    check_name(name, settings.suite_folders)
    chats = read_prompts(prompts)
    settings.suites.mkdir(parents=True, exist_ok=True)
    kept = settings.suites / f".{name}.answers.jsonl"
    with open_progress(console) as progress:
        answers = record_answers(host, chats, kept, lambda done, total: progress.update("asked", done, total))
    suite = write_suite(settings.suites, golden_suite(name, host, chats, answers, f"{datetime.now(UTC):%Y-%m-%d}"))
    kept.unlink()
    console.print(f"{suite.name} v{suite.version}: {_sizes(suite)}; {summary(answers)}", markup=False, soft_wrap=True)


@_suites.command()
def join(
    name: Annotated[str, typer.Argument(help="what to call the suite")],
    suites: Annotated[list[str], typer.Argument(help="the suites whose items it has")],
) -> None:
    """Make one suite of several that are scored alike, where one alone has too few items for a gate."""
    settings = _home()
    check_name(name, settings.suite_folders)
    parts = [load_suite(_find(settings, part)) for part in suites]
    suite = write_suite(settings.suites, join_suites(name, parts))
    console.print(f"{suite.name} v{suite.version}: {_sizes(suite)}", markup=False, soft_wrap=True)


def _home() -> Settings:
    settings = load_settings()
    make_home(settings.home)
    return settings


def _folders(settings: Settings) -> list[Path]:
    """The folders of all suites; those of prompts alone are none."""
    return [
        folder
        for place in settings.suite_folders
        for folder in sorted(place.glob("*"))
        if (folder / f"{folder.name}.yaml").is_file()
    ]


def _find(settings: Settings, name: str) -> Path:
    if name in APART:
        raise NotFound(
            f"the suite '{name}' is no folder: each round reads it from the corpus, and `perennial plan` says how many items it has"
        )
    folder = place_of(settings.suite_folders, name)
    if folder not in _folders(settings):
        known = ", ".join(one.name for one in _folders(settings)) or "none"
        raise NotFound(f"no suite is called {name[:80]!r}; there are {known}")
    return folder


def _sizes(suite: Suite) -> str:
    return f"{len(suite.items['dev']):,} dev and {len(suite.items['gate']):,} gate items"


def _about(suite: Suite) -> list[str]:
    """Source, licence and what else the suite says of itself."""
    return [f"{key}: {value}" for key, value in suite.metadata.items() if key not in ("version", "scorer") and value]
