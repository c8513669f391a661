"""Commands about who signs in to the pages: users create|list|password|role|disable|enable|logout."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.errors import InputError
from service import sign_in, users
from service.cli.home import console, open_home, print_table, whoami, whole
from service.passwords import LONGEST, check_password

_users = typer.Typer(help="Who signs in to the pages.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="the user's name")]
Role = Annotated[str, typer.Option(help=f"one of {', '.join(users.ROLES)}")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="a file whose first line is the password, - for standard input; else it is asked for"),
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_users, name="users")


@_users.command()
def create(name: Name, role: Role, password_file: PasswordFile = None) -> None:
    """Make a user; the first one must be an admin."""
    home = open_home()
    made = users.create_user(home.store, name, role, _password(name, password_file), whoami())
    console.print(f"{made.name} may sign in as {made.role}", markup=False, soft_wrap=True)


@_users.command("list")
def list_users() -> None:
    """All users, their roles, and when they last signed in."""
    table = Table(whole("name"), "role", "made at", "signed in at", "disabled at")
    for info in users.list_users(open_home().store):
        times = (info.created_at, info.signed_in_at, info.disabled_at)
        table.add_row(info.name, info.role, *(f"{at:%Y-%m-%d %H:%M}" if at else "" for at in times))
    print_table(table)


@_users.command()
def password(name: Name, password_file: PasswordFile = None) -> None:
    """Give a user another password; all their sessions end, and they may try again at once."""
    home = open_home()
    sign_in.renew_password(home.store, home.vault, name, _password(name, password_file), whoami())
    console.print(f"{name} has another password, and their sessions have ended", markup=False, soft_wrap=True)


@_users.command()
def role(name: Name, role: Annotated[str, typer.Argument(help=f"one of {', '.join(users.ROLES)}")]) -> None:
    """Give a user another role; it holds from their next click on."""
    users.set_role(open_home().store, name, role, whoami())
    console.print(f"{name} is {role} now", markup=False, soft_wrap=True)


@_users.command()
def disable(name: Name) -> None:
    """End a user's sessions and let them sign in no more."""
    users.disable_user(open_home().store, name, whoami())
    console.print(f"{name} may sign in no more, and their sessions have ended", markup=False, soft_wrap=True)


@_users.command()
def enable(name: Name) -> None:
    """Let a disabled user sign in again."""
    users.enable_user(open_home().store, name, whoami())
    console.print(f"{name} may sign in again", markup=False, soft_wrap=True)


@_users.command()
def logout(name: Name) -> None:
    """Sign a user out everywhere."""
    users.end_sessions(open_home().store, name, whoami())
    console.print(f"every session of {name} has ended", markup=False, soft_wrap=True)


def _password(name: str, file: Path | None) -> str:
    """The first line of a file or of standard input, or what is typed twice at a terminal; never a word of the command.

    Raises:
        InputError: nobody sits at a terminal and no file is named; the password cannot be kept.
    """
    if file is not None:
        line = (
            sys.stdin.readline(LONGEST + 2) if str(file) == "-" else file.read_text(encoding="utf-8").partition("\n")[0]
        )
        found = line.rstrip("\r\n")
    elif sys.stdin.isatty():
        found = str(typer.prompt("Password", hide_input=True, confirmation_prompt="The same password again"))
    else:
        raise InputError(
            "the password is asked for at a terminal; elsewhere name a file whose first line it is: --password-file FILE"
        )
    check_password(name, found)
    return found
