"""The report's pictures, drawn without a display. matplotlib is imported when asked for, and may be missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.stages.report.facts import LossPoint, PreferencePoint
from pipelines.stages.report.scores import ScoreRow

_INK, _ACCENT, _QUIET = "#1f2937", "#b45309", "#9ca3af"


def draw(
    losses: Sequence[LossPoint], rows: Sequence[ScoreRow], out: Path, preferences: Sequence[PreferencePoint] = ()
) -> list[str]:
    """Draw loss.png, preference.png and scores.png into `out`, as far as there is something to draw.

    Gives their names; none where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    drawn = [_losses(losses, out / "loss.png")] if losses else []
    drawn += [_preferences(preferences, out / "preference.png")] if preferences else []
    shown = [row for row in rows if row.metric != "perplexity"]
    return [path.name for path in (*drawn, *([_scores(shown, out / "scores.png")] if shown else []))]


def _losses(losses: Sequence[LossPoint], path: Path) -> Path:
    figure, axes = _figure(7.0, 3.5)
    for name, colour in (("loss", _INK), ("dev_loss", _ACCENT)):
        points = [(point.step, getattr(point, name)) for point in losses if getattr(point, name) is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                label=name.replace("_", " "),
                marker="." if len(points) < 40 else "",
            )
    axes.set_xlabel("step")
    axes.set_ylabel("nats per trained token")
    axes.legend(frameon=False)
    return _save(figure, path)


def _preferences(points: Sequence[PreferencePoint], path: Path) -> Path:
    """Loss above, margin below: one has no meaning on the other's scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    drawn = (("loss", "preference loss", _INK), ("margin", "margin, nats", _ACCENT))
    for axes, (name, label, colour) in zip(figure.subplots(2, 1, sharex=True), drawn, strict=True):
        shown = [(point.step, getattr(point, name)) for point in points if getattr(point, name) is not None]
        if shown:
            axes.plot(*zip(*shown, strict=True), color=colour, marker="." if len(shown) < 40 else "")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("step")
    return _save(figure, path)


def _scores(rows: Sequence[ScoreRow], path: Path) -> Path:
    """The candidate's difference from the origin per suite, with its one-sided bounds."""
    figure, axes = _figure(7.0, 1.0 + 0.4 * len(rows))
    for place, row in enumerate(reversed(rows)):
        axes.plot((row.lower, row.upper), (place, place), color=_QUIET, linewidth=3, solid_capstyle="butt")
        axes.plot(row.difference, place, "o", color=_ACCENT if row.upper < 0 else _INK)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.suite} ({row.metric})" for row in reversed(rows)])
    axes.set_xlabel("candidate against origin, points")
    return _save(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path
