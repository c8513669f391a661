"""How large the body of a request may be, by route. A vote is no conversation."""

from typing import NamedTuple

SMALL_BYTES = 64 << 10
IMPORT_PATH = "/v1/conversations/import"


class _Route(NamedTuple):
    """Routes that begin alike; `most_bytes` None means as much as the settings allow a conversation."""

    path: str
    most_bytes: int | None


# The first that fits counts. A character of a text may come as twelve bytes of JSON: \ud83d\ude00.
_ROUTES = (
    _Route("/v1/conversations", None),
    _Route("/v1/comparisons", None),  # it may bring its conversation along
    _Route("/v1/chat/completions", 8 << 20),  # more than any model's window
    _Route("/v1/messages/", 4 << 20),  # a correction: one text
    _Route("/v1/rounds", 1 << 20),  # a recipe
)


def body_limit(path: str, most_bytes: int) -> int | None:
    """The largest body that a path takes, None for a stream, which bounds its lines instead.

    `most_bytes` is the settings' own limit, which none exceeds.
    """
    if path == IMPORT_PATH:
        return None
    own = next((one.most_bytes for one in _ROUTES if path.startswith(one.path)), SMALL_BYTES)
    return most_bytes if own is None else min(own, most_bytes)
