"""Commands about what curation hides: privacy check|score|changes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.errors import DataError, InputError
from pipelines.text import shorten
from service.cli.home import Home, console, open_home, print_table
from service.curation.changes import sample_changes
from service.curation.configuration import CountedNames, configuration
from service.store.funnel import funnel

if TYPE_CHECKING:
    from pipelines.curate.examine import Examiner, Labelled

_privacy = typer.Typer(help="See what curation hides, and how much of it.", no_args_is_help=True)
_MOST_CHARACTERS = 1_000_000


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_privacy, name="privacy")


@_privacy.command()
def check(
    text: Annotated[
        str, typer.Argument(metavar="TEXT|FILE", help="a text, a file with one, or - for standard input")
    ] = "-",
) -> None:
    """What would be replaced in a text: where, what, found by whom, and by what; then the text as it would be kept."""
    home = open_home()
    plain = _read(text)
    found = _examiner(home).examine(plain)
    from pipelines.curate.normalise import tidy

    plain = tidy(plain)
    table = Table("place", "kind", "found", "by", "becomes")
    pieces, done = [], 0
    for one in found:
        row = (f"{one.start}-{one.end}", one.entity, plain[one.start : one.end], one.source, one.replacement)
        table.add_row(*(escape(cell) for cell in row))
        pieces += [plain[done : one.start], one.replacement]
        done = one.end
    if not found:
        console.print("nothing personal was found")
        return
    print_table(table)
    console.print("".join([*pieces, plain[done:]]), markup=False, soft_wrap=True)


@_privacy.command()
def score(
    file: Annotated[
        Path, typer.Argument(help='JSONL, a labelled text a line: {"text": ..., "spans": [[start, end, label], ...]}')
    ],
) -> None:
    """How much of what you marked is hidden, by label; nothing of the file is stored."""
    home = open_home()
    rows = list(_labelled(file))
    if not rows:
        raise InputError(f"{file} holds no labelled row, so nothing can be measured")
    recalls, beside = _examiner(home).score(rows)
    table = Table("label", "marked", "hidden", "in part", "recall")
    for one in recalls:
        table.add_row(escape(one.label), str(one.marked), str(one.hidden), str(one.partly), f"{one.recall:.3f}")
    print_table(table)
    console.print(f"{len(rows)} texts; {beside} findings beside everything that is marked", soft_wrap=True)


@_privacy.command()
def changes(count: Annotated[int, typer.Option(min=1, max=100, help="how many samples")] = 5) -> None:
    """How many answers anonymization changed, and samples of them: as they are now, never as they were."""
    home = open_home()
    with home.store.read() as session:
        console.print(funnel(session).altered.sentence, soft_wrap=True)
        samples = sample_changes(session, home.vault, count)
    for sample in samples:
        fate = "no loss at all" if sample.replaced else "no loss on what is marked"
        console.print(f"  {fate}: {sample.excerpt}", markup=False, soft_wrap=True)


def _examiner(home: Home) -> "Examiner":
    """What looks as this home's curation does: with its models, recognizers and public names."""
    from pipelines.curate.examine import Examiner

    counted = CountedNames(home.store, home.settings.public_names_people)
    return Examiner(configuration(home.settings), home.vault.cluster_key, counted())


def _read(text: str) -> str:
    """The text of an argument, of the file that it names, or of standard input."""
    if text == "-":
        text = sys.stdin.read(_MOST_CHARACTERS + 1)
    elif len(text) < 4096 and "\n" not in text and Path(text).is_file():
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{text} cannot be read: {error}") from error
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"the text is longer than the {_MOST_CHARACTERS:,} characters that are read")
    if not text.strip():
        raise InputError("there is no text: give one, name a file, or send it to standard input")
    return text


def _labelled(file: Path) -> "Iterator[Labelled]":
    from pipelines.curate.examine import parse_labelled

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"line {number} is no JSON: {shorten(line, 60)}") from None
        yield parse_labelled(row, number)
