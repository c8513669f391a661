"""The path through a conversation's tree that training reads: the best voted branch, corrections in their places."""

from collections.abc import Mapping, Sequence

from pipelines.feedback.tree import net_votes, newest_corrections, originals_of
from pipelines.records import RatedMessage


def best_path(messages: Sequence[RatedMessage]) -> tuple[RatedMessage, ...]:
    """From the root, at each fork the sibling with the most net votes, then the one whose branch has the answer with the
    most, then a complete one, then the newest. Turns of the user have no votes, so their branch decides.

    The newest correction that counts stands in the place of what it corrects, as if voted up; what followed the
    corrected answer follows it. Corrections that do not count are on no path. Ends with an assistant turn; later
    unanswered questions are not part of it. Empty without one.
    """
    originals = originals_of(messages)
    standing = newest_corrections(messages)
    ages = {message.key.message: position for position, message in enumerate(messages)}
    parents: dict[str, str | None] = {}
    shown: dict[str, RatedMessage] = {}
    for message in messages:
        name = message.key.message
        if message.corrects and (originals[name] != name or not message.corrects.counts):
            continue
        shown[name] = standing.get(name, message)
        parents[name] = originals.get(message.parent, message.parent) if message.parent else None
    best = _best_votes(shown, parents)
    children: dict[str | None, list[tuple[int, bool, int, bool, int]]] = {}
    for name, message in shown.items():
        rank = (
            net_votes(message),
            name in best,
            best.get(name, 0),
            message.state == "complete",
            ages[message.key.message],
        )
        children.setdefault(parents[name], []).append(rank)
    path: list[RatedMessage] = []
    place: str | None = None
    while place in children:
        best_child = messages[max(children.pop(place))[-1]]
        path.append(best_child)
        place = originals[best_child.key.message]
    while path and path[-1].role != "assistant":
        path.pop()
    return tuple(path)


def _best_votes(shown: Mapping[str, RatedMessage], parents: Mapping[str, str | None]) -> dict[str, int]:
    """For each message with an answer in its branch, itself included, the most net votes of one."""
    best: dict[str, int] = {}
    answers = [name for name, message in shown.items() if message.role == "assistant"]
    for answer in sorted(answers, key=lambda name: -net_votes(shown[name])):
        place: str | None = answer
        while (
            place is not None and place in shown and place not in best
        ):  # who already has one has a better one, and so have its parents
            best[place] = net_votes(shown[answer])
            place = parents[place]
    return best
