"""`perennial tiny train`: the embedded base model from scratch, from its shipped recipe."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(help="The embedded base model and its data.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="tiny")


@group.command()
def train(
    out: Annotated[Path, typer.Option(help="folder to write the model to; it must not exist")],
    steps: Annotated[int | None, typer.Option(help="optimizer steps; the shipped weights' number by default")] = None,
    seed: Annotated[int | None, typer.Option(help="the shipped weights' seed by default")] = None,
) -> None:
    """Train models/tiny from scratch; torch runs in a process of its own."""
    command = [sys.executable, "-m", "pipelines.tiny.pretrain", "--out", str(out)]
    command += ["--steps", str(steps)] if steps is not None else []
    command += ["--seed", str(seed)] if seed is not None else []
    raise typer.Exit(subprocess.run(command).returncode)


@group.command()
def data(
    root: Annotated[Path, typer.Option(help="folder to write to/")] = Path("data"),
) -> None:
    """Write data/suites, data/general and data/samples again, byte for byte as shipped."""
    raise typer.Exit(subprocess.run([sys.executable, "-m", "pipelines.tiny.write_data", str(root)]).returncode)
