"""`perennial`: the command line. Each module adds the commands of one noun; this one joins them and words errors."""

import logging
import sys

import typer

from pipelines.errors import Cancelled, PerennialError
from service.cli import admin, data, models, processes, rounds
from service.logs import set_up_logging

app = typer.Typer(
    name="perennial",
    help="A continual-learning service: rated conversations in, a measured better model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (processes, data, rounds, models, admin):
    module.register(app)


def main() -> None:
    """Run the command; a PerennialError ends in its one sentence and status 1."""
    set_up_logging(logging.WARNING)
    try:
        app()
    except Cancelled as error:
        print(f"stopped: {error}", file=sys.stderr)
        sys.exit(3)
    except PerennialError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
