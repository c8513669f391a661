"""Commands about sets of anchors: anchors make|import|list."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.anchors.screen import REASONS
from service.anchors.bases import named_base, tiny_note
from service.anchors.listing import list_sets
from service.anchors.making import Forecast, MadeSet, chosen_families, make_set
from service.cli.home import console, open_home, print_table, whole
from service.progress import open_progress, span

_anchors = typer.Typer(help="What a base must not forget: sets of anchors, each for one base.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_anchors, name="anchors")


@_anchors.command()
def make(
    base: Annotated[
        str, typer.Argument(help="a base's folder, its recipe's YAML file, or the name of one in the home's recipes")
    ],
    count: Annotated[int, typer.Option(help="how many anchors", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="another seed, other anchors", min=0)] = 0,
    families: Annotated[str | None, typer.Option(help="only these, with commas between them")] = None,
    name: Annotated[str | None, typer.Option(help="what to call the set; else its recipe's or its base's name")] = None,
) -> None:
    """Have a base write its own anchors; stop it at any time, the same command goes on."""
    chosen = chosen_families(families)
    settings = open_home().settings
    named = named_base(settings, base, name)
    if note := tiny_note(settings, named.folder):
        console.print(note, markup=False, soft_wrap=True)
    with open_progress(console) as view:
        made = make_set(
            settings,
            named,
            count=count,
            seed=seed,
            families=chosen,
            say=_say_forecast,
            show=lambda done, total, note: view.update("anchors", done, total, note),
        )
    _show(made)


@_anchors.command("import")
def bring(
    path: Annotated[Path, typer.Argument(help="a file or folder of any format that `perennial import` reads")],
    base: Annotated[str, typer.Argument(help="the base that they are for, as in `make`")],
    name: Annotated[str | None, typer.Option(help="what to call the set; else its recipe's or its base's name")] = None,
) -> None:
    """Make a set of chats that you have, anonymized as all chats are; nothing of them is stored elsewhere."""
    from service.cli.anchor_import import import_set

    settings = open_home().settings
    brought = import_set(settings, path, named_base(settings, base, name))
    card = brought.card
    console.print(
        f"{sum(card.kept.values())} anchors for {card.base}: {_counts(card.kept)}", markup=False, soft_wrap=True
    )
    if card.rejected:
        console.print(f"  left out: {_counts(card.rejected)}", markup=False, soft_wrap=True)
    console.print(f"name it in a recipe: `anchors: {brought.name}`", markup=False)


@_anchors.command("list")
def list_all() -> None:
    """Every set, the base that it is for, and how many anchors it has."""
    settings = open_home().settings
    table = Table(whole("set"), whole("for"), "anchors", "made at", "state")
    for one in list_sets(settings):
        card = one.card
        made = f"{card.made:%Y-%m-%d %H:%M}" if card and card.made else ""
        table.add_row(
            one.place, str(card.base) if card else "", str(sum(card.kept.values())) if card else "", made, one.state
        )
    print_table(table)


def _say_forecast(told: Forecast) -> None:
    console.print(
        f"{told.left} anchors to write: about {span(told.seconds)}, {told.tokens:,} tokens at {told.speed:.0f} a second here",
        soft_wrap=True,
    )


def _show(made: MadeSet) -> None:
    card = made.card
    console.print(
        f"{sum(card.kept.values())} anchors for {card.base}: " + _counts(card.kept), markup=False, soft_wrap=True
    )
    for reason, count in sorted(card.rejected.items(), key=lambda pair: -pair[1]):
        console.print(f"  {count} left out, {reason}: {REASONS[reason]}", markup=False, soft_wrap=True)
    if made.short:
        short = ", ".join(made.short)
        console.print(f"this base gave too few good answers in {short}; the set has fewer of them", soft_wrap=True)
    console.print(f"name it in a recipe: `anchors: {made.folder.name}`", markup=False)


def _counts(kept: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in kept.items())
