"""Values of other programs' files: of the kind that a format has there, or a refusal that names the field."""

import json
from typing import Any

from service.ingest.importers.items import NotTaken

Object = dict[str, Any]
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def object_of(value: Any, name: str) -> Object:
    """The object; an empty one for null. Raises NotTaken for another kind."""
    return _of_kind(value, dict, name) if value is not None else {}


def list_of(value: Any, name: str) -> list[Any]:
    """The list; an empty one for null. Raises NotTaken for another kind."""
    return _of_kind(value, list, name) if value is not None else []


def objects_of(value: Any, name: str) -> list[Object]:
    """The objects of a list; none for null. Raises NotTaken for another kind, also of an element."""
    return [_of_kind(one, dict, f"{name}[{at}]") for at, one in enumerate(list_of(value, name))]


def text_of(value: Any, name: str) -> str:
    """The text; an empty one for null. Raises NotTaken for another kind."""
    return str(_of_kind(value, str, name)) if value is not None else ""


def id_of(value: Any, name: str) -> str:
    """An id, which is a text or a number. Raises NotTaken for another kind, and where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not value:
        raise NotTaken("unknown_shape", f"`{name}` is missing, and without it nothing says which one it is")
    return str(_of_kind(value, str, name))


def label_of(*values: Any) -> str | None:
    """The first of these that is a text with something in it."""
    return next((value for value in values if isinstance(value, str) and value), None)


def first_row(first: Any, *members: str) -> Object:
    """The first entry of an object whose lists of these names are cut into entries, or the object itself; else an empty one."""
    found = first
    for name in members:
        if isinstance(first, dict) and isinstance(first.get(name), list | dict):
            found = first[name]
            break
    found = next(iter(found), None) if isinstance(found, list) else found
    return found if isinstance(found, dict) else {}


def inner_value(value: Any) -> Any:
    """What a text says in JSON, where it says an object or a list; else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return found if isinstance(found, dict | list) else value
    return value


def _of_kind(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        found = _KINDS.get(type(value), "null")
        raise NotTaken("unknown_shape", f"`{name}` is {found} where this format has {_KINDS[kind]}")
    return value
