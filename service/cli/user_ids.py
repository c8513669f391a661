"""User ids and keys are read, not typed as words of a command: those stand in lists of processes and histories of shells."""

import sys

import typer

from pipelines.errors import InputError

FROM_INPUT = "-"


def refuse_typed_key(context: typer.Context, option: typer.CallbackParam, key: str | None) -> str | None:
    """The API key from the environment; raises InputError for one that was typed as a word of the command."""
    source = context.get_parameter_source(str(option.name))
    if source is not None and source.name == "COMMANDLINE":
        raise InputError(
            "an API key does not belong on the command line, where everybody on this machine can read it: put it into the "
            "environment as API_KEY"
        )
    return key


def read_user(word: str | None = FROM_INPUT) -> str:
    """The app's id of a user: asked for at a terminal, the first line of standard input elsewhere.

    Args:
        word: what stands on the command line: nothing, or `-`.

    Raises:
        InputError: it is the id itself, which is not repeated, or none came.
    """
    if word not in (None, FROM_INPUT):
        raise InputError(
            "a user's id does not belong on the command line, where everybody on this machine can read it: write - there and "
            "type it when you are asked, or send it to standard input"
        )
    if sys.stdin.isatty():
        return str(typer.prompt("User id"))
    user = sys.stdin.readline().rstrip("\r\n")
    if not user:
        raise InputError("no user id came on standard input; send it there in a line of its own")
    return user
