"""What the demo prints: tables of the funnel, the gate, the privacy check and the ten answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def funnel(console: Console, counts: Mapping[str, Any]) -> None:
    """Prints how many conversations came through each step."""
    table = Table("step", "conversations", title="Funnel")
    for step in ("received", "clean", "examples"):
        table.add_row(step, str(counts[step]))
    table.add_row("held out to measure", str(counts["dev"] + counts["heldout"]))
    for reason, count in sorted(counts["left_out"].items(), key=lambda pair: -pair[1]):
        table.add_row(f"  left out: {reason}", str(count), style="dim")
    console.print(table)
    _proves(
        console,
        "nothing is lost: each clean conversation is an example, held out, or left out for a reason with a name",
    )


def gate(console: Console, scores: Mapping[str, Mapping[str, Any]], verdict: str, reasons: Sequence[str]) -> None:
    """Prints the gate's comparisons, its verdict and its reasons."""
    table = Table("suite", "origin", "candidate", "difference", "lower", "upper", "n", title="The gate, in points")
    for suite, row in scores.items():
        numbers = [f"{row[key]:.1f}" for key in ("origin", "candidate")]
        numbers += [f"{row[key]:+.1f}" for key in ("difference", "lower", "upper")]
        table.add_row(suite, *numbers, str(row["n"]))
    console.print(table)
    _proves(console, "no skill was lost: a suite fails where the lower bound lies further below 0 than its margin")
    style = {"pass": "bold green", "fail": "bold red"}.get(verdict, "bold yellow")
    console.print(f"Verdict: [{style}]{verdict.upper()}[/]")
    for reason in reasons:
        console.print(f"  - {reason}", markup=False)


def side_by_side(console: Console, rows: Sequence[tuple[str, str, str]]) -> None:
    """Prints the answers to ten questions before and after."""
    table = Table("question", "before", "after", title="The same ten questions", show_lines=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    _proves(console, "a user notices: the same questions through the chat API, before and after the promotion")


def feedback(console: Console, told: Mapping[str, Any]) -> None:
    """What became of the thumbs, and what was done with those that count."""
    table = Table("feedback", "pieces", title="Votes, corrections and comparisons of month two")
    for rule, count in told["used"].items():
        table.add_row(f"used: {rule}", str(count))
    table.add_row("held out", str(told["held_out"]))
    for rule, count in told["dropped"].items():
        table.add_row(f"  dropped: {rule}", str(count), style="dim")
    console.print(table)
    _proves(console, "thumbs are weighed, not obeyed: each counts, is held out, or is dropped by a rule with a name")
    console.print(told["why"], markup=False)


def privacy(console: Console, counts: Mapping[str, Any]) -> None:
    """Prints what was planted, found and leaked, by kind."""
    table = Table("entity", "planted", "found", "leaked", title="Personal information planted in the sample")
    for entity in sorted(counts["planted"]):
        numbers = (counts[key].get(entity, 0) for key in ("planted", "found", "leaked"))
        table.add_row(entity, *(str(number) for number in numbers))
    console.print(table)
    _proves(console, "nothing personal is learned: of what was planted, this much stands in the text that trains")
    total = sum(counts["on_disk"].values())
    console.print(f"Byte search of the whole home, logs included: {total} planted strings found")


def _proves(console: Console, what: str) -> None:
    """The one line that says what a table is there for."""
    console.print(f"What this shows: {what}.", style="italic", markup=False, soft_wrap=True)
