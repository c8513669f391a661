"""The sets that recipes can name: those of this home, and the one that ships."""

from typing import NamedTuple

from pipelines.anchors.sets import CARD, TINY_SET, SetCard, open_set
from pipelines.anchors.work import WORK
from pipelines.errors import DataError
from service.settings import Settings


class ListedSet(NamedTuple):
    """A set by what a recipe calls it; without a card it is not ready, and `state` says why."""

    place: str
    card: SetCard | None
    state: str


def list_sets(settings: Settings) -> list[ListedSet]:
    """Every set by name, the shipped one first; those that are not ready too."""
    folders = (
        [(TINY_SET.as_posix(), settings.project / TINY_SET)] if (settings.project / TINY_SET / CARD).is_file() else []
    )
    folders += [(folder.name, folder) for folder in sorted(settings.anchors.glob("*")) if folder.is_dir()]
    listed = []
    for place, folder in folders:
        try:
            card = open_set(folder, place).card
            listed.append(ListedSet(place, card, "ready"))
        except DataError:
            state = "begun: make it again to go on" if (folder / WORK).is_file() else "not readable: make it again"
            listed.append(ListedSet(place, None, state))
    return listed
