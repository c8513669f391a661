"""Commands that take out what people taught: export examples|preferences."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.errors import InputError
from pipelines.feedback.reasons import CONVERSATION_REASONS, FEEDBACK_REASONS
from pipelines.records import Part
from service.cli.home import Home, console, open_home, whoami
from service.corpus import StoreCorpus
from service.export.choice import EVERY_PART, ExampleChoice, PreferenceChoice
from service.export.files import check_target, write_rows
from service.export.shapes import Shape, Shared, shape_row
from service.progress import open_progress
from service.store import audit

_export = typer.Typer(help="Take out what people taught, for other programs.", no_args_is_help=True)
_Out = Annotated[Path, typer.Argument(help="the new file: .jsonl or .parquet")]
_Shape = Annotated[Shape, typer.Option(help="whose format it is written in")]
_OnePart = Annotated[Part | None, typer.Option(help="this part only; without it all, each row says its own")]
Kind = Literal["pairs", "labelled"]


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_export, name="export")


@_export.command()
def examples(
    out: _Out,
    shape: _Shape = "trl",
    part: _OnePart = None,
    unrated: Annotated[bool, typer.Option("--unrated", help="chats that nobody rated come along as good ones")] = False,
) -> None:
    """Write the chats with consent and a good rating, anonymized: the best branch of each, bad answers unlearnt."""
    check_target(out)
    home = open_home()
    choice = ExampleChoice(StoreCorpus(home.store, home.vault), datetime.now(UTC), _parts(part), unrated)
    _write(home, out, "examples", shape, choice.chats(shape))
    _tell(choice.left_out, "chats", CONVERSATION_REASONS)
    if choice.unsaid:
        console.print(
            f"{choice.unsaid} good answers behind one that must not be learnt are not in it: this shape cannot mark an "
            "answer; --shape openai can",
            soft_wrap=True,
        )


@_export.command()
def preferences(
    out: _Out,
    shape: _Shape = "trl",
    part: _OnePart = None,
    kind: Annotated[Kind, typer.Option(help="two answers a row, or one answer that is good or bad")] = "pairs",
) -> None:
    """Write what people preferred, anonymized: pairs of answers, or single answers that are good or bad."""
    check_target(out)
    if (kind, shape) == ("labelled", "openai"):
        raise InputError("the shape openai knows pairs only; write labelled answers as --shape trl or sharegpt")
    home = open_home()
    choice = PreferenceChoice(StoreCorpus(home.store, home.vault), datetime.now(UTC), _parts(part))
    _write(home, out, "preferences", shape, choice.pairs() if kind == "pairs" else choice.labelled())
    _tell(choice.left_out, "votes, corrections and comparisons", FEEDBACK_REASONS)
    if choice.unsaid:
        other = "labelled" if kind == "pairs" else "pairs"
        console.print(f"{choice.unsaid} more are not {kind}: --kind {other} writes them", soft_wrap=True)


def _parts(part: Part | None) -> tuple[Part, ...]:
    return EVERY_PART if part is None else (part,)


def _write(home: Home, out: Path, what: str, shape: Shape, found: Iterable[Shared]) -> None:
    """Writes the rows and notes it in the audit before the file appears; says what is in it."""
    parts: Counter[str] = Counter()
    with open_progress(console) as shown:
        rows = _rows(found, shape, parts, lambda: shown.update(what, note=f"{parts.total():,} rows"))
        with write_rows(out, rows) as count, home.store.begin() as session:
            audit.record(session, whoami(), "export", what, {"shape": shape, "rows": count, **parts})
    told = ", ".join(f"{number} {part}" for part, number in sorted(parts.items()))
    console.print(f"{count} rows in {out}" + (f": {told}" if told else ""), markup=False, soft_wrap=True)
    console.print(
        "Whoever is forgotten from now on is still in that file: take it along, or delete it.", soft_wrap=True
    )


def _rows(
    found: Iterable[Shared], shape: Shape, parts: Counter[str], tell: Callable[[], None]
) -> Iterator[Mapping[str, object]]:
    for one in found:
        parts[one.part] += 1
        if parts.total() % 1_000 == 0:
            tell()
        yield shape_row(one, shape)


def _tell(left_out: Counter[str], what: str, reasons: Mapping[str, str]) -> None:
    if not left_out:
        return
    console.print(f"{left_out.total()} {what} are not in it:", soft_wrap=True)
    for name, count in sorted(left_out.items()):
        console.print(f"  {count} {name}: {reasons[name]}", markup=False, soft_wrap=True)
