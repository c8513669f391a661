"""Rows of training files, which have no ids and name nobody: chats, pairs of answers, answers with a label.

A row is known again by what it says, so that the same file twice brings nothing new.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from service.ingest.importers.items import NotTaken, Options, inside
from service.ingest.wire import ComparisonIn, ConversationIn, MessageIn, ToolIn, VoteIn

Tools = tuple[ToolIn, ...]


def content_id(prefix: str, *values: Any) -> str:
    """An id for what these JSON values say; the same for the same."""
    text = json.dumps(values[0] if len(values) == 1 else values, ensure_ascii=False, sort_keys=True)
    return f"{prefix}-{sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}"


def chat(
    id: str, messages: Sequence[MessageIn], options: Options, *, tools: Tools = (), label: bool | None = None
) -> ConversationIn:
    """A chat one message after the other. `label` is a thumb on its last answer.

    Raises:
        NotTaken: it has no messages, or no answer.
    """
    if not messages:
        raise NotTaken("no_messages", "there are no messages in it")
    answers = [at for at, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        raise NotTaken("no_answer", "it has no answer of the assistant, so there is nothing to learn from it")
    votes = () if label is None else (VoteIn(message=answers[-1], value="up" if label else "down"),)
    return ConversationIn(id=id, user=options.person(None, id), messages=tuple(messages), votes=votes, tools=tools)


def pair(
    id: str,
    prompt: Sequence[MessageIn],
    chosen: Sequence[MessageIn],
    rejected: Sequence[MessageIn],
    options: Options,
    tools: Tools = (),
) -> ConversationIn:
    """Two ways to go on after one prompt, of which one is better; what both begin with belongs to the prompt.

    Raises:
        NotTaken: the two say the same, or they part at what is no answer.
    """
    shared = _shared(chosen, rejected)
    prompt, better, worse = [*prompt, *chosen[:shared]], chosen[shared:], rejected[shared:]
    if not better and not worse:
        raise NotTaken("same_answers", "both answers say the same, so neither is better")
    if not (better and worse) or {better[0].role, worse[0].role} != {"assistant"}:
        raise NotTaken("no_answer", "the two do not part at an answer of the assistant, so there is nothing to compare")
    if not prompt:
        raise NotTaken("no_messages", "it has no prompt that both answers are given to")
    base = list(_chained(id, "p", prompt, None))
    named = [list(_chained(id, name, turns, base[-1].id)) for name, turns in (("c", better), ("r", worse))]
    first, second = named[0][0].id, named[1][0].id
    assert first is not None and second is not None
    return ConversationIn(
        id=id,
        user=options.person(None, id),
        messages=(*base, *named[1], *named[0]),
        comparisons=(ComparisonIn(chosen=first, rejected=second),),
        tools=tools,
    )


def _shared(one: Sequence[MessageIn], other: Sequence[MessageIn]) -> int:
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def _chained(id: str, name: str, messages: Iterable[MessageIn], parent: str | None) -> Iterator[MessageIn]:
    for at, message in enumerate(messages):
        named = inside(id, f"{name}{at}")
        yield msgspec.structs.replace(message, id=named, parent=parent)
        parent = named
