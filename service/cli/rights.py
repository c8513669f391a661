"""Commands about what people may ask, and what was done: person, audit."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from pipelines.errors import Conflict
from service import dossier
from service.cli.home import console, open_home, print_table, whoami, whole
from service.cli.user_ids import FROM_INPUT, read_user
from service.ingest import DEFAULT_APP
from service.store import audit as entries

_STANDARD_OUTPUT = Path("-")


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(person)
    app.command()(audit)


def person(
    user: Annotated[
        str, typer.Argument(metavar="[-]", help="its id is asked for, or read from standard input")
    ] = FROM_INPUT,
    app: Annotated[str, typer.Option(help="the app that the person uses")] = DEFAULT_APP,
    out: Annotated[Path, typer.Option(help="a new file; - is standard output")] = _STANDARD_OUTPUT,
) -> None:
    """Give everything that is stored about a person as JSON: whoever asks for their data gets this."""
    home = open_home()
    found = dossier.read_dossier(home.store, home.vault, app, read_user(user), actor=whoami())
    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    if out == _STANDARD_OUTPUT:
        print(text)
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(f"{out} exists already; name a new file") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    console.print(f"{out}: {len(found['conversations'])} conversations, {len(found['votes'])} votes", soft_wrap=True)


def audit(
    limit: Annotated[int, typer.Option(min=1, help="how many, the newest first")] = 50,
    action: Annotated[str | None, typer.Option(help="only this kind of act, e.g. person_forgotten")] = None,
) -> None:
    """Show who did what and when: keys, promotions, erasures, overrides, exports, imports."""
    table = Table(whole("at"), "who", "did", whole("to"), "detail")
    with open_home().store.read() as session:
        for row in entries.entries(session, limit=limit, action=action):
            words = entries.in_words(row.detail)
            table.add_row(f"{row.at:%Y-%m-%d %H:%M:%S}", row.actor, row.action, row.subject, words)
    print_table(table)
