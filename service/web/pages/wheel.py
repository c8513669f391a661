"""The wheel as a picture: six places on a ring, from what comes in to what answers, each with what is there now."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin

SIZE = 460
_RING, _DISC = 168, 58
_GAP = 24.0  # degrees of the ring between the middle of a place and the arrow behind it


@dataclass(frozen=True)
class Place:
    """One place of the wheel; `figure` is what is there, `tone` how it stands: good, bad, warn, info or nothing."""

    label: str
    figure: str
    link: str | None = None
    tone: str = ""


@dataclass(frozen=True)
class Drawn:
    """A place where it is drawn, and the arrow that leads on from it: an arc, and the corners of its head."""

    place: Place
    x: float
    y: float
    arrow: str
    head: str


def drawn(places: Sequence[Place]) -> list[Drawn]:
    """The places around the ring, the first at the top, each with the arrow to the next."""
    step = 360 / len(places)
    return [_drawn(place, number * step - 90, step) for number, place in enumerate(places)]


def _drawn(place: Place, angle: float, step: float) -> Drawn:
    x, y = _at(angle)
    (x1, y1), (x2, y2) = _at(angle + _GAP), _at(angle + step - _GAP - 2)
    tip, left, right = _at(angle + step - _GAP + 1), _at(angle + step - _GAP - 3, 8), _at(angle + step - _GAP - 3, -8)
    head = " ".join(f"{px:.1f},{py:.1f}" for px, py in (tip, left, right))
    return Drawn(place, x, y, f"M{x1:.1f} {y1:.1f}A{_RING} {_RING} 0 0 1 {x2:.1f} {y2:.1f}", head)


def _at(angle: float, out: float = 0.0) -> tuple[float, float]:
    """The point of the ring at an angle in degrees, or so far outside it."""
    return (
        round(SIZE / 2 + (_RING + out) * cos(radians(angle)), 1),
        round(SIZE / 2 + (_RING + out) * sin(radians(angle)), 1),
    )
