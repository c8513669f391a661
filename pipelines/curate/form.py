"""Whether a conversation has the form of one, before anything else is looked at.

| rule | rejected because |
|---|---|
| no_messages | there is nothing in it |
| too_many_messages | more than `max_messages` |
| too_long | one message, or all of them, beyond the configured characters |
| not_text | lone surrogates, or over a tenth control characters: binary data, not chat |
| empty_message | a user or assistant message without a visible character |
| broken_tree | two messages share an id, or a parent is unknown or stands later |
| role_order | a system message behind another turn, or a tool message that no assistant called for |
| no_answer | no assistant message behind a user message |
| gibberish | most of the letters, of the user's or of the assistant's turns, are no language |
| repetition | most of the user's or the assistant's text repeats itself |
| too_much_personal_data | more different personal values than a chat holds (a contact list, a log) |
| personal_data_left | something that was found could not be replaced |

Not rules: short or formulaic answers, mixed languages, low ratings. Selection decides about those.
"""

import re
import unicodedata

from pipelines.curate.config import CurationConfig
from pipelines.records import Conversation, Message, Rejected

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
_LONE = re.compile("[\ud800-\udfff]")


def problem(conversation: Conversation, config: CurationConfig) -> Rejected | None:
    """The first rule of form that the conversation breaks, or None."""
    for check in (_size, _text, _tree, _roles):
        broken = check(conversation, config)
        if broken:
            return Rejected(id=conversation.id, rule=broken[0], detail=broken[1])
    return None


def _size(conversation: Conversation, config: CurationConfig) -> tuple[str, str] | None:
    lengths = [_length(message) for message in conversation.messages]
    if not lengths:
        return "no_messages", "0 messages"
    if len(lengths) > config.max_messages:
        return "too_many_messages", f"{len(lengths)} messages, the limit is {config.max_messages}"
    if max(lengths) > config.max_characters:
        return "too_long", f"a message has {max(lengths)} characters, the limit is {config.max_characters}"
    if sum(lengths) > config.max_conversation_characters:
        return "too_long", f"{sum(lengths)} characters, the limit is {config.max_conversation_characters}"
    return None


def _text(conversation: Conversation, config: CurationConfig) -> tuple[str, str] | None:
    for index, message in enumerate(conversation.messages, 1):
        if any(_is_binary(text) for text in _texts(message)):
            return "not_text", f"message {index} holds binary data"
        if message.role in ("user", "assistant") and not (_is_visible(message.content) or _may_be_empty(message)):
            return "empty_message", f"message {index} ({message.role}) is empty"
    return None


def _tree(conversation: Conversation, config: CurationConfig) -> tuple[str, str] | None:
    seen: set[str] = set()
    for index, message in enumerate(conversation.messages, 1):
        if message.id in seen:
            return "broken_tree", f"message {index} has the id of an earlier one"
        if message.parent is not None and message.parent not in seen:
            return "broken_tree", f"message {index} has a parent that is not before it"
        seen.add(message.id)
    return None


def _roles(conversation: Conversation, config: CurationConfig) -> tuple[str, str] | None:
    above: dict[str | None, frozenset[str]] = {None: frozenset()}
    answered = False
    for index, message in enumerate(conversation.messages, 1):
        roles = above[message.parent]
        if _misplaced(message, roles):
            return "role_order", f"message {index} ({message.role}) cannot stand there"
        answered = answered or (message.role == "assistant" and "user" in roles)
        above[message.id] = roles | {message.role}
    return None if answered else ("no_answer", "no assistant message behind a user message")


def _misplaced(message: Message, above: frozenset[str]) -> bool:
    if message.role == "system":
        return bool(above - {"system"})
    return message.role == "tool" and "assistant" not in above


def _texts(message: Message) -> tuple[str, ...]:
    return (message.content, message.reasoning, *(call.arguments for call in message.tool_calls))


def _length(message: Message) -> int:
    return sum(map(len, _texts(message)))


def _is_binary(text: str) -> bool:
    return bool(_LONE.search(text)) or len(_CONTROL.findall(text)) > len(text) / 10


def _may_be_empty(message: Message) -> bool:
    """A call of a tool, a picture, or a turn that never came to its end."""
    return bool(message.tool_calls or message.parts) or message.state != "complete"


def _is_visible(text: str) -> bool:
    return any(unicodedata.category(character)[0] in "LNPS" for character in text)
