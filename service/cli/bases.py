"""`perennial base add|list|show|remove`: models of your own, adopted with proofs."""

from typing import Annotated

import typer
from rich.table import Table

from pipelines.bases.adopt import Show
from pipelines.bases.first_recipe import size_words
from pipelines.recipe import Quantization
from service.bases.adoption import add_base
from service.bases.recipes import renew_recipe
from service.bases.records import AdoptedBase, get_base, list_bases, remove_base
from service.cli.home import console, open_home, print_table, whoami, whole
from service.models import promotion
from service.progress import ProgressView, open_progress
from service.store.models import champion_id

_bases = typer.Typer(help="Models of your own, adopted with proofs.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_bases, name="base")


@_bases.command()
def add(
    what: Annotated[
        str,
        typer.Argument(help="a FOLDER in Hugging Face's layout, a model of the hub (PUBLISHER/NAME), or a FILE.gguf"),
    ],
    name: Annotated[str | None, typer.Option(help="what to call it and its recipe, if not by its own name")] = None,
    quantize: Annotated[
        Quantization | None, typer.Option(help="how it is served, if not as is usual for its size")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="make it the champion, if there is none yet")] = False,
) -> None:
    """Adopt a base model: look at it, convert it, prove that the file says what the model says, write its first recipe."""
    home = open_home()
    with open_progress(console) as view:
        base = add_base(home.settings, home.store, what, name, quantize, _shown_on(view))
    _tell(base)
    if serve:
        with home.store.read() as session:
            champion = champion_id(session)
        if champion is None:
            promotion.promote(home.store, home.settings, base.origin, whoami())
            _say(f"{base.origin} is the champion: `perennial up` serves it")
        elif champion != base.origin:
            _say(
                f"{champion} stays the champion; to serve this base in its place: perennial models promote {base.origin} "
                '--override-reason "a new base"'
            )
    elif base.recipe:
        _say(f"next: perennial import, then perennial round run --recipe {home.settings.home / base.recipe}")


@_bases.command("list")
def list_all() -> None:
    """The bases that were adopted here."""
    table = Table(whole("base"), "parameters", "architecture", "served as", whole("origin"), "from")
    for base in list_bases(open_home().settings):
        facts = base.facts
        size, kind = (
            (size_words(facts).removesuffix(" parameters"), facts.architecture) if facts else ("", "a file alone")
        )
        table.add_row(base.name, size, kind, base.quantize if facts else "as it is", base.origin, base.source)
    print_table(table)


@_bases.command()
def show(name: Annotated[str, typer.Argument(help="the base's name")]) -> None:
    """One base: what it is, what was proven, what its recipe chose."""
    _tell(get_base(open_home().settings, name))


@_bases.command()
def recipe(
    name: Annotated[str, typer.Argument(help="the base's name")],
    force: Annotated[bool, typer.Option("--force", help="also where you changed it; yours stays beside it")] = False,
) -> None:
    """Write the base's first recipe anew, with the suites and anchors that are there by now."""
    settings = open_home().settings
    base = renew_recipe(settings, name, force=force)
    _say(f"{settings.home / str(base.recipe)}")
    for line in base.choices:
        _say(f"  {line}")


@_bases.command()
def remove(name: Annotated[str, typer.Argument(help="the base's name")]) -> None:
    """Forget a base; its recipe stays, and its model's file goes with `perennial gc`."""
    home = open_home()
    base = remove_base(home.settings, home.store, name)
    _say(f"{base.name} is no base here any more" + (f"; its recipe stays: {base.recipe}" if base.recipe else ""))


def _tell(base: AdoptedBase) -> None:
    _say(f"{base.name}: {base.source}" + (f" at {base.revision}" if base.revision else ""))
    facts = base.facts
    if facts is None:
        _say("  a file alone: it can be served, and it cannot be trained")
    else:
        _say(
            f"  {facts.architecture}, {size_words(facts)}, reads {facts.context:,} tokens, {facts.vocabulary:,} words, ends with {facts.end_token}"
        )
        _say(f"  licence: {facts.licence}" + ("; has a switch for thinking" if facts.thinks else ""))
        if facts.sampling:
            _say(
                "  its publisher samples with " + ", ".join(f"{key} {value:g}" for key, value in facts.sampling.items())
            )
        for part in facts.left_out:
            _say(f"  left out: {part}")
    for proof in base.proofs:
        _say(f"  {'proven' if proof.passed else 'FAILED'}: {proof.line}")
    if base.recipe:
        _say(f"  recipe {base.recipe}")
    for line in base.choices:
        _say(f"    {line}")
    _say(f"  origin {base.origin}")


def _shown_on(view: ProgressView) -> Show:
    """Steps as they come; the one before has ended where another begins."""
    current: list[str] = []

    def show(step: str, done: float | None, total: float | None) -> None:
        if current and current[-1] != step:
            view.finish(current[-1])
        current[:] = [step]
        view.update(step, done, total)

    return show


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
