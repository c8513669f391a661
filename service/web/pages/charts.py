"""Curves as data that uPlot draws in the browser, with their figures as a table; small marks as SVG for the tables.

    <figure class="chart" data-chart='{"steps": [1, 2], "lines": {"training": [3.0, 2.5], "dev": [null, 2.6]}}'>

The table stands open where no script runs; static/perennial.js draws the curve and folds the table up.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import TypeVar

from markupsafe import Markup, escape

Point = tuple[float, float]
Item = TypeVar("Item")

_MAX_POINTS, _MAX_ROWS = 400, 12


def loss_curve(train: Sequence[Point], dev: Sequence[Point], name: str) -> Markup | None:
    """Training and dev loss over steps; None while there is nothing to draw. `name` is unique within the page."""
    lines = {label: _finite(points) for label, points in (("training", train), ("dev", dev))}
    lines = {label: points for label, points in lines.items() if points}
    if not lines:
        return None
    steps = sorted({step for points in lines.values() for step, _ in points})
    values = {label: _at(steps, points) for label, points in lines.items()}
    data = json.dumps({"steps": steps, "lines": values}, separators=(",", ":"))
    return Markup(
        f'<figure class="chart" data-chart="{escape(data)}"><figcaption class="small soft">{_described(lines)}</figcaption>'
        f'<details id="{escape(name)}" open><summary class="small">The figures</summary>{_table(steps, values)}</details>'
        "</figure>"
    )


def interval(difference: float, lower: float, upper: float, threshold: float | None) -> Markup:
    """A difference with its bounds on a line that shows zero and the value the lower bound must stay above."""
    reach = max(abs(value) for value in (lower, upper, threshold or 0.0, 0.5)) * 1.1

    def x(value: float) -> str:
        return f"{95 + 90 * max(-1.0, min(1.0, value / reach)):.1f}"

    bound = (
        "" if threshold is None else f'<line class="margin" x1="{x(threshold)}" x2="{x(threshold)}" y1="2" y2="20"/>'
    )
    return Markup(
        f'<svg class="interval" viewBox="0 0 190 22" aria-hidden="true"><line class="zero" x1="{x(0)}" x2="{x(0)}" y1="2" '
        f'y2="20"/>{bound}<line class="span" x1="{x(lower)}" x2="{x(upper)}" y1="11" y2="11"/>'
        f'<circle class="mark" cx="{x(difference)}" cy="11" r="4"/></svg>'
    )


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


def _described(lines: dict[str, list[Point]]) -> str:
    spans = [f"{label} loss from {points[0][1]:.3f} to {points[-1][1]:.3f}" for label, points in lines.items()]
    return f"{', '.join(spans).capitalize()} over {max(points[-1][0] for points in lines.values()):.0f} steps"


def _table(steps: Sequence[float], values: dict[str, list[float | None]]) -> str:
    """A dozen of the steps or so; where dev was measured, those."""
    measured = values.get("dev") or values["training"]
    places = _thinned([place for place, value in enumerate(measured) if value is not None], _MAX_ROWS)
    head = "".join(f'<th scope="col" class="number">{label}</th>' for label in ("step", *values))
    body = "".join(f"<tr>{_cell(f'{steps[place]:g}')}{_figures(values, place)}</tr>" for place in places)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figures(values: dict[str, list[float | None]], place: int) -> str:
    figures = [line[place] for line in values.values()]
    return "".join(_cell("" if figure is None else f"{figure:.3f}") for figure in figures)


def _cell(text: str) -> str:
    return f'<td class="number">{text}</td>'
