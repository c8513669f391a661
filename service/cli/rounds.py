"""Commands about rounds: round run|list|show|cancel, plan, schedule add|list|remove."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.errors import InputError, NotFound
from pipelines.forecast.machine import other_machine
from pipelines.recipe_file import load_recipe
from service.cli.data import curate_waiting
from service.cli.home import Home, console, open_home, print_table, show_obstacles, whoami, whole
from service.cli.parts import start, stop
from service.models import promotion
from service.obstacles import SILENT_SECONDS, find_obstacles
from service.rounds import requests, schedule
from service.rounds.card import check_card
from service.rounds.follow import follow_round
from service.rounds.permission import check_base_is_here, check_suites
from service.store.health import backlog, is_worked_for

_round = typer.Typer(help="Ask for a round, and see what it does.", no_args_is_help=True)
_schedule = typer.Typer(help="Recipes that ask for rounds by themselves.", no_args_is_help=True)
_GOOD_STATES = ("passed", "skipped")


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_round, name="round")
    app.add_typer(_schedule, name="schedule")
    app.command()(plan)


@_round.command()
def run(
    recipe: Annotated[Path, typer.Option(help="the recipe's YAML file")],
    wait: Annotated[bool, typer.Option(help="follow the round until it ends")] = True,
    promote: Annotated[
        bool, typer.Option("--promote", help="make its model the champion if the gate passes it")
    ] = False,
) -> None:
    """Ask for a round and follow it; a worker carries it out, one of its own where none runs. What waits is curated first."""
    if promote and not wait:
        raise InputError(
            "--promote needs the end of the round: leave --no-wait out, or say `promote: automatic` in the recipe"
        )
    home = open_home()
    parsed = load_recipe(recipe)
    check_base_is_here(home.settings, parsed)
    check_suites(home.settings, parsed)
    with _own_worker(home) if wait else nullcontext(False) as is_carried_here:
        round_id = requests.request_round(home.store, recipe.read_text(encoding="utf-8"), by=whoami())
        if round_id is None:
            raise NotFound("the round was not recorded; ask again")
        console.print(f"round {round_id} is requested")
        if not wait:
            return
        state = follow_round(
            lambda: requests.show_round(home.store, home.settings, round_id), console, is_carried_here=is_carried_here
        )
    if promote and state == "passed":
        [model] = requests.show_round(home.store, home.settings, round_id).models[-1:]
        promotion.promote(home.store, home.settings, model, whoami())
        console.print(f"{model} is the champion", markup=False)
    raise typer.Exit(0 if state in _GOOD_STATES else 1)


@contextmanager
def _own_worker(home: Home) -> Iterator[bool]:
    """Until the block ends, a worker for this home, unless one is there; before it, what waits is curated.

    Gives whether the worker is this command's own.
    """
    with home.store.read() as session:
        is_alone, waiting = not is_worked_for(session, SILENT_SECONDS), backlog(session).waiting
    if is_alone:
        if waiting:
            curate_waiting(home)
        home.settings.logs.mkdir(parents=True, exist_ok=True)
        log = home.settings.logs / "worker.log"
        console.print(f"no worker runs: this command carries the round out itself; its log is {log}", soft_wrap=True)
        worker = start(["worker"], log=log)
        try:
            yield True
        finally:
            stop([worker])
    else:
        yield False


@_round.command("list")
def list_all() -> None:
    """All rounds, newest first."""
    table = Table(whole("round"), whole("recipe"), "state", "asked by", whole("asked at"), "finished at", "message")
    for row in requests.list_rounds(open_home().store):
        finished = f"{row.finished_at:%Y-%m-%d %H:%M}" if row.finished_at else ""
        asked = f"{row.requested_at:%Y-%m-%d %H:%M}"
        table.add_row(str(row.id), row.recipe_name, row.state, row.requested_by, asked, finished, row.message[:120])
    print_table(table)


@_round.command()
def show(round_id: Annotated[int, typer.Argument(help="the round's number")]) -> None:
    """One round: state, stages, verdict, reports."""
    home = open_home()
    view = requests.show_round(home.store, home.settings, round_id)
    console.print(f"round {view.round.id}  recipe {view.round.recipe_name}  [bold]{view.round.state}[/]")
    if view.round.message:
        console.print(view.round.message, markup=False)
    for attempt in view.attempts:
        console.print(f"attempt {attempt.attempt.number}: {attempt.attempt.state} {attempt.attempt.verdict or ''}")
        for stage in attempt.stages:
            console.print(f"  {stage.name:<10} {stage.seconds:8.1f} s   {stage.digest[:16]}")
        for reason in attempt.attempt.reasons:
            console.print(f"  - {reason}", markup=False)
        for report in attempt.reports:
            console.print(f"  report: {report}")
    for key, value in view.counts.items():
        console.print(f"  {key}: {value}", markup=False)
    for model in view.models:
        console.print(f"model: {model}")


@_round.command()
def cancel(round_id: Annotated[int, typer.Argument(help="the round's number")]) -> None:
    """Cancel a round that waits or runs."""
    row = requests.cancel_round(open_home().store, round_id, by=whoami())
    console.print(f"round {round_id}: {row.state if row.state == 'cancelled' else 'will stop within seconds'}")


@_round.command()
def verify(card: Annotated[Path, typer.Argument(help="the file of a decision card, from its page")]) -> None:
    """Check that this home signed a decision card and that nothing in it was changed since."""
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the card {card}: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from error
    facts = check_card(open_home().vault, text)
    console.print(
        f"this home signed it, and nothing was changed: round {facts['round']}, model {facts['model'] or 'none'}, "
        f"verdict {facts['verdict']}",
        markup=False,
        soft_wrap=True,
    )


@_schedule.command()
def add(recipe: Annotated[Path, typer.Argument(help="a recipe with a `schedule`")]) -> None:
    """Ask for a round of this recipe whenever its cron says so (UTC)."""
    home = open_home()
    parsed = load_recipe(recipe)
    check_base_is_here(home.settings, parsed)
    check_suites(home.settings, parsed)
    name = schedule.add_schedule(home.store, recipe.read_text(encoding="utf-8"), by=whoami())
    console.print(f"schedule {name} is kept")


@_schedule.command("list")
def list_schedules() -> None:
    """The recipes that are scheduled: when they ask for a round next (UTC), and the slots that passed without one."""
    table = Table(whole("schedule"), whole("cron"), "next", "last", "missed")
    for row in schedule.show_schedules(open_home().store):
        table.add_row(row.name, row.cron, _moment(row.next), _moment(row.last), _missed(row))
    print_table(table)


def _moment(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else ""


def _missed(row: schedule.ScheduleView) -> str:
    """The slots that passed without a round, and the one that is late."""
    said = [f"{row.missed}, the latest {_moment(row.last_missed)}"] if row.missed else []
    return "; ".join([*said, f"{_moment(row.late)} is due, and nobody asked for it yet"] if row.late else said)


@_schedule.command()
def remove(name: Annotated[str, typer.Argument(help="the recipe's name")]) -> None:
    """Stop asking for rounds of this recipe."""
    schedule.remove_schedule(open_home().store, name, by=whoami())
    console.print(f"schedule {name} is removed")


def plan(
    recipe: Annotated[Path, typer.Argument(help="the recipe's YAML file")],
    quick: Annotated[bool, typer.Option("--quick", help="time nothing: go by what is known already")] = False,
    device: Annotated[str, typer.Option(help="plan for another machine: cuda, mlx, mps or cpu")] = "",
    memory: Annotated[str, typer.Option(help="that machine's memory, the GPU's for cuda: 36GB")] = "",
) -> None:
    """Forecast a round: examples, steps, hours, memory, disk, and warnings in words, and what stops you. Starts nothing,
    but times a few training steps once; ends with status 1 where the round would be refused."""
    from service.rounds.forecast import plan_recipe

    home = open_home()
    parsed, other = load_recipe(recipe), other_machine(device, memory)
    forecast = plan_recipe(home.settings, home.store, home.vault, parsed, timed=not quick, elsewhere=other)
    for line in forecast.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if other is None:
        show_obstacles(find_obstacles(home.settings, home.store, parsed))
    if forecast.refused:
        raise typer.Exit(1)
