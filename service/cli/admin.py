"""Commands for whoever runs the service: keys, db."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service import api_keys, erasure
from service.cli.backup import back_up_data, copy_keys, end_if_missing
from service.cli.home import agrees, console, only_up, open_database, open_home, print_table, whoami, whole
from service.rotation import rotate_master_key
from service.settings import load_settings, make_home
from service.store.binding import rebind_key_store
from service.vault import open_master_key

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
    table = Table(whole("id"), whole("label"), "app", "scopes", "made at", "ends at")
    for info in api_keys.list_keys(open_home().store):
        ended = info.revoked_at or info.expires_at
        table.add_row(
            info.id,
            info.label,
            info.app or "every",
            " ".join(info.scopes),
            f"{info.created_at:%Y-%m-%d %H:%M}",
            f"{ended:%Y-%m-%d %H:%M}" if ended else "",
        )
    print_table(table)


@_keys.command()
def revoke(name: Annotated[str, typer.Argument(help="a key's id or label")]) -> None:
    """Make a key useless."""
    console.print(f"{api_keys.revoke_key(open_home().store, name, actor=whoami())} revoked")


@_keys.command()
def rotate(
    name: Annotated[str, typer.Argument(help="a key's id or label")],
    overlap: Annotated[float, typer.Option(help="hours for which the old key goes on working")] = 24.0,
) -> None:
    """Make a new key in place of one, which goes on working for a while and then ends by itself."""
    key = api_keys.rotate_key(open_home().store, name, timedelta(hours=overlap), actor=whoami())
    console.print(key, markup=False)
    console.print(f"Keep it now: it cannot be shown again. The old one works for {overlap:g} hours more.")


@_keys.command("rotate-master")
def rotate_master() -> None:
    """Change the master key; stop the service first. A key in the environment: send the new one to standard input."""
    settings = load_settings()
    make_home(settings.home)
    with only_up(settings.home):
        home = open_home()
        given = None if settings.master_key is None else sys.stdin.readline().strip()
        done = rotate_master_key(settings, home.store, home.vault, given, whoami())
        home.store.close()
    console.print(f"{done.people} people's keys are wrapped under the new master key", soft_wrap=True)
    if given is not None:
        console.print(
            "Put the new key into PERENNIAL_MASTER_KEY of every process before you start the service.", soft_wrap=True
        )
    if not done.scrubbed:
        console.print("Readers kept the key store from emptying its log; it does so by itself later.", soft_wrap=True)
    console.print("Replace the copy of the keys now: `perennial db backup-keys FOLDER`.", soft_wrap=True)


@_db.command()
def upgrade() -> None:
    """Bring the database to the newest schema; every other command does it too."""
    home = open_home()
    console.print(f"{home.store.engine.url.render_as_string(hide_password=True)} is up to date")


@_db.command()
def backup(folder: Annotated[Path, typer.Argument(help="a new folder for the copy")]) -> None:
    """Copy what the home needs to be brought back: database, models, rounds, settings; not the keys."""
    home = open_home()
    done = back_up_data(home, folder)
    console.print(
        "No key is in it, and without the keys nobody can read its text: copy them too, to another place, with "
        "`perennial db backup-keys FOLDER`.",
        soft_wrap=True,
    )
    end_if_missing(done)


@_db.command("backup-keys")
def backup_keys(
    folder: Annotated[Path, typer.Argument(help="the folder of the copy; the one before is replaced")],
) -> None:
    """Copy the keys that open people's text, and who was forgotten so far, in place of the copy before."""
    copy_keys(open_home(), folder)


@_db.command("forget-lost")
def forget_lost(yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Forget everybody whose key is lost with the key store: nobody can read their text again. It cannot be undone."""
    settings, store = open_database()
    open_master_key(settings, store)
    store.keys.ensure_name()
    lost = len(erasure.find_lost(store))
    console.print(f"{lost} people's keys are not in {store.keys.where}", markup=False, soft_wrap=True)
    if lost and not yes and not agrees("Forget them?"):
        console.print("Nothing was forgotten.")
        raise typer.Exit(1)
    rebind_key_store(store)
    console.print(f"{erasure.forget_lost(store, whoami())} people were forgotten")
    store.close()
