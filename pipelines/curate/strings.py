"""The texts within a message, so that whoever looks for personal values or replaces them never sees its structure.

    content "Anna's order"                       ->  content
    reasoning "Anna asks."                       ->  reasoning
    arguments {"name": "Anna", "zip": 89073}     ->  name: "Anna"; the number stays one, unless it could be somebody's
    a tool's content {"to": ["a@b.de"]}          ->  to: "a@b.de"

JSON stays JSON: a text of it is replaced within its quotation marks, keys and order stay, and a number is shown only where
it is so long that it may be a person's (an identity number, a card); replaced, it becomes a text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipelines.records import Message, ToolCall

MIN_PERSONAL_DIGITS = 11  # a Korean identity number has 13, a card 13 to 19, a Polish or German one 11


def _words_in(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WHOLE = re.compile(r"[1-9][0-9]*")
# words of fields: of things that are told apart by a number, and of people
_REFERENCES = _words_in(
    "id ids uid uuid guid order orders sku code ref reference invoice tracking ticket transaction booking shipment "
    "product item article serial version hash commit checksum timestamp time created updated date epoch index row "
    "block nonce seed port status count total amount price quantity 주문번호 주문 송장번호 상품코드"
)
_PERSONAL = _words_in(
    "phone tel telephone mobile cell fax whatsapp contact caller national passport ssn rrn social personal identity tax "
    "license licence driver card iban account pan cpf nif dni nie aadhaar resident citizen 전화 전화번호 휴대폰 연락처 "
    "주민등록번호 주민번호"
)
# found in a number that only tells things apart, these are no accident
_UNMISTAKABLE = frozenset({"EMAIL_ADDRESS", "URL", "SECRET", "KR_RRN", "IBAN_CODE"})
_NUMBERS = frozenset({"KR_RRN", "CREDIT_CARD", "NATIONAL_ID"})
# definitions of tools: what a program compares, and no person reads
_FIXED_KEYS = frozenset({"name", "type", "required", "$ref", "format", "pattern", "$schema", "$id"})


@dataclass(frozen=True)
class Text:
    """A text within a message. `label` is what stands before it in JSON, as words; `number` says it is no text there."""

    value: str
    label: str = ""
    number: bool = False

    @property
    def prefix(self) -> str:
        """What a reader would see before it: the name of its field, but for one that only tells things apart."""
        return f"{self.label}: " if self.label and not self.is_reference else ""

    @property
    def is_reference(self) -> bool:
        """Whether its field holds an order's number or the like, and not one of a person."""
        words = set(self.label.split())
        return bool(words & _REFERENCES) and not words & _PERSONAL

    def may_be(self, entity: str) -> bool:
        """Whether a finding of this kind is to be believed here."""
        if self.is_reference:
            return entity in _UNMISTAKABLE
        if self.number:
            return entity in _NUMBERS or (entity == "PHONE_NUMBER" and bool(set(self.label.split()) & _PERSONAL))
        return True


Change = Callable[[Text], str]


class _Number(str):
    """A number of a JSON text, digit for digit as it stands there."""


def map_texts(message: Message, change: Change) -> Message:
    """The message with every text within it changed; in an order that is the same each time.

    The name of a user or of an assistant goes: it is a person's as often as not, and no template needs it.
    """
    content = message.content
    content = (_map_json(content, change) if message.role == "tool" else None) or change(Text(content))
    return message.model_copy(
        update={
            "content": content,
            "reasoning": change(Text(message.reasoning)) if message.reasoning else "",
            "tool_calls": tuple(_map_call(call, change) for call in message.tool_calls),
            "name": message.name if message.role == "tool" else None,
        }
    )


def map_tools(tools: str, change: Change) -> str:
    """The definitions of tools with what they say in words changed; names and types stay."""
    return (_map_json(tools, change, _FIXED_KEYS) or "") if tools else ""


def texts_of(message: Message) -> list[Text]:
    """Every text within a message, in the order of map_texts."""
    found: list[Text] = []
    map_texts(message, _noting(found))
    return found


def texts_of_tools(tools: str) -> list[Text]:
    """Every text within the definitions of tools, in the order of map_tools."""
    found: list[Text] = []
    map_tools(tools, _noting(found))
    return found


def _noting(found: list[Text]) -> Change:
    def note(text: Text) -> str:
        found.append(text)
        return text.value

    return note


def _map_call(call: ToolCall, change: Change) -> ToolCall:
    return call.model_copy(update={"arguments": _map_json(call.arguments, change) or change(Text(call.arguments))})


def _map_json(text: str, change: Change, fixed: frozenset[str] = frozenset()) -> str | None:
    """JSON with its texts changed, None if it is no object or list; unchanged to the character where no text changes."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number)
    except (ValueError, RecursionError):
        return None
    touched: list[bool] = []

    def tracked(one: Text) -> str:
        after = change(one)
        touched.append(after != one.value)
        return after

    changed = _map_value(value, tracked, "", fixed)
    return _dump(changed) if any(touched) else text


def _map_value(value: Any, change: Change, label: str, fixed: frozenset[str]) -> Any:
    if isinstance(value, dict):
        changed: dict[str, Any] = {}
        for key, one in value.items():
            after = _unused(_map_key(key, change), changed)
            changed[after] = one if key in fixed else _map_value(one, change, key, fixed)
        return changed
    if isinstance(value, list):
        return [_map_value(one, change, label, fixed) for one in value]
    if isinstance(value, _Number):
        return _map_number(value, change, label)
    return change(Text(value, _as_words(label))) if isinstance(value, str) and value else value


def _map_key(key: str, change: Change) -> str:
    """A key that is no word of a program may be somebody's address or number."""
    is_plain = key.isidentifier() or (len(key) < 40 and not any(one.isdigit() or one == "@" for one in key))
    return key if is_plain else change(Text(key))


def _unused(key: str, taken: Mapping[str, Any]) -> str:
    """The key, numbered where another one became the same."""
    return key if key not in taken else next(f"{key} {n}" for n in count(2) if f"{key} {n}" not in taken)


def _map_number(value: _Number, change: Change, label: str) -> str:
    if sum(one.isdigit() for one in value) < MIN_PERSONAL_DIGITS or not value.isdigit():
        return value
    after = change(Text(str(value), _as_words(label), number=True))
    return _Number(after) if _WHOLE.fullmatch(after) else after


def _as_words(key: str) -> str:
    """`customerName` and `customer_name` as `customer name`: what a reader takes for the name of a field."""
    return " ".join(_WORDS.findall(_HUMP.sub(" ", key)))[:40].lower()


def _dump(value: Any) -> str:
    return "".join(_pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    """JSON in one line, as models write it; numbers digit for digit."""
    if isinstance(value, _Number):
        yield value
    elif isinstance(value, dict):
        yield "{"
        for place, (key, one) in enumerate(value.items()):
            yield f"{', ' if place else ''}{json.dumps(key, ensure_ascii=False)}: "
            yield from _pieces(one)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for place, one in enumerate(value):
            yield ", " if place else ""
            yield from _pieces(one)
        yield "]"
    else:
        yield json.dumps(value, ensure_ascii=False)
