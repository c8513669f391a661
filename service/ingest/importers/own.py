"""Perennial's own shape, one conversation a line (or in a list), and lines that hold nothing but messages.

{"id": "c-17", "user": "u-4", "messages": [...], ...}                  the shape of POST /v1/conversations
{"messages": [{"role": "user", "content": "Hi"}, ...]}                 the id comes from the content
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from service.ingest.importers.items import Entry, Format, Look, Options, Thing, each
from service.ingest.parse import parse_conversation


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of an entry, under the name that it has."""
    row = entry.decode()
    if isinstance(row, dict) and isinstance(row.get("messages"), list) and not (row.get("id") and row.get("user")):
        row["id"] = row.get("id") or _id_of(row["messages"])
        row["user"] = options.person(row.get("user"), str(row["id"]))
        yield parse_conversation(json.dumps(row).encode())
    else:
        yield parse_conversation(entry.raw)


def _recognises(look: Look) -> bool:
    messages = look.first.get("messages")
    named = {"id", "user"} <= set(look.first)
    return look.kind == "json" and isinstance(messages, list) and (named or all("role" in one for one in messages))


def _id_of(messages: list[Any]) -> str:
    canonical = json.dumps(messages, ensure_ascii=False, sort_keys=True)
    return f"chatml-{sha256(canonical.encode(errors='surrogatepass')).hexdigest()[:32]}"


FORMAT = Format(
    name="perennial",
    title="Perennial's own shape, or lines of `messages` (JSON lines or a list)",
    recognises=_recognises,
    read=each(convert),
)
