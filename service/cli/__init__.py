"""`perennial`: the command line. Each module adds the commands of one noun; this one joins them and words errors."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

# typer brings its own click and shows a wrong word as a box of six lines; here it is one sentence
from typer._click.exceptions import ClickException, NoArgsIsHelpError, UsageError

from pipelines.errors import Cancelled, PerennialError
from service.cli import (
    admin,
    anchors,
    backup,
    bases,
    data,
    export,
    health,
    intake,
    models,
    privacy,
    processes,
    rights,
    rounds,
    suites,
    users,
)
from service.logs import set_up_logging
from service.private_files import private_files
from service.settings import load_settings
from service.store.trouble import explain

app = typer.Typer(
    name="perennial",
    help="A continual-learning service: rated conversations in, a measured better model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (
    processes,
    intake,
    data,
    privacy,
    rounds,
    models,
    bases,
    anchors,
    suites,
    export,
    admin,
    backup,
    health,
    users,
    rights,
):
    module.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"perennial {version('perennial-service')}")
        raise typer.Exit


@app.callback()
def options(
    show: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """A continual-learning service: rated conversations in, a measured better model out."""


def main() -> None:
    """Run the command; whatever a person can cause ends in one sentence and a status of its own."""
    set_up_logging(logging.WARNING)
    with private_files():
        _run()


def _run() -> None:
    try:
        sys.exit(app(prog_name="perennial", standalone_mode=False))
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except ClickException as error:
        _end(f"error: {_sentence(error)}", error.exit_code)
    except Cancelled as error:
        _end(f"stopped: {error}", 3)
    except PerennialError as error:
        _end(f"error: {error}", 1)
    except typer.Abort:
        _end("stopped: nothing was done", 1)
    except OSError as error:
        _end(f"error: {error.filename or 'the system'}: {error.strerror or error}", 1)
    except SQLAlchemyError as error:
        _end(f"error: {explain(error, load_settings().database_url)}", 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _sentence(error: ClickException) -> str:
    """What is wrong with the words that were typed, and whose help says what is right."""
    said = " ".join(error.format_message().split()).rstrip(".")
    if not isinstance(error, UsageError) or error.ctx is None:
        return said
    return f"{said[:1].lower()}{said[1:]}; see {error.ctx.command_path} --help"


def _end(sentence: str, status: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(status)
