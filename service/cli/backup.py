"""Commands that copy a home and bring it back: backup, restore."""

from pathlib import Path
from typing import Annotated

import typer

from service.backup import Backup, back_up, back_up_keys
from service.cli.home import Home, console, only_up, open_home
from service.restore import restore
from service.settings import load_settings, make_home
from service.store.models import champion_id
from service.store.tables import now


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(backup)
    app.command("restore")(bring_back)


def backup(
    folder: Annotated[Path, typer.Argument(help="a new folder for the data")],
    keys: Annotated[Path, typer.Option(help="the folder for the keys, at another place; the copy before is replaced")],
) -> None:
    """Copy the home so that `perennial restore` brings it back: the data to one folder, its keys to another."""
    home = open_home()
    done = back_up_data(home, folder)
    copy_keys(home, keys)
    end_if_missing(done)


def bring_back(
    folder: Annotated[Path, typer.Argument(help="the folder of the data")],
    keys: Annotated[
        Path | None, typer.Option(help="the copy of the keys; not where those of the home are whole")
    ] = None,
    forgotten: Annotated[Path | None, typer.Option(help="a newer erasures.ndjson, of who was forgotten since")] = None,
) -> None:
    """Bring a home back from its backup; stop the service first, and move what is left of the home away."""
    settings = load_settings()
    make_home(settings.home)
    with only_up(settings.home):
        done = restore(settings, folder, keys, forgotten)
    home = open_home()
    with home.store.read() as session:
        champion = champion_id(session)
    console.print(f"{done.files} files are back in {settings.home}", markup=False, soft_wrap=True)
    console.print(f"The champion is {champion or 'none yet'}; start the service: `perennial up`", soft_wrap=True)


def back_up_data(home: Home, folder: Path) -> Backup:
    """Copy the data and say what was copied."""
    done = back_up(home.settings, home.store, folder)
    what = "database" if done.has_database else "no database (PostgreSQL: pg_dump)"
    console.print(f"{folder}: {what} and {done.files} files, {done.size_bytes / 1e6:.1f} MB", soft_wrap=True)
    return done


def copy_keys(home: Home, folder: Path) -> None:
    """Copy the keys and say how they are kept."""
    names = back_up_keys(home.settings, home.store, folder, now())
    console.print(f"{folder}: {', '.join(names)}", markup=False, soft_wrap=True)
    if not home.store.keys.is_sqlite:
        console.print(
            f"The key store is not in it: dump {home.store.keys.where} by itself, over its dump before.", soft_wrap=True
        )
    console.print(
        "Keep it apart from the backups and keep no older copy: whoever was forgotten since a copy can be read with it.",
        soft_wrap=True,
    )


def end_if_missing(done: Backup) -> None:
    """Status 1 if a model needs what was not there to be copied."""
    if done.missing:
        console.print(f"Not in it, and some model needs it: {', '.join(done.missing)}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
