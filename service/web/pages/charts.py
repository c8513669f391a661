"""Curves as data that uPlot draws in the browser, with their figures as a table; small marks as SVG for the tables.

    <figure class="chart" data-chart='{"steps": [1, 2], "lines": {"training": [3.0, 2.5], "dev": [null, 2.6]}}'>

The table stands open where no script runs; static/perennial.js draws the curve and folds the table up.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import TypeVar

from markupsafe import Markup, escape

Point = tuple[float, float]
Item = TypeVar("Item")

_MAX_POINTS, _MAX_ROWS = 400, 12
_ARROWS = {True: "M183 6l6 5-6 5z", False: "M7 6l-6 5 6 5z"}


def loss_curve(train: Sequence[Point], dev: Sequence[Point], name: str) -> Markup | None:
    """Training and dev loss over steps; None while there is nothing to draw. `name` is unique within the page."""
    return curve({"training": train, "dev": dev}, name, " loss")


def curve(given: Mapping[str, Sequence[Point]], name: str, what: str = "") -> Markup | None:
    """Lines over steps by their labels; `what` stands behind a label in words. None while there is nothing to draw."""
    lines = {label: _finite(points) for label, points in given.items()}
    lines = {label: points for label, points in lines.items() if points}
    if not lines:
        return None
    steps = sorted({step for points in lines.values() for step, _ in points})
    values = {label: _at(steps, points) for label, points in lines.items()}
    data = json.dumps({"steps": steps, "lines": values}, separators=(",", ":"))
    return Markup(
        f'<figure class="chart" id="{escape(name)}-chart" data-chart="{escape(data)}">'
        f'<figcaption class="small soft">{escape(_described(lines, what))}</figcaption>'
        f'<details id="{escape(name)}" open><summary class="small">The figures</summary>{_table(steps, values)}</details>'
        "</figure>"
    )


def reach_of(values: Iterable[float | None]) -> float:
    """How far a scale that they share must go either way: a round number not below any of them."""
    most = max((abs(value) for value in values if value is not None and isfinite(value)), default=0.0)
    steps = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100)
    return next((float(step) for step in steps if most <= step), most)


def interval(
    difference: float, lower: float, upper: float, threshold: float | None, reach: float | None = None
) -> Markup:
    """A difference with its bounds on a line that shows zero and the value the lower bound must stay above.

    Intervals that are to be compared by eye share a `reach`; what goes beyond it ends in an arrow.
    """
    reach = reach or reach_of((lower, upper, threshold)) * 1.1
    x = partial(_place, reach)
    bound = (
        "" if threshold is None else f'<line class="margin" x1="{x(threshold)}" x2="{x(threshold)}" y1="2" y2="20"/>'
    )
    beyond = "".join(f'<path class="mark" d="{_ARROWS[value > 0]}"/>' for value in (lower, upper) if abs(value) > reach)
    return Markup(
        f'<svg class="interval" viewBox="0 0 190 22" aria-hidden="true"><line class="zero" x1="{x(0)}" x2="{x(0)}" y1="2" '
        f'y2="20"/>{bound}<line class="span" x1="{x(lower)}" x2="{x(upper)}" y1="11" y2="11"/>'
        f'<circle class="mark" cx="{x(difference)}" cy="11" r="4"/>{beyond}</svg>'
    )


def scale(reach: float) -> Markup:
    """The scale of the intervals below it, with its ends and the middle written out."""
    texts = ((5, "start", f"-{reach:g}"), (95, "middle", "0"), (185, "end", f"+{reach:g}"))
    words = "".join(f'<text x="{x}" y="11" text-anchor="{anchor}">{text}</text>' for x, anchor, text in texts)
    ticks = "".join(f'<line class="zero" x1="{x}" x2="{x}" y1="15" y2="20"/>' for x in (5, 50, 95, 140, 185))
    return Markup(
        f'<svg class="interval" viewBox="0 0 190 22" aria-hidden="true">{words}{ticks}'
        '<line class="zero" x1="5" x2="185" y1="20" y2="20"/></svg>'
    )


def _place(reach: float, value: float) -> str:
    return f"{95 + 90 * max(-1.0, min(1.0, value / reach)):.1f}"


def _finite(points: Sequence[Point]) -> list[Point]:
    """At most 400 points that can be drawn, one a step, in the order of their steps; the last one is among them."""
    good = sorted({x: y for x, y in points if isfinite(x) and isfinite(y)}.items())
    return _thinned(good, _MAX_POINTS)


def _thinned(items: list[Item], most: int) -> list[Item]:
    """About so many of them, evenly spaced, the first and the last among them."""
    stride = -(-(len(items) - 1) // (most - 1)) or 1
    return items[::stride] + ([items[-1]] if items and (len(items) - 1) % stride else [])


def _at(steps: Sequence[float], points: Sequence[Point]) -> list[float | None]:
    known = dict(points)
    return [known.get(step) for step in steps]


def _described(lines: Mapping[str, Sequence[Point]], what: str) -> str:
    spans = [f"{label}{what} from {points[0][1]:.3f} to {points[-1][1]:.3f}" for label, points in lines.items()]
    text = f"{', '.join(spans)} over {max(points[-1][0] for points in lines.values()):.0f} steps"
    return text[0].upper() + text[1:]


def _table(steps: Sequence[float], values: Mapping[str, Sequence[float | None]]) -> str:
    """A dozen of the steps or so; where the line that was measured least often was, those."""
    least = min(values.values(), key=lambda line: sum(value is not None for value in line))
    places = _thinned([place for place, value in enumerate(least) if value is not None], _MAX_ROWS)
    head = "".join(f'<th scope="col" class="number">{escape(label)}</th>' for label in ("step", *values))
    body = "".join(f"<tr>{_cell(f'{steps[place]:g}')}{_figures(values, place)}</tr>" for place in places)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figures(values: Mapping[str, Sequence[float | None]], place: int) -> str:
    figures = [line[place] for line in values.values()]
    return "".join(_cell("" if figure is None else f"{figure:.3f}") for figure in figures)


def _cell(text: str) -> str:
    return f'<td class="number">{text}</td>'
