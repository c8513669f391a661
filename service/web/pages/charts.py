"""Small drawings as SVG text, made by the server: no script, no inline style, colours from the style sheet."""

from collections.abc import Sequence
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

Point = tuple[float, float]

_WIDTH, _HEIGHT = 560, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 8, 10, 24


def loss_curve(train: Sequence[Point], dev: Sequence[Point]) -> Markup | None:
    """Training and dev loss over steps as one chart with axes; None while there is nothing to draw."""
    train, dev = _finite(train), _finite(dev)
    points = [*train, *dev]
    if not points:
        return None
    x_high = max(x for x, _ in points) or 1.0
    y_ticks = _ticks(min(y for _, y in points), max(y for _, y in points))
    frame = _Frame(x_high, y_ticks)
    parts = [frame.axes(), frame.line(train, "line"), frame.line(dev, "line dev")]
    parts += [f'<circle class="dot" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3"/>' for x, y in dev]
    label = _described(train, dev)
    legend = '<p class="legend small soft"><span>training</span>' + ('<span class="dev">dev</span>' if dev else "")
    svg = f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return Markup(svg + legend + "</p>")


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


class _Frame:
    """Maps steps and losses to places in the drawing; `y_ticks` are the values at the horizontal lines."""

    def __init__(self, x_high: float, y_ticks: Sequence[float]) -> None:
        self.x_high, self.y_ticks = x_high, y_ticks

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.x_high

    def y(self, value: float) -> float:
        share = (value - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)

    def line(self, points: Sequence[Point], kind: str) -> str:
        if not points:
            return ""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline class="{kind}" points="{path}"/>'

    def axes(self) -> str:
        lines = []
        for value in self.y_ticks:
            y = self.y(value)
            lines.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
        for value in (tick for tick in _ticks(0, self.x_high) if tick <= self.x_high):
            lines.append(f'<text x="{self.x(value):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{value:g}</text>')
        return "".join(lines)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round values, evenly spaced, that enclose both."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** floor(log10(span / 5))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span / 5)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _finite(points: Sequence[Point]) -> list[Point]:
    """At most 400 points that can be drawn, in the order of their steps."""
    good = sorted((x, y) for x, y in points if isfinite(x) and isfinite(y))
    stride = -(-len(good) // 400) or 1
    return good[::stride] + ([good[-1]] if good and (len(good) - 1) % stride else [])


def _described(train: Sequence[Point], dev: Sequence[Point]) -> str:
    said = [
        f"{name} loss from {line[0][1]:.3f} to {line[-1][1]:.3f}"
        for name, line in (("Training", train), ("dev", dev))
        if line
    ]
    return ", ".join(said) + f" over {max(x for x, _ in [*train, *dev]):.0f} steps"
