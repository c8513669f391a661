"""Bodies of the API from what apps have: dicts, dataclasses, and the objects of the openai package.

conversation(messages=[{"role": "user", "content": "Hi"}, completion.choices[0].message], user="ana")
conversation(messages=[*prompt, completion], user="ana")      # a whole completion: its id is the message's id
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from perennial.client.errors import Rejected
from perennial.client.records import Item

Thumb = str | int | bool | None
"""What a vote says: "up", "down", 1, -1, True, False; None takes the vote back."""


def conversation_item(messages: Sequence[object], user: str, fields: Mapping[str, Any]) -> Item:
    """A conversation; without an id it gets one, so that sending it again stores nothing twice.

    Raises:
        Rejected: something in it is no JSON.
    """
    given = _given(fields)
    body = {"id": uuid4().hex, "user": user, "messages": [_message(one) for one in messages], **given}
    return Item("conversation", plain({"time": datetime.now(UTC)} | body))


def vote_item(message: str, value: Thumb, fields: Mapping[str, Any]) -> Item:
    """A vote on a message, or one taken back; raises as conversation_item."""
    said = {} if value is None else {"value": _thumb(value), "time": datetime.now(UTC)}
    return Item("vote", _body(said | _given(fields)), str(message), take_back=value is None)


def correction_item(message: str, content: str | None, fields: Mapping[str, Any]) -> Item:
    """A better answer in place of a message, or all of this user's taken back; raises as conversation_item."""
    said = {} if content is None else {"content": content, "time": datetime.now(UTC)}
    return Item("correction", _body(said | _given(fields)), str(message), take_back=content is None)


def comparison_item(
    chosen: object, rejected: object, prompt: Sequence[object] | None, take_back: bool, fields: Mapping[str, Any]
) -> Item:
    """One answer preferred to another: by their message ids, or whole with their prompt; raises as conversation_item."""
    fields = {"time": datetime.now(UTC)} | _given(fields)
    if prompt is None:
        return Item("comparison", _body({"chosen": chosen, "rejected": rejected, **fields}), take_back=take_back)
    whole = {"id": fields.get("id") or uuid4().hex, "prompt": [_message(one) for one in prompt]}
    body = {**fields, **whole, "chosen": _answer(chosen), "rejected": _answer(rejected)}
    return Item("comparison", _body(body), take_back=take_back)


def message_ids(item: Item) -> tuple[str, ...]:
    """The ids by which the service knows a conversation's messages."""
    listed = enumerate(item.body["messages"])
    return tuple(str(one.get("id") or f"{item.body['id']}:{at}") for at, one in listed)


def plain(value: Any) -> Any:
    """The value in JSON's own types.

    Raises:
        Rejected: it holds something that JSON has no words for.
    """
    try:
        return json.loads(json.dumps(value, default=_plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise Rejected(f"this cannot be written as JSON: {type(error).__name__}: {error}") from None


def _body(fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain(fields)
    return found


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something. What was said is dated when it was said, however long it waits in a spool."""
    return {name: value for name, value in fields.items() if value is not None}


def _message(given: object) -> dict[str, Any]:
    """A message; of a whole completion the first choice's, under the completion's id, by which an app votes."""
    choices = given.get("choices") if isinstance(given, Mapping) else getattr(given, "choices", None)
    if choices:
        whole = _mapping(given)
        return {"id": whole.get("id"), **_mapping(_mapping(whole["choices"][0])["message"])}
    return _mapping(given)


def _mapping(given: object) -> dict[str, Any]:
    found = given if isinstance(given, Mapping) else _plain(given)
    if not isinstance(found, Mapping):
        raise Rejected(f"a message is a dict or an object with model_dump(), and this is {type(given).__name__}")
    return dict(found)


def _answer(given: object) -> dict[str, Any]:
    """One of the two answers of a comparison: a text, or a message of which content and id are sent."""
    if isinstance(given, str):
        return {"content": given}
    whole = _message(given)
    return {name: whole[name] for name in ("content", "id") if whole.get(name) is not None}


def _thumb(value: str | int | bool) -> str | int:
    """`up` and `down` for the spellings that are no words; a word goes as it is, and the service judges it."""
    if isinstance(value, bool):
        return "up" if value else "down"
    return {1: "up", -1: "down"}.get(value, value) if isinstance(value, int) else value


def _plain(value: object) -> Any:
    """What json.dumps asks for what it does not know."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_none=True)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
