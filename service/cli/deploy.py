"""Commands about where the champion answers outside: models targets, models deploy, models modelfile."""

from typing import Annotated

import typer
from rich.table import Table

from pipelines.errors import InputError, NotFound
from service.cli.home import Home, console, open_home, print_table, whoami, whole
from service.models.targets.deploy import check_targets, deploy, deploy_due, list_targets, shipment_of
from service.models.targets.ollama import modelfile_of
from service.store.models import get_model


def register_targets(models: typer.Typer) -> None:
    """Adds the commands of this file to `perennial models`."""
    models.command()(targets)
    models.command("deploy")(deploy_to)
    models.command()(modelfile)


def targets() -> None:
    """The deploy targets and which model answers at each, asked there; docs/deploying.md says how they are named."""
    home = open_home()
    changed = check_targets(home.settings, home.store)
    with home.store.read() as session:
        views = list_targets(home.settings, session)
    if not views:
        console.print(f"There are no deploy targets; name them in {home.settings.targets_path}", soft_wrap=True)
        return
    table = Table(whole("target"), "kind", "where", "state", "answers there", "since")
    for one in views:
        since = f"{one.since:%Y-%m-%d %H:%M}" if one.since else ""
        table.add_row(one.name, one.kind, one.where, one.state, one.model_id or "", since)
    print_table(table)
    for one in views:
        if one.problem:
            console.print(one.line(), markup=False, soft_wrap=True)
    for name, why in changed.items():
        console.print(f"{name}: {why}", markup=False, soft_wrap=True)


def deploy_to(
    target: Annotated[str | None, typer.Argument(help="the target's name; without it, all of them")] = None,
) -> None:
    """Bring the champion to its deploy targets now; status 1 if one of them failed."""
    home = open_home()
    views = deploy(home.settings, home.store, whoami(), target)
    for one in views:
        console.print(one.line(), markup=False, soft_wrap=True)
    if any(one.state == "failed" for one in views):
        raise typer.Exit(1)


def modelfile(model_id: Annotated[str, typer.Argument(help="the model's id, from `perennial models`")]) -> None:
    """The Modelfile by which Ollama makes this model: `ollama create NAME -f Modelfile` beside model.gguf."""
    home = open_home()
    with home.store.read() as session:
        entry = get_model(session, model_id)
    if entry.form is None or entry.form.collected_at is not None:
        raise NotFound(f"the model {model_id} has no file")
    print(modelfile_of(shipment_of(home.settings, entry, None)).text(), end="")


def bring_to_targets(home: Home) -> None:
    """Bring a new champion to the targets and say how it went; the promotion stands whatever becomes of them."""
    try:
        views = deploy_due(home.settings, home.store, whoami(), patient=False)
    except InputError as error:
        console.print(f"It was brought to no deploy target: {error}", markup=False, soft_wrap=True)
        return
    for one in views:
        console.print(one.line(), markup=False, soft_wrap=True)


def say_targets(home: Home) -> None:
    """One line for every target, below the list of models."""
    try:
        with home.store.read() as session:
            views = list_targets(home.settings, session)
    except InputError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return
    for one in views:
        console.print(one.line(), markup=False, soft_wrap=True)
