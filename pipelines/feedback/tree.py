"""The tree of a conversation's messages: what stood before an answer, and what stands in the place of a corrected one."""

from collections.abc import Mapping, Sequence

from pipelines.records import RatedMessage


def path_before(messages: Mapping[str, RatedMessage], answer: RatedMessage) -> tuple[RatedMessage, ...]:
    """The turns before an answer as its reader saw them, from the root. `messages` by id; an unknown parent ends it."""
    path: list[RatedMessage] = []
    seen = {answer.key.message}
    parent = answer.parent
    while parent is not None and parent in messages and parent not in seen:
        seen.add(parent)
        path.append(messages[parent])
        parent = messages[parent].parent
    return tuple(reversed(path))


def originals_of(messages: Sequence[RatedMessage]) -> dict[str, str]:
    """For each message, by id, the answer that it corrects in the end; itself where it is no correction.

    A correction of a correction stands for the first answer. One whose answer is gone stands for itself.
    """
    corrected = {message.key.message: message.corrects.of for message in messages if message.corrects}
    known = {message.key.message for message in messages}
    return {name: _first(name, corrected, known) for name in known}


def newest_corrections(messages: Sequence[RatedMessage]) -> dict[str, RatedMessage]:
    """The newest correction that counts, by the id of the answer in whose place it stands."""
    originals = originals_of(messages)
    newest: dict[str, RatedMessage] = {}
    counting = [message for message in messages if message.corrects and message.corrects.counts]
    for message in sorted(counting, key=correction_age):
        newest[originals[message.key.message]] = message
    return newest


def correction_age(message: RatedMessage) -> tuple[float, str]:
    """What corrections are ordered by, oldest first."""
    assert message.corrects is not None
    return message.corrects.at.timestamp(), message.key.message


def net_votes(message: RatedMessage) -> int:
    """Ups less downs; a correction that counts is an up-vote for itself. Only answers have any."""
    if message.role != "assistant":
        return 0
    return message.up - message.down + (message.corrects is not None and message.corrects.counts)


def _first(name: str, corrected: Mapping[str, str], known: set[str]) -> str:
    seen = {name}
    while (before := corrected.get(name)) in known and before not in seen:
        seen.add(before)
        name = before
    return name
