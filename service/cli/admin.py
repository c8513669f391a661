"""Commands for whoever runs the service: keys, db."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service import api_keys
from service.backup import back_up
from service.cli.home import console, open_home, print_table, whoami, whole

_keys = typer.Typer(help="API keys.", no_args_is_help=True)
_db = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_keys, name="keys")
    app.add_typer(_db, name="db")


@_keys.command()
def create(
    label: Annotated[str, typer.Argument(help="who uses the key")],
    scopes: Annotated[str, typer.Option(help=f"separated by commas: {', '.join(api_keys.SCOPES)}")],
    app: Annotated[str | None, typer.Option(help="the app that the key speaks for; without it, every app")] = None,
) -> None:
    """Make a key and print it, once."""
    key = api_keys.create_key(open_home().store, label, app, [scopes], actor=whoami())
    console.print(key, markup=False)
    console.print("Keep it now: it cannot be shown again. Send it as the header X-API-Key or as a bearer token.")


@_keys.command("list")
def list_keys() -> None:
    """All keys, without the keys themselves."""
    table = Table(whole("id"), whole("label"), "app", "scopes", "made at", "revoked at")
    for info in api_keys.list_keys(open_home().store):
        revoked = f"{info.revoked_at:%Y-%m-%d %H:%M}" if info.revoked_at else ""
        table.add_row(
            info.id,
            info.label,
            info.app or "every",
            " ".join(info.scopes),
            f"{info.created_at:%Y-%m-%d %H:%M}",
            revoked,
        )
    print_table(table)


@_keys.command()
def revoke(name: Annotated[str, typer.Argument(help="a key's id or label")]) -> None:
    """Make a key useless."""
    console.print(f"{api_keys.revoke_key(open_home().store, name, actor=whoami())} revoked")


@_db.command()
def upgrade() -> None:
    """Bring the database to the newest schema; every other command does it too."""
    home = open_home()
    console.print(f"{home.store.engine.url.render_as_string(hide_password=True)} is up to date")


@_db.command()
def backup(folder: Annotated[Path, typer.Argument(help="a new folder for the copy")]) -> None:
    """Copy what the home needs to be brought back: database, models, rounds, settings; not the master key."""
    home = open_home()
    done = back_up(home.settings, home.store, folder)
    what = "database" if done.has_database else "no database (PostgreSQL: pg_dump)"
    console.print(f"{folder}: {what} and {done.files} files, {done.size_bytes / 1e6:.1f} MB", soft_wrap=True)
    if not home.settings.master_key:
        console.print(f"The key is not in it; keep {home.settings.keys} in another place.", soft_wrap=True)
    if done.missing:
        console.print(f"Not in it, and some model needs it: {', '.join(done.missing)}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
